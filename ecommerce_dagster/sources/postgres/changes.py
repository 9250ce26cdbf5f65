"""What changed in PostgreSQL since the last look.

Looking costs nothing that grows with the tables: it reads the counters that Postgres keeps of rows
inserted, updated and deleted. Only of a table whose counters moved are the rows read, once, for a
fingerprint of each of its periods: each row carries the number of the transaction that wrote it, so
that the rows of a period and these numbers are the same exactly when nothing happened to them. That
holds for rows that were deleted, that moved, or that a transaction committed late; and counters
that were reset, or that count what was rolled back, change nothing.

Counters never tell what happened: they may follow the rows by seconds. They are read first and the
rows after, each in a snapshot of its own, so that rows that come in between have moved them by the
next look at the latest.

Rows without such numbers (of a view, a query, a foreign table or a materialized view) are
fingerprinted by their values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg

from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sources.postgres.describe import Source, described_in
from ecommerce_dagster.sources.postgres.source_history import Session
from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.warehouses.postgres.connect import SourceError, reason, session

# The fingerprint of a table's rows by their period, which is its start in seconds since 1970. It
# begins with their number. None is the period of rows without a known time.
Fingerprints = Mapping[int | None, str]
# By their number: name, type, and whether they have a default.
Columns = Mapping[str, tuple[Any, ...]]
WHOLE = 0  # the period of a table that has none

# No question waits longer for a lock (another session may rewrite a table), in seconds.
_LOCK_SECONDS = 2.0


class Counters(NamedTuple):
    """What Postgres counted of a table, and what changes when that starts anew.

    `files` changes with a TRUNCATE, and with the table's columns, which count as nothing; `since`
    after a restart, a crash or a reset, when counters begin at 0.
    """

    inserted: int
    updated: int
    deleted: int
    files: int
    since: str


@dataclass(frozen=True)
class Table:
    """A table, view or query as Postgres sees it.

    Without `counters` nothing tells that it changed. Without `has_numbers` its rows carry no
    number of the transaction that wrote them. `columns` are by their number in it, which they keep
    for ever: name, type, and whether rows may have a value in it that was not written.
    """

    counters: Counters | None
    has_numbers: bool
    columns: Columns = field(default_factory=dict)


@contextmanager
def watching(connection: PostgresConnection) -> Iterator[Session]:
    """A session for a look at the tables. Raises SourceError."""
    with session(connection) as postgres:
        # In a snapshot for all statements the rows could be older than the counters.
        postgres.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        yield postgres


@contextmanager
def question(postgres: Session, seconds: float) -> Iterator[None]:
    """A transaction that takes no longer. What goes wrong in it concerns nothing else.

    Raises SourceError, and psycopg's errors when the session has ended.
    """
    limits = {"statement_timeout": seconds, "lock_timeout": min(seconds, _LOCK_SECONDS)}
    settings = {name: f"{max(1, int(1000 * limit))}ms" for name, limit in limits.items()}
    settings |= {"TimeZone": "UTC", "DateStyle": "ISO, YMD", "IntervalStyle": "postgres"}
    cells = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    try:
        with postgres.transaction():
            postgres.execute(f"SELECT {cells}".encode())
            yield
    except psycopg.Error as error:
        if postgres.closed:
            raise
        raise SourceError(reason(error)) from None


def read_tables(postgres: Session, sources: Mapping[str, Source]) -> dict[str, Table]:
    """How each source, by some name for it, can be watched, and its counters with those of its
    partitions. A table that does not exist is not among them."""
    found = {name: Table(None, False) for name, source in sources.items() if source.is_query}
    names = [name for name in sources if name not in found]
    schemas, tables = (
        zip(*(sources[name].path for name in names), strict=True) if names else ((), ())
    )
    if not names:
        return found
    rows = postgres.execute(_COUNTERS, [names, list(schemas), list(tables)]).fetchall()
    for name, kinds, is_counted, new, updated, gone, files, since, columns in rows:
        counters = Counters(_int(new), _int(updated), _int(gone), _int(files), str(since))
        kind = set(str(kinds))
        found[str(name)] = Table(
            counters if is_counted and kind <= {"r", "p", "m"} else None,
            kind <= {"r", "p"},
            {number: tuple(facts) for number, facts in json.loads(str(columns or "{}")).items()},
        )
    return found


_COUNTERS = """
WITH RECURSIVE tree AS (
    SELECT asked.name, class.oid, class.relkind, true AS is_root
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS asked (name, schema, relation)
    JOIN pg_namespace AS space ON space.nspname = asked.schema
    JOIN pg_class AS class ON class.relnamespace = space.oid AND class.relname = asked.relation
    WHERE class.relkind IN ('r', 'p', 'm', 'v', 'f')
    UNION ALL
    SELECT tree.name, child.inhrelid, class.relkind, false
    FROM tree
    JOIN pg_inherits AS child ON child.inhparent = tree.oid
    JOIN pg_class AS class ON class.oid = child.inhrelid
)
SELECT
    name,
    string_agg(DISTINCT relkind::text, ''),
    current_setting('track_counts')::boolean AND NOT pg_is_in_recovery(),
    sum(pg_stat_get_tuples_inserted(oid)),
    sum(pg_stat_get_tuples_updated(oid)),
    sum(pg_stat_get_tuples_deleted(oid)),
    sum(hashtextextended(concat(oid, ' ', pg_relation_filenode(oid), ' ', columns), 0)),
    concat_ws(
        ' ',
        extract(epoch FROM pg_postmaster_start_time()),
        (SELECT extract(epoch FROM stats_reset) FROM pg_stat_bgwriter),
        (SELECT extract(epoch FROM stats_reset) FROM pg_stat_database
         WHERE datname = current_database())
    ),
    (array_agg(columns) FILTER (WHERE is_root))[1]
