"""The rows of a query that may change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from duckdb import StatementType

from ecommerce_dagster.errors import BruinError
from ecommerce_dagster.sql.identifiers import literal

# The names of the columns, and the rows.
Answer = tuple[list[str], list[tuple[Any, ...]]]

# What a second DuckDB file is called in a session that reads tables of it, too.
FALLBACK = "_fallback"
# Of every warehouse: its tables and views, as schema.table, and those that are read, too.
ALL_TABLES = (
    "SELECT table_schema || '.' || table_name FROM information_schema.tables "
    f"WHERE table_catalog IN (current_database(), '{FALLBACK}')"
)
# And its schemas whose names begin so.
SCHEMAS = (
    "SELECT schema_name FROM information_schema.schemata "
    "WHERE catalog_name = current_database() AND starts_with(schema_name, ?)"
)
_EXPLAIN = re.compile(
    r"(\s|--[^\n]*\n|/\*.*?\*/)*EXPLAIN\b((\s|--[^\n]*\n|/\*.*?\*/)*(ANALYZE|VERBOSE|\([^)]*\)))*",
    re.IGNORECASE | re.DOTALL,
)
# Functions that write although they are read from: those of a DuckLake, of the database that its
# catalogue is in, of DuckDB's log; and `query`, which runs any text that is put together.
_CHANGING = re.compile(
    r"\b(ducklake_(add|cleanup|delete|expire|flush|merge|rewrite|set)\w*|enable_logging|query"
    r"|(postgres|mysql|sqlite)_(attach|execute|query))\b\"?\s*\(",
    re.IGNORECASE,
)


class QueryError(BruinError):
    """A query that the database refuses."""


def lock(duck: duckdb.DuckDBPyConnection, folders: Sequence[str] = ()) -> None:
    """Keep whatever runs in a session from files, except for those in `folders`, from other
    databases and from the settings. What is attached stays."""
    if folders:
        duck.execute(f"SET allowed_directories = [{', '.join(map(literal, folders))}]")
    duck.execute("SET enable_external_access = false")
    duck.execute("SET lock_configuration = true")


def answer_of(duck: duckdb.DuckDBPyConnection, sql: str, limit: int | None) -> Answer:
    """What a query returns, at most `limit` rows. Raises QueryError."""
    with _query_errors():
        _require_reading(duck, sql)
        cursor = duck.execute(sql)
        rows = cursor.fetchall() if limit is None else cursor.fetchmany(limit)
    return [str(column[0]) for column in cursor.description or []], rows


def write_parquet(duck: duckdb.DuckDBPyConnection, sql: str, limit: int | None, path: Path) -> None:
    """Write what a query returns, at most `limit` rows, with its own types. Raises QueryError."""
    with _query_errors():
        _require_reading(duck, sql)
        if len(duck.extract_statements(sql)) != 1:
            raise QueryError("only the rows of one query can be written as parquet")
        rows = duck.sql(sql)
        (rows if limit is None else rows.limit(limit)).write_parquet(str(path))


@contextmanager
def _query_errors() -> Iterator[None]:
    try:
        yield
    except duckdb.PermissionException as error:
        raise QueryError(f"{error}; this command reads the tables of the warehouse") from None
    except duckdb.Error as error:
        raise QueryError(str(error)) from None


def text_of(statement: duckdb.Statement) -> str:
    """The text of a statement. A PIVOT is cut into several statements, and some have none: empty,
    which older versions of DuckDB say by an error."""
    try:
        return statement.query
    except IndexError:
        return ""


def explained(sql: str) -> str:
    """The statement that an EXPLAIN is about, which ANALYZE executes; any other as it is."""
    found = _EXPLAIN.match(sql)
    return sql[found.end() :] if found else sql


def _require_reading(duck: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise QueryError for what can write although the database is read-only: into other files,
    or into those of a DuckLake."""
    for statement in duck.extract_statements(sql):
        kind, text = statement.type, text_of(statement)
        # One of those that a PIVOT is cut into makes a type.
        pivots = kind == StatementType.CREATE and not text
        if kind == StatementType.EXPLAIN and text:
            _require_reading(duck, explained(text))
        elif kind not in {StatementType.SELECT, StatementType.PRAGMA} and not pivots:
            raise QueryError(f"{kind.name} can change something; this command only reads")
    if found := _CHANGING.search(sql):
        raise QueryError(f"{found.group(1)} can change something; this command only reads")
