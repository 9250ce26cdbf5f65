"""A difference in words, the same in the terminal, in Markdown and on a page."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.runtime.diff.compare import ColumnDifference, Numbers, Row, TableDifference

_HIDDEN = "***"


@dataclass(frozen=True)
class ColumnWords:
    """A column that differs: in how many rows, what that does to all of its values, examples."""

    name: str
    rows: str
    overall: str
    examples: list[str]


@dataclass(frozen=True)
class Words:
    """A difference. `summary` is one line; each of `schema` says what happened to a column."""

    name: str
    before: str
    after: str
    is_none: bool
    summary: str
    schema: list[str]
    columns: list[ColumnWords]
    added: list[str]
    removed: list[str]
    note: str


def words_of(
    found: TableDifference,
    name: str,
    shown: Callable[[Any], str],
    hidden: Collection[str] = (),
) -> Words:
    """A difference in words. `shown` writes a value; those of the columns in `hidden`, which are in
    lower case, stay out of it."""

    def cell(column: str, value: Any) -> str:
        if column.lower() in hidden:
            return _HIDDEN
        return "NULL" if value is None else shown(value)

    def row(values: Row) -> str:
        pairs = zip(found.names, values, strict=True)
        return ", ".join(f"{column} {cell(column, value)}" for column, value in pairs)

    def examples(column: ColumnDifference) -> list[str]:
        return [
            f"{row(e.key)}: {cell(column.name, e.before)} → {cell(column.name, e.after)}"
            for e in column.examples
        ]

    return Words(
        name,
        found.before,
        found.after,
        found.is_none,
        _summary(found),
        [
            *(f"new column {name} ({kind})" for name, kind in found.new_columns.items()),
            *(f"lost column {name} ({kind})" for name, kind in found.lost_columns.items()),
            *(f"{name} was {old} and is {new}" for name, (old, new) in found.retyped.items()),
        ],
        [
            ColumnWords(
                column.name,
                counted(column.rows, "row"),
                _overall(column, shown) if column.name.lower() not in hidden else "",
                examples(column),
            )
            for column in found.columns
        ],
        [row(values) for values in found.added_rows],
        [row(values) for values in found.removed_rows],
        found.note,
    )


def _summary(found: TableDifference) -> str:
    before, after = found.rows
    if not (found.added or found.removed or found.changed):
        same = counted(after, "row")
        return f"equal: {same}" if found.is_none else f"{same}, all of them equal but for columns"
    parts = [
        f"{found.added:,} added" if found.added else "",
        f"{found.removed:,} removed" if found.removed else "",
        f"{found.changed:,} changed" if found.changed else "",
    ]
    by = f" by {', '.join(found.key)}" if found.key else ", compared as whole rows"
    rows = f"{before:,} rows, then {after:,}" if before != after else counted(after, "row")
    return f"{rows}{by}: {', '.join(filter(None, parts))}"


def _overall(column: ColumnDifference, shown: Callable[[Any], str]) -> str:
    """What became of all values of a column."""
    parts = []
    before, after = column.before, column.after
    if before.sum is not None and after.sum is not None and before.sum != after.sum:
        parts.append(f"sum {shown(before.sum)} → {shown(after.sum)}{_by(before, after)}")
    if before.values != after.values:
        parts.append(f"not NULL {before.values:,} → {after.values:,}")
    return "; ".join(parts)


def _by(before: Numbers, after: Numbers) -> str:
    """By how much a sum changed, in percent."""
    old, new = Decimal(str(before.sum)), Decimal(str(after.sum))
    return f" ({(new - old) / abs(old):+.2%})" if old else ""
