"""Which rows of the source a run takes: those of a window, or those that are new, by a key.

The answer is a condition for PostgreSQL, in the key's own type, so that an index on it serves.
"""

from __future__ import annotations

from dataclasses import replace

import duckdb

from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.ingestion.columns import FLOATS, INTEGERS, MOMENTS, TEXTS, SourceColumn
from ecommerce_dagster.ingestion.postgres import SourceError, ask, texts
from ecommerce_dagster.ingestion.source import Source
from ecommerce_dagster.warehouse.identifiers import literal, quoted, relation

_ORDERED = MOMENTS | FLOATS | INTEGERS | TEXTS | {"numeric", "uuid"}
# Keys beyond all others: were one of them the largest, no later row would ever be new.
_ENDLESS = {
    **dict.fromkeys(MOMENTS, "'infinity', '-infinity'"),
    **dict.fromkeys(FLOATS, "'infinity', '-infinity', 'NaN'"),
}


def within(key: SourceColumn, window: Interval) -> str:
    """The rows of a window, half-open."""
    if key.base not in MOMENTS:
        raise SourceError(
            f"the incremental_key {key.name} is {key.type}; an interval needs a date or a timestamp"
        )
    name = quoted(key.name)
    return f"{name} >= {literal(window.start)} AND {name} < {literal(window.end)}"


def from_largest(
    duck: duckdb.DuckDBPyConnection, key: SourceColumn, table: str, kind: str, overlap: float
) -> str | None:
    """The rows at or after the largest key in `table`, where the key is a `kind`; None for all.

    Where keys are times, from `overlap` seconds before it: a row may be committed after others that
    have a later time. A time that is yet to come, by PostgreSQL's clock, tells nothing of what was
    loaded, nor does NULL or infinity: rows with such keys are taken every time, so none is missed.
    """
    if key.base not in MOMENTS:
        largest = _largest(duck, key, table, kind)
    else:
        (now,) = ask(duck, f"SELECT {texts(['now()'])}")
        past = f"CAST({quoted(key.name)} AS TIMESTAMPTZ) <= {literal(now or '')}"
        largest = _largest(duck, key, table, kind, past)
        if largest and overlap:
            largest = f"{largest} - interval '{overlap} seconds'"
    return f"{_ordered(key)} >= {largest} OR {_untold(key)}" if largest else None


def after_largest(
    duck: duckdb.DuckDBPyConnection, source: Source, key: SourceColumn, table: str, kind: str
) -> str | None:
    """The rows after the largest key in `table`; None, for all, while it is empty.

    Raises SourceError when the source has more rows whose key tells nothing than were loaded.
    """
    total, untold = duck.execute(
        f"SELECT count(*), count(*) FILTER (WHERE {_untold(key)}) FROM {relation(table)}"
    ).fetchall()[0]
    if not total:
        return None
    (found,) = ask(duck, replace(source, condition=_untold(key)).select(texts(["count(*)"])))
    if int(found or 0) > untold:
        raise SourceError(
            f"{found} rows of {source.name} have no finite {key.name} (incremental_key), {untold} "
            "of them are loaded, and 'append' cannot tell which; use 'merge' or another key"
        )
    largest = _largest(duck, key, table, kind)
    later = f"{_ordered(key)} > {largest} AND " if largest else ""
    return f"{later}NOT ({_untold(key)})"


def _largest(
    duck: duckdb.DuckDBPyConnection, key: SourceColumn, table: str, kind: str, among: str = "TRUE"
) -> str | None:
    """The largest key in `table`, in SQL for PostgreSQL; of the rows that meet `among`."""
    if key.base not in _ORDERED or (key.base in TEXTS) != (kind == "VARCHAR"):
        raise SourceError(
            f"the incremental_key {key.name} is {key.type} in the source and {kind} in {table}: "
            "the two are not in the same order; take another key"
        )
    ((largest,),) = duck.execute(
        f"SELECT CAST(max({quoted(key.name)}) AS VARCHAR) FROM {relation(table)}"
        f" WHERE NOT ({_untold(key)}) AND {among}"
    ).fetchall()
    if largest is None:
        return None
    return literal(largest) if key.base in TEXTS else f"{literal(largest)}::{key.base}"


def _ordered(key: SourceColumn) -> str:
    """The key in DuckDB's order: that of a text goes by its bytes, whatever its collation."""
    name = quoted(key.name)
    return f'{name}::text COLLATE "C"' if key.base in TEXTS else name


def _untold(key: SourceColumn) -> str:
    """Whether a key tells nothing of older and newer, in SQL that both databases read."""
    name, endless = quoted(key.name), _ENDLESS.get(key.base)
    return f"{name} IS NULL" + (f" OR {name} IN ({endless})" if endless else "")
