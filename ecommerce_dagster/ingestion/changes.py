"""What changed in Postgres tables since somebody last looked.

Looking costs nothing that grows with the tables: it reads the counters that Postgres keeps of rows
inserted, updated and deleted. Only for a table whose counters moved are its rows asked when they
are about: a row that was written since then tells by its transaction, a row that is gone by the
count of its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from psycopg import sql

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.ingestion.postgres import session

Counters = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Snapshot:
    """What a look found. `horizon` is the oldest transaction that was still running: whatever it
    and later ones write has not been seen."""

    horizon: int = 0
    counters: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Periods:
    """How many rows a table has in each period (by its UTC start), and which of them changed."""

    rows: Mapping[datetime, int]
    changed: frozenset[datetime]


def look(connection: PostgresConnection, tables: Iterable[str]) -> Snapshot:
    """The counters of tables (schema.table). A table that has none is not in it."""
    wanted = set(tables)
    with session(connection) as postgres:
        row = postgres.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text").fetchone()
        found = postgres.execute(
            "SELECT schemaname || '.' || relname, n_tup_ins, n_tup_upd, n_tup_del"
            " FROM pg_stat_user_tables"
        ).fetchall()
    counters = {str(name): tuple(map(_number, rest)) for name, *rest in found if name in wanted}
    return Snapshot(int(str(row[0])) if row else 0, counters)


def periods(
    connection: PostgresConnection,
    table: str,
    column: str,
    unit: str,
    since: int,
    known: Mapping[datetime, int],
) -> Periods:
    """The periods (`unit` hour or day) of a table by its time `column`.

    Changed are those with a row written by a transaction at or after `since`, and those whose
    number of rows is not the one that is `known`.
    """
    schema, _, name = table.rpartition(".")
    statement = sql.SQL(
        "SELECT extract(epoch FROM date_trunc({unit}, {column}::timestamptz))::bigint, count(*),"
        " bool_or(age(xmin) <= age({since}::text::xid))"
        " FROM {table} WHERE {column} IS NOT NULL AND isfinite({column}) GROUP BY 1"
    ).format(
        unit=sql.Literal(unit),
        column=sql.Identifier(column),
        # Rows carry the lower half of a transaction's number.
        since=sql.Literal(str(max(since % 2**32, 3))),
        table=sql.Identifier(schema or connection.schema, name),
    )
    with session(connection) as postgres:
        postgres.execute("SET LOCAL TimeZone = 'UTC'")
        found = postgres.execute(statement).fetchall()
    rows = {datetime.fromtimestamp(_number(start), UTC): _number(n) for start, n, _ in found}
    written = {datetime.fromtimestamp(_number(start), UTC) for start, _, new in found if new}
    recounted = {moment for moment in {*rows, *known} if rows.get(moment) != known.get(moment)}
    return Periods(rows, frozenset(written | recounted))


def _number(value: object) -> int:
    return int(str(value))
