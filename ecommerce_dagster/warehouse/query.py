"""What a query returns, for somebody who only looks."""

from __future__ import annotations

from typing import Any

import duckdb

# The names of the columns, and the rows.
Answer = tuple[list[str], list[tuple[Any, ...]]]

_ELSEWHERE = {
    duckdb.StatementType.ATTACH,
    duckdb.StatementType.COPY,
    duckdb.StatementType.COPY_DATABASE,
    duckdb.StatementType.EXPORT,
    duckdb.StatementType.LOAD,
}


class QueryError(Exception):
    """A query that the database refuses."""


def answer_of(duck: duckdb.DuckDBPyConnection, sql: str, limit: int | None) -> Answer:
    """What a query returns, at most `limit` rows. Raises QueryError."""
    try:
        _require_reading(duck, sql)
        cursor = duck.execute(sql)
        rows = cursor.fetchall() if limit is None else cursor.fetchmany(limit)
    except duckdb.Error as error:
        raise QueryError(str(error)) from None
    return [str(column[0]) for column in cursor.description or []], rows


def _require_reading(duck: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise QueryError for what writes although the database is read-only: into other files."""
    for statement in duck.extract_statements(sql):
        if statement.type in _ELSEWHERE:
            raise QueryError(f"{statement.type.name} can write to files; this command only reads")
