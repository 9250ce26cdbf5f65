"""What changed in Postgres tables since somebody last looked.

Looking costs nothing that grows with the tables: it reads the counters that Postgres keeps of rows
inserted, updated and deleted. Only of a table whose counters moved are the rows read, once, to see
which of its periods changed: each row carries the number of the transaction that wrote it, so that
the rows of a period and these numbers are the same exactly when nothing happened to them. That
holds for rows that were deleted, that moved, or that a transaction committed late; and counters
that were reset, or that count what was rolled back, change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from psycopg import sql

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.ingestion.postgres import session

# A table's periods (by their UTC start) and what their rows look like.
Marks = dict[datetime, str]


class Counters(NamedTuple):
    """What Postgres counted of a table, and what changes when that starts anew.

    `files` changes with a TRUNCATE, which counts as nothing; `since` after a restart, a crash or a
    reset, when counters begin at 0.
    """

    inserted: int
    updated: int
    deleted: int
    files: int
    since: str


def look(connection: PostgresConnection, tables: Iterable[str]) -> dict[str, Counters]:
    """The counters of tables (schema.table), with those of their partitions.

    A name that is no table, or a view, is not among them.
    """
    names = {table: _identifier(connection, table).as_string() for table in tables}
    with session(connection) as postgres:
        found = postgres.execute(_LOOK, [list(names), list(names.values())]).fetchall()
    return {
        str(name): Counters(_int(new), _int(updated), _int(gone), _int(files), str(since))
        for name, new, updated, gone, files, since in found
    }


_LOOK = """
WITH RECURSIVE tree AS (
    SELECT asked.name, class.oid
    FROM unnest(%s::text[], %s::text[]) AS asked (name, quoted)
    JOIN pg_class AS class ON class.oid = to_regclass(asked.quoted) AND class.relkind IN ('r', 'p')
    UNION ALL
    SELECT tree.name, child.inhrelid
    FROM tree JOIN pg_inherits AS child ON child.inhparent = tree.oid
)
SELECT
    name,
    sum(pg_stat_get_tuples_inserted(oid)),
    sum(pg_stat_get_tuples_updated(oid)),
    sum(pg_stat_get_tuples_deleted(oid)),
    sum(hashtextextended(concat(oid, ' ', pg_relation_filenode(oid)), 0)),
    concat_ws(
        ' ',
        pg_postmaster_start_time(),
        (SELECT stats_reset FROM pg_stat_bgwriter),
        (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database())
    )
FROM tree
GROUP BY name
"""


def marks(
    connection: PostgresConnection, table: str, column: str | None = None, unit: str = "day"
) -> Marks:
    """What the rows of a table look like, by period (`unit` minute, hour or day) of a time column.

    Without a column the whole table is one period.
    """
    period: sql.Composable = sql.SQL("0::bigint")
    condition: sql.Composable = sql.SQL("true")
    if column is not None:
        period = sql.SQL("extract(epoch FROM date_trunc({}, {}::timestamptz))::bigint").format(
            sql.Literal(unit), sql.Identifier(column)
        )
        condition = sql.SQL("{0} IS NOT NULL AND isfinite({0})").format(sql.Identifier(column))
    statement = sql.SQL(
        "SELECT {}, concat(count(*), ' ', sum(hashtextextended(xmin::text, 0)))"
        " FROM {} WHERE {} GROUP BY 1"
    ).format(period, _identifier(connection, table), condition)
    with session(connection) as postgres:
        postgres.execute("SET LOCAL TimeZone = 'UTC'")
        found = postgres.execute(statement).fetchall()
    return {datetime.fromtimestamp(_int(start), UTC): str(mark) for start, mark in found}


def differing(old: Mapping[datetime, str], new: Mapping[datetime, str]) -> set[datetime]:
    """The periods that are not in both alike."""
    return {moment for moment in {*old, *new} if old.get(moment) != new.get(moment)}


def _identifier(connection: PostgresConnection, table: str) -> sql.Identifier:
    schema, _, name = table.rpartition(".")
    return sql.Identifier(schema or connection.schema, name)


def _int(value: object) -> int:
    return int(str(value))
