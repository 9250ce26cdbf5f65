"""What a query returned against what a unit test expects, as a difference to read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

import duckdb

from ecommerce_dagster.bruin.model.asset import as_text
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.problems import did_you_mean

Cells = dict[str, Any]
_KEYS = {"rows", "count", "match", "order", "ctes"}
# Rows of a difference that are shown; the rest is counted.
_SHOWN = 20
# Sums of floating point numbers differ in their last digits.
_DIGITS = 12


@dataclass(frozen=True)
class Expected:
    """What must come out: `rows`, or only their `count`, of the query and of its CTEs.

    A row says something of the columns that it names alone. `exact`: there are no other rows;
    without it there may be others, unless `rows` is empty.
    """

    rows: Sequence[Mapping[str, Any]] | None = None
    count: int | None = None
    exact: bool = False
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
            _word(written, "match", {"subset", "exact"}) == "exact"
            or (rows == [] and "match" not in written),
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
    places = {name.lower(): place for place, name in enumerate(names)}
    columns = list(dict.fromkeys(key for row in expected.rows for key in row))
    unknown = [column for column in columns if column.lower() not in places]
    if unknown:
        lacks, returns = ", ".join(unknown), ", ".join(names)
        yield f"the query returns no column {lacks}; it returns {returns}"
        return
    shown = {column: places[column.lower()] for column in columns}
    shown = shown or {name: place for place, name in enumerate(names)}
    kinds = {key: _kind([row[place] for row in found]) for key, place in shown.items()}
    ours = [{key: _cell(row[place], kinds[key]) for key, place in shown.items()} for row in found]
    theirs = [{key: _cell(cell, kinds[key]) for key, cell in row.items()} for row in expected.rows]
    if expected.strict_order and not expected.exact:
        ours = ours[: len(theirs)]
    yield from _compared(ours, theirs, expected)


def _compared(ours: list[Cells], theirs: list[Cells], expected: Expected) -> Iterator[str]:
    pairs = _pairs(ours, theirs)
    missing = [row for number, row in enumerate(theirs) if number not in pairs]
    taken = set(pairs.values())
    surplus = [row for number, row in enumerate(ours) if number not in taken]
    lines = list(_changes(missing, surplus))
    lines += [f"- missing  {_shown(row)}" for row in missing]
    if expected.exact:
        lines += [f"+ surplus  {_shown(row)}" for row in surplus]
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"and {len(lines) - _SHOWN} more differences"
    if not lines and expected.strict_order:
        for number, (has, should) in enumerate(zip(ours, theirs, strict=False), start=1):
            if not _agrees(should, has):
                own = {key: has[key] for key in should}
                yield f"row {number} is {_shown(own)} instead of {_shown(should)}"
                return


def _agrees(expected: Cells, row: Cells) -> bool:
    return all(row[key] == cell for key, cell in expected.items())


def _pairs(ours: Sequence[Cells], theirs: Sequence[Cells]) -> dict[int, int]:
    """The row that was found for each expected one, by number; no row for two of them.

    One that names few columns gives way to another that only that row can be.
    """
    fits = [[n for n, row in enumerate(ours) if _agrees(expected, row)] for expected in theirs]
    taken: dict[int, int] = {}

    def place(number: int, tried: set[int]) -> bool:
        free = next((row for row in fits[number] if row not in taken), None)
        for row in fits[number] if free is None else [free]:
            if row in tried:
                continue
            tried.add(row)
            if row not in taken or place(taken[row], tried):
                taken[row] = number
                return True
        return False

    for number in range(len(theirs)):
        place(number, set())
    return {number: row for row, number in taken.items()}


def _changes(missing: list[Cells], surplus: list[Cells]) -> Iterator[str]:
    """Takes out of both lists the rows that differ from one of the other in few columns."""
    for row in list(missing):
        other = _nearest(row, surplus)
        if other is None:
            continue
        missing.remove(row)
        surplus.remove(other)
        same = {key: cell for key, cell in row.items() if other[key] == cell}
        changed = [
            f"{key} is {_text(other[key])} instead of {_text(cell)}"
            for key, cell in row.items()
            if other[key] != cell
        ]
        yield f"~ changed  {_shown(same)}: {', '.join(changed)}"


def _nearest(row: Cells, others: Sequence[Cells]) -> Cells | None:
    """The row that has most cells in common, at least half of them."""

    def common(other: Cells) -> int:
        return sum(other[key] == cell for key, cell in row.items())

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


def _shown(row: Cells) -> str:
    return ", ".join(f"{column}={_text(value)}" for column, value in row.items())


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
