"""Rows of any relation into the table of an asset: types, schema changes, strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sql.dialect import DUCKDB
from ecommerce_dagster.sql.identifiers import quoted, relation, schema_of
from ecommerce_dagster.sql.load_columns import REBUILD
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.sql.plan import Job, WriteOptions
from ecommerce_dagster.sql.strategies import ddl
from ecommerce_dagster.sql.strategies.common import in_window, rows_outside
from ecommerce_dagster.warehouses.duckdb.database import described, kind_of
from ecommerce_dagster.warehouses.duckdb.stored_types import rules_of

_WRITING = ("INSERT", "UPDATE", "MERGE")


def load_table(
    connection: duckdb.DuckDBPyConnection, asset: Asset, source: str, how: WriteOptions
) -> LoadResult:
    """Fill the table of `asset` from `source`, a relation that this connection can read.

    The first run and a full refresh create the table. Runs inside the caller's transaction.
    """
    ensure_schema(connection, asset.name)
    kind, table = kind_of(connection, asset.name), relation(asset.name)
    existing = described(connection, table) if kind == "table" else None
    job = Job(asset, how, table, kind, existing, source, DUCKDB, rules_of(connection))
    plan = job.plan(_incoming(connection, source, job.kept or {}))
    written = 0
    for statement in (*plan.reshaping, *plan.filling):
        rows = _run(connection, statement)
        written += rows if statement.startswith(_WRITING) else 0
    if job.rebuilds:
        written = _count(connection, table)
    moved = None if plan.moved is None else _run(connection, plan.moved)
    deleted = None if plan.gone is None else _run(connection, plan.gone)
    return LoadResult(written, plan.statements, plan.changes, moved, deleted, is_new=job.rebuilds)


def declare_table(connection: duckdb.DuckDBPyConnection, asset: Asset) -> LoadResult:
    """Bring the table of `asset` to what its columns declare, inside the caller's transaction.
    Raises LoadError."""
    ensure_schema(connection, asset.name)
    kind, table = kind_of(connection, asset.name), relation(asset.name)
    existing = described(connection, table) if kind == "table" else None
    plan = ddl.declaration(table, asset, existing, rules_of(connection))
    for name, query in plan.defaults.items():
        try:
            connection.execute(query)
        except duckdb.Error as error:
            raise LoadError(f"the default of the column {name}: {error}") from error
    steps = (*([f"DROP VIEW {table}"] if kind == "view" else []), *plan.statements)
    for statement in steps:
        connection.execute(statement)
    return LoadResult(statements=steps, schema_changes=plan.changes)


def refuse_outside(
    connection: duckdb.DuckDBPyConnection, asset: Asset, source: str, window: Interval, loaded: int
) -> None:
    """Raises LoadError when some of the rows just loaded lie outside of the window."""
    how = asset.materialization
    key = how.incremental_key or ""
    inside = in_window(key, window, by_date=how.time_granularity == "date")
    outside = loaded - _count(connection, f"{relation(asset.name)} WHERE {inside}")
    if outside <= 0:
        return
    found = connection.execute(
        f"SELECT DISTINCT CAST({quoted(key)} AS VARCHAR) FROM {source} "
        f"WHERE ({inside}) IS NOT TRUE ORDER BY ALL LIMIT 5"
    ).fetchall()
    raise rows_outside(window, key, loaded, outside, (row[0] for row in found))


def ensure_schema(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Create the schema that a table name needs."""
    schema = schema_of(name)
    if schema is not None:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")


def _incoming(
    connection: duckdb.DuckDBPyConnection, source: str, existing: Mapping[str, str]
) -> dict[str, str]:
    """The columns of the source. A bare NULL matters where the table has another type already."""
    columns = described(connection, source)
    other = {name.lower() for name, kind in existing.items() if kind != "INTEGER"}
    asked = [n for n, kind in columns.items() if kind == "INTEGER" and n.lower() in other]
    return columns | integers_or_null(connection, source, asked)


def integers_or_null(
    connection: duckdb.DuckDBPyConnection, source: str, names: Sequence[str]
) -> dict[str, str]:
    """The types of the named columns of a source, which are all INTEGER for DESCRIBE: it calls a
    bare NULL so too."""
    if names:
        kinds = ", ".join(f"typeof(any_value({quoted(name)}))" for name in names)
        row = connection.execute(f"SELECT {kinds} FROM {source} WHERE FALSE").fetchone()
        return dict(zip(names, row or (), strict=True))
    return {}


def _run(connection: duckdb.DuckDBPyConnection, statement: str) -> int:
    """The rows that a statement changed."""
    try:
        row = connection.execute(statement).fetchone()
    except duckdb.CatalogException as error:
        # A DuckLake widens fewer types than a DuckDB file does.
        if "only widening type promotions" not in str(error):
            raise
        raise LoadError(f"{error}; {REBUILD}") from error
    except duckdb.InvalidInputException as error:
        # What `error()` says in the casts.
        raise LoadError(str(error).removeprefix("Invalid Input Error: ")) from error
    return int(row[0]) if row else 0


def _count(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    found = connection.execute(f"SELECT count(*) FROM {rows}").fetchone()
    return int(found[0]) if found else 0
