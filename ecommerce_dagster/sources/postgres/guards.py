"""Guards against silent errors: values that DuckDB's postgres extension changes, and tables that
are rewritten while they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import duckdb

from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.sources.columns import SourceColumn
from ecommerce_dagster.sources.postgres.describe import Source
from ecommerce_dagster.sql.identifiers import quoted, relation
from ecommerce_dagster.warehouses.duckdb.database import types_in
from ecommerce_dagster.warehouses.postgres.connect import SourceError, ask, texts


@dataclass(frozen=True)
class _Guard:
    """`trace` follows the column's name in DuckDB, `offence` in PostgreSQL; the rest is words."""

    trace: str
    offence: str
    what: str
    instead: str


_NAN = _Guard("= 0", "= 'NaN'", "NaN", "double or varchar")
_LATE = _Guard(
    "NOT BETWEEN TIMESTAMP '200000-01-01 (BC) 00:00:00' AND TIMESTAMP '294247-01-01 00:00:00'",
    "BETWEEN '294247-01-10 04:00:54.775807' AND '294276-12-31 23:59:59.999999'",
    "beyond January of the year 294247",
    "varchar",
)
_ENDLESS = _Guard(
    "NOT BETWEEN INTERVAL '-178000000 years' AND INTERVAL '178000000 years'",
    "IN ('infinity', '-infinity')",
    "infinite",
    "varchar",
)

# Rows of pg_class are those of the snapshot; functions look at what is there now. PostgreSQL knows
# which tables this is about: those that planning to read the source locks.
_REWRITTEN = """
SELECT string_agg(DISTINCT relation::regclass::text, ', ')
FROM pg_locks LEFT JOIN pg_class ON pg_class.oid = relation
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation >= 16384
  AND pg_get_indexdef(relation) IS NULL
  AND nullif(relfilenode, 0) IS DISTINCT FROM pg_relation_filenode(relation)
  AND NOT EXISTS (SELECT FROM ({source}) AS source LIMIT 0)
"""


def refuse_garbled(
    duck: duckdb.DuckDBPyConnection, source: Source, types: Mapping[str, str], table: str
) -> None:
    """Raises SourceError when values of the source are others in `table`.

    Such a value leaves a trace there. Only where there is one, PostgreSQL counts the values
    themselves: zone maps mostly tell at once, so that a clean table costs next to nothing.
    """
    kinds = types_in(duck, relation(table))
    suspects: list[tuple[SourceColumn, _Guard]] = []
    for column in source.columns:
        if column.outgoing(types[column.name]) != quoted(column.name):
            continue  # it travelled as text
        guard = _guard_of(column, kinds[column.name.lower()])
        if guard and _has_trace(duck, table, column, guard):
            suspects.append((column, guard))
    if not suspects:
        return
    offences = [
        f"count(*) FILTER (WHERE {quoted(column.name)} {guard.offence})"
        for column, guard in suspects
    ]
    counts = ask(duck, source.select(texts(offences)))
    for (column, guard), count in zip(suspects, counts, strict=True):
        if count != "0":
            rows = counted(int(count or 0), "row")
            raise SourceError(
                f"the column {column.name} of {source.name} is {guard.what} in {rows}, "
                f"which {types[column.name]} cannot hold; correct them, or declare the column "
                f"as {guard.instead}"
            )


def refuse_rewritten(asked: Callable[[str], str | None], source: Source) -> None:
    """Raises SourceError when a table was rewritten after the moment that this transaction sees.

    To it, a table is then empty: TRUNCATE and ALTER TABLE do not keep the rows for older snapshots.
    `asked` answers, in that transaction, a query for one text.
    """
    rewritten = asked(_REWRITTEN.format(source=source.select("1")))
    if rewritten:
        raise SourceError(f"{rewritten} was rewritten while it was read; run it again")


def _guard_of(column: SourceColumn, kind: str) -> _Guard | None:
    """What to look for in a column that has the type `kind` in the table."""
    if column.base == "numeric":
        return _NAN
    if column.base.startswith("timestamp") and kind.startswith("TIMESTAMP"):
        return _LATE
    return _ENDLESS if kind == "INTERVAL" else None


def _has_trace(
    duck: duckdb.DuckDBPyConnection, table: str, column: SourceColumn, guard: _Guard
) -> bool:
    query = f"SELECT 1 FROM {relation(table)} WHERE {quoted(column.name)} {guard.trace} LIMIT 1"
    return duck.execute(query).fetchone() is not None