FROM tree
CROSS JOIN LATERAL (
    SELECT json_object_agg(
        attnum,
        json_build_array(
            attname, format_type(atttypid, atttypmod), atthasdef OR atthasmissing
        )
        ORDER BY attnum
    )::text AS columns
    FROM pg_attribute
    WHERE attrelid = oid AND attnum > 0 AND NOT attisdropped
) AS described
GROUP BY name
"""


def fingerprints(
    postgres: Session, source: Source, table: Table, key: str | None = None, unit: str = "day"
) -> Fingerprints:
    """What the rows of a source look like, by period (`unit` minute, hour or day) of a time key, or
    without one in all. Raises SourceError."""
    described = described_in(postgres, source.connection, source.table)
    columns = ", ".join(quoted(column.name) for column in described.columns)
    value = "xmin::text" if table.has_numbers else f"ROW({columns})::text"
    cells = f"concat(count(*), ' ', sum(hashtextextended({value}, 0)))"
    if key is None:
        ((mark,),) = postgres.execute(described.select(f"{cells}").encode()).fetchall()
        return {WHOLE: str(mark)}
    moment = f"{quoted(described.key(key).name)}::timestamptz"
    period = (
        f"CASE WHEN isfinite({moment})"
        f" THEN extract(epoch FROM date_trunc({literal(unit)}, {moment}))::bigint END"
    )
    query = f"{described.select(f'{period}, {cells}')}\nGROUP BY 1"
    found = postgres.execute(query.encode()).fetchall()
    return {None if start is None else _int(start): str(mark) for start, mark in found}


def is_altered(old: Columns, new: Columns) -> bool:
    """Whether rows have other values than they had by their columns, although they were not
    written: a column has another name or type, or came with a value.

    A column that came without is NULL in all of them, and of one that was dropped the values stay.
    """
    return any(
        tuple(old[number][:2]) != facts[:2] if number in old else facts[2]
        for number, facts in new.items()
    )


def changed_periods(old: Fingerprints, new: Fingerprints) -> set[int]:
    """The periods that are not in both alike."""
    periods = {*old, *new} - {None}
    return {at for at in periods if at is not None and old.get(at) != new.get(at)}


def rows_in(mark: str) -> int:
    """How many rows a fingerprint is of."""
    return int(mark.split(maxsplit=1)[0])


def _int(value: object) -> int:
    return int(str(value))
