"""What a query returned against what a unit test expects, as a difference to read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, cast

import duckdb

from ecommerce_dagster.bruin.counted import counted
from ecommerce_dagster.bruin.model.asset import as_text
from ecommerce_dagster.bruin.problems import did_you_mean

Cells = tuple[Any, ...]
_KEYS = {"rows", "count", "match", "order", "ctes"}
# More rows than that nobody reads; the rest is counted.
_SHOWN = 20
# Sums of floating point numbers differ in their last digits.
_DIGITS = 12


@dataclass(frozen=True)
class Expected:
    """What must come out: `rows`, or only their `count`, of the query and of its CTEs.

    `exact`: nothing else, in no other column; `subset`: at least these; None: no other row, in the
    columns that are named.
    """

    rows: Sequence[Mapping[str, Any]] | None = None
    count: int | None = None
    match: Literal["subset", "exact"] | None = None
    strict_order: bool = False
    ctes: Mapping[str, Expected] = field(default_factory=dict)

    @classmethod
    def of(cls, written: Any) -> Expected:
        """From a file. Raises ValueError."""
        if isinstance(written, list):
            written = {"rows": written}
        if not isinstance(written, Mapping) or not written:
            raise ValueError("the test says nothing of what is `expected`: rows, count or ctes")
        for key in written:
            if key not in _KEYS:
                raise ValueError(f"unknown key '{key}' in `expected`; {did_you_mean(key, _KEYS)}")
        rows, ctes = written.get("rows"), written.get("ctes") or {}
        if rows is not None and not (
            isinstance(rows, list) and all(isinstance(row, Mapping) for row in rows)
        ):
            raise ValueError("the expected rows must be a list of mappings")
        return cls(
            rows,
            _count(written.get("count")),
            cast(Any, _word(written, "match", {"subset", "exact"})),
            _word(written, "order", {"any", "strict"}) == "strict",
            {str(name): cls.of(inner) for name, inner in ctes.items()},
        )


def differences(
    connection: duckdb.DuckDBPyConnection, query: str, expected: Expected
) -> Iterator[str]:
    """What a query returns otherwise than expected, line by line."""
    if expected.rows is None and expected.count is None:
        return
    cursor = connection.execute(query)
    names = [str(column[0]) for column in cursor.description or []]
    found = cursor.fetchall()
    if expected.count is not None and len(found) != expected.count:
        yield f"{counted(len(found), 'row')} instead of {expected.count}"
    if expected.rows is None:
        return
    columns = list(dict.fromkeys(key for row in expected.rows for key in row)) or names
    unknown = [column for column in columns if column not in names]
    if unknown:
        lacks, returns = ", ".join(unknown), ", ".join(names)
        yield f"the query returns no column {lacks}; it returns {returns}"
        return
    others = [name for name in names if name not in columns]
    if expected.match == "exact" and others:
        yield f"the query also returns {', '.join(others)}, which no row names"
    places = [names.index(column) for column in columns]
    kinds = [_kind([row[place] for row in found]) for place in places]
    ours = [
        tuple(_cell(row[place], kind) for place, kind in zip(places, kinds, strict=True))
        for row in found
    ]
    theirs = [
        tuple(_cell(row.get(key), kind) for key, kind in zip(columns, kinds, strict=True))
        for row in expected.rows
    ]
    yield from _compared(ours, theirs, columns, expected)


def _compared(
    ours: Sequence[Cells], theirs: Sequence[Cells], columns: Sequence[str], expected: Expected
) -> Iterator[str]:
    missing = list((Counter(theirs) - Counter(ours)).elements())
    surplus = list((Counter(ours) - Counter(theirs)).elements())
    if expected.match == "subset":
        surplus = [row for row in surplus if _nearest(row, missing) is not None]
    lines = list(_changes(missing, surplus, columns))
    lines += [f"- missing  {_shown(row, columns)}" for row in missing]
    if expected.match != "subset":
        lines += [f"+ surplus  {_shown(row, columns)}" for row in surplus]
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"and {len(lines) - _SHOWN} more differences"
    if not lines and expected.strict_order:
        kept = [row for row in ours if row in set(theirs)] if expected.match == "subset" else ours
        for number, (has, should) in enumerate(zip(kept, theirs, strict=False), start=1):
            if has != should:
                instead = _shown(should, columns)
                yield f"row {number} is {_shown(has, columns)} instead of {instead}"
                return


def _changes(missing: list[Cells], surplus: list[Cells], columns: Sequence[str]) -> Iterator[str]:
    """Takes out of both lists the rows that differ from one of the other in few columns."""
    for row in list(missing):
        other = _nearest(row, surplus)
        if other is None:
            continue
        missing.remove(row)
        surplus.remove(other)
        same = [(key, a) for key, a, b in zip(columns, row, other, strict=True) if a == b]
        changed = [
            f"{key} is {_text(b)} instead of {_text(a)}"
            for key, a, b in zip(columns, row, other, strict=True)
            if a != b
        ]
        where = ", ".join(f"{key}={_text(cell)}" for key, cell in same)
        yield f"~ changed  {where}: {', '.join(changed)}"


def _nearest(row: Cells, others: Sequence[Cells]) -> Cells | None:
    """The row that has most cells in common, at least half of them."""

    def common(other: Cells) -> int:
        return sum(a == b for a, b in zip(row, other, strict=True))

    best = max(others, key=common, default=None)
    return best if best is not None and 2 * common(best) >= max(2, len(row)) else None


def _kind(values: Sequence[Any]) -> str:
    """How the values of a column are compared."""
    known = [value for value in values if value is not None]
    if not known:
        return "any"
    if all(isinstance(value, bool) for value in known):
        return "boolean"
    if all(isinstance(value, int | float | Decimal) for value in known):
        return "float" if any(isinstance(value, float) for value in known) else "number"
    if all(isinstance(value, date | time) for value in known):
        return "time"
    return "text" if all(isinstance(value, str) for value in known) else "other"


def _cell(value: Any, kind: str) -> Any:
    """A value that equals another exactly when both mean the same in such a column."""
    if value is None:
        return None
    match kind:
        case "boolean":
            return str(as_text(value)).lower()
        case "number" | "float":
            try:
                number = Decimal(str(as_text(value)))
            except InvalidOperation:
                return str(value)
            digits = f"{number:.{_DIGITS}g}" if kind == "float" else number
            return Decimal(digits).normalize()
        case "time":
            return _moment(value)
        case "text":
            return str(as_text(value))
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(value, default=str, sort_keys=True)
    return str(as_text(value))


def _moment(value: Any) -> str:
    """A date or a time as text, in UTC; midnight is its day."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return str(value)
    if isinstance(value, datetime):
        value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return str(value.isoformat(" ")).removesuffix(" 00:00:00")
    return str(value)


def _shown(row: Cells, columns: Sequence[str]) -> str:
    return ", ".join(f"{column}={_text(value)}" for column, value in zip(columns, row, strict=True))


def _text(cell: Any) -> str:
    if cell is None:
        return "NULL"
    return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)


def _count(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError(f"the expected count must be a whole number, not '{value}'")


def _word(written: Mapping[str, Any], key: str, known: set[str]) -> str | None:
    word = written.get(key)
    if word is not None and word not in known:
        raise ValueError(f"`{key}` is '{word}'; expected {' or '.join(sorted(known))}")
    return None if word is None else str(word)
