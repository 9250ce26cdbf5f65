"""What is recorded of a built table beside its rows: its size, first rows and changed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ecommerce_dagster.sql.load_result import LoadResult

PREVIEW_ROWS = 10


@dataclass(frozen=True)
class TableFacts:
    """`size_bytes` is an estimate; `preview` holds the first rows."""

    size_bytes: int | None = None
    preview: Sequence[Mapping[str, Any]] = field(default=(), repr=False)


def with_changes(
    loaded: LoadResult, before: Mapping[str, str], after: Mapping[str, str]
) -> LoadResult:
    """The load with all that it changed of the columns, whose types these are by their names. A
    table that is new changed nothing."""
    changes = _schema_changes(before, after, loaded.schema_changes) if before and after else []
    return replace(loaded, schema_changes=(*loaded.schema_changes, *changes))


def _schema_changes(
    before: Mapping[str, str], after: Mapping[str, str], told: Sequence[str]
) -> list[str]:
    """How the columns of a table differ from those before, as far as it was not `told`."""
    had, has = ({name.lower(): name for name in columns} for columns in (before, after))
    found = {
        **{has[n]: f"added column {has[n]} {after[has[n]]}" for n in has.keys() - had.keys()},
        **{had[n]: f"dropped column {had[n]}" for n in had.keys() - has.keys()},
    }
    for lower in had.keys() & has.keys():
        old, new = before[had[lower]], after[has[lower]]
        if had[lower] != has[lower]:
            found[had[lower]] = f"renamed column {had[lower]} to {has[lower]}"
        if old != new:
            found[has[lower]] = f"changed column {has[lower]} from {old} to {new}"
    order = [*after, *before]
    return [
        found[name]
        for name in dict.fromkeys(order)
        if name in found and not any(f"column {name} " in f"{text} " for text in told)
    ]
