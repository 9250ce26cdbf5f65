"""Which rows of the source a run takes: those of a window, or those that are new, by a key.

The answer is a condition in the source's SQL, in the key's own type, so that an index on it serves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.sources.columns import FLOATS, INTEGERS, MOMENTS, TEXTS, SourceColumn
from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.warehouses.base import Watermark, unordered

_ORDERED = MOMENTS | FLOATS | INTEGERS | TEXTS | {"numeric", "uuid"}
# Keys beyond all others: were one of them the largest, no later row would ever be new.
_ENDLESS_MOMENTS = ("infinity", "-infinity")
_ENDLESS_FLOATS = (*_ENDLESS_MOMENTS, "NaN")
_DUCKDB_MOMENT = re.compile(r"DATE|TIMESTAMP.*")


@dataclass(frozen=True)
class Key:
    """The incremental key of a source. `type` is the source's word for it; `moment` and `ordered`
    are SQL for comparing it with instants, and in the order of bytes when it is a text."""

    name: str
    type: str
    moment: str
    ordered: str
    is_moment: bool
    is_ordered: bool
    is_text: bool
    infinities: tuple[str, ...] = ()

    @classmethod
    def of_postgres(cls, column: SourceColumn) -> Key:
        name, base = quoted(column.name), column.base
        infinities = {
            **dict.fromkeys(MOMENTS, _ENDLESS_MOMENTS),
            **dict.fromkeys(FLOATS, _ENDLESS_FLOATS),
        }
        return cls(
            column.name,
            column.type,
            moment=name,
            ordered=f'{name}::text COLLATE "C"' if base in TEXTS else name,
            is_moment=base in MOMENTS,
            is_ordered=base in _ORDERED,
            is_text=base in TEXTS,
            infinities=infinities.get(base, ()),
        )

    @classmethod
    def of_duckdb(cls, name: str, kind: str) -> Key:
        is_moment = _DUCKDB_MOMENT.fullmatch(kind) is not None
        infinities = _ENDLESS_FLOATS if kind in {"FLOAT", "DOUBLE"} else ()
        return cls(
            name,
            kind,
            moment=f"CAST({quoted(name)} AS TIMESTAMPTZ)",
            ordered=quoted(name),
            is_moment=is_moment,
            is_ordered=True,
            is_text=kind == "VARCHAR",
            infinities=_ENDLESS_MOMENTS if is_moment else infinities,
        )

    @property
    def unordered(self) -> str:
        """The condition that the key tells nothing of older and newer."""
        return unordered(self.name, self.infinities)

    def value(self, largest: str) -> str:
        """A key as a constant of its type."""
        return literal(largest) if self.is_text else f"CAST({literal(largest)} AS {self.type})"


def within(key: Key, window: Interval) -> str:
    """The rows of a window, half-open."""
    _require_moment(key)
    return f"{key.moment} >= {literal(window.start)} AND {key.moment} < {literal(window.end)}"


def since(key: Key, first: datetime) -> str:
    """The rows that are not before an instant, those whose key tells nothing among them."""
    _require_moment(key)
    return f"({key.moment} >= {literal(first)} OR {key.unordered})"


def from_largest(key: Key, table: str, mark: Watermark, overlap: float) -> str | None:
    """The rows at or after the largest key in `table`; None for all.

    Where keys are times, from `overlap` seconds before it: a row may be committed after others that
    have a later time. Rows whose key tells nothing, being NULL or infinite, are taken every time:
    none is missed.
    """
    largest = _largest(key, table, mark)
    if largest and key.is_moment and overlap:
        largest = f"{largest} - interval '{overlap} seconds'"
    return f"({key.ordered} >= {largest} OR {key.unordered})" if largest else None


def after_largest(key: Key, table: str, mark: Watermark, count: Callable[[str], int]) -> str | None:
    """The rows after the largest key in `table`; None, for all, while it is empty.

    `count` tells how many rows of the source meet a condition. Raises LoadError when it has more
    rows whose key tells nothing than were loaded.
    """
    if not mark.rows:
        return None
    found = count(key.unordered)
    if found > mark.unordered:
        rows = counted(found, "row")
        raise LoadError(
            f"the incremental_key {key.name} is NULL or infinite in {rows} of the source and in "
            f"{mark.unordered} of {table}: 'append' cannot tell which are new; use 'merge', or "
            "another key"
        )
    largest = _largest(key, table, mark)
    later = f"{key.ordered} > {largest} AND " if largest else ""
    return f"{later}NOT ({key.unordered})"


def _require_moment(key: Key) -> None:
    if not key.is_moment:
        raise LoadError(
            f"the incremental_key {key.name} is {key.type}; an interval needs a date or a timestamp"
        )


def _largest(key: Key, table: str, mark: Watermark) -> str | None:
    """The largest key in `table`, in the source's SQL."""
    if not key.is_ordered or key.is_text != mark.is_text:
        raise LoadError(
            f"the incremental_key {key.name} is {key.type} in the source and {mark.kind} in "
            f"{table}: the two are not in the same order; take another key"
        )
    return None if mark.largest is None else key.value(mark.largest)
