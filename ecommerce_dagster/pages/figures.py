"""What a report shows: sums of cubes, as numbers, charts and tables.

The page is written with everything summed up. Its script (`templates/report.js`) does the same for
the dates and values that a reader chooses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, NamedTuple

from ecommerce_dagster.pages.charts import Drawn, Kind
from ecommerce_dagster.pages.formats import Format, short, text, written
from ecommerce_dagster.pages.source import Answer

DAY = "day"  # the dimension that is a date
Step = Literal["day", "week", "month"]
_DAYS, _WEEKS = 92, 731  # a chart over time has days, or weeks, up to so many days; then months
_LONGEST: dict[Step, int] = {
    "day": 1,
    "week": 7,
    "month": 31,
}  # from the start of one into the next


@dataclass(frozen=True)
class Cube:
    """Rows of numbers that can be summed up over each of their dimensions.

    `answer` holds them: a column for each of `dimensions` (`day` is a date, the others are texts)
    and columns of whole numbers or amounts. What does not add up over a dimension needs two cubes,
    one without it.
    """

    answer: Answer
    dimensions: tuple[str, ...] = ()

    @property
    def sums(self) -> list[str]:
        """The columns with numbers."""
        return [name for name in self.answer.first if name not in self.dimensions]

    @cached_property
    def days(self) -> list[date]:
        """The days of its rows."""
        return [row[DAY] for row in self.answer.rows] if DAY in self.dimensions else []


@dataclass(frozen=True)
class Measure:
    """A sum, or one sum divided by another.

    `where` names the values of dimensions that count: `{"status": ["paid", "shipped"]}`.
    """

    title: str
    sum: str
    format: Format = "count"
    per: str = ""
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """The measure of these rows of a cube; None without any to divide by."""
        for name, values in self.where.items():
            rows = [row for row in rows if row[name] in values]
        total = sum([row[self.sum] or 0 for row in rows])
        if not self.per:
            return total
        divisor = sum([row[self.per] or 0 for row in rows])
        return Decimal(total) / Decimal(divisor) if divisor else None


@dataclass(frozen=True)
class Tile:
    """One number that sums up a lot. `note` says of what; `cubes` is as for a figure."""

    title: str
    cubes: Sequence[Cube]
    measure: Measure
    note: str = ""

    @property
    def value(self) -> Any:
        """The number; None when it is not known."""
        rows = self.cubes[0].answer.rows
        return self.measure.of(rows) if rows else None

    @property
    def short(self) -> str:
        """The number as it fits on a tile."""
        return short(self.value, self.measure.format)

    @property
    def exact(self) -> str:
        """The number in full."""
        return written(self.value, self.measure.format)


class Line(NamedTuple):
    """A row of a figure: the names in front, its time if it has one, and its measures."""

    names: tuple[str, ...]
    start: date | None
    end: date | None
    values: list[Any]


@dataclass(frozen=True)
class Figure:
    """A chart of sums, and the table of its numbers.

    Args:
        title: The measure, what counts, and the unit; `{step}` becomes day, week or month.
        kind: Bars or a line over days, rows or columns of names, a grid of two.
        cubes: Where the numbers come from: the first one with all dimensions that are shown or
            filtered by. So a number that does not add up has a cube for each case.
        by: The dimensions of a row, each with its heading. A second one makes lines, or a grid.
        measures: The columns of the table; the first one is drawn.
        behind: Whether bars of the second measure stand behind those of the first, a part of it.
        step: What a chart over days shows at least, where there are two of it.
        limit: How many rows are shown, the largest first; 0 for all, in the order of their names.
        note: What a reader has to know.
    """

    title: str
    kind: Kind
    cubes: Sequence[Cube]
    by: Mapping[str, str]
    measures: Sequence[Measure]
    behind: bool = False
    step: Step = "day"
    limit: int = 0
    note: str = ""

    @property
    def answer(self) -> Answer:
        """The rows of the first cube, or why there are none."""
        return self.cubes[0].answer

    @property
    def headings(self) -> list[tuple[str, bool]]:
        """The heading of each column, and whether it holds numbers."""
        return [(title, False) for title in self.by.values()] + [
            (measure.title, True) for measure in self.measures
        ]

    @cached_property
    def chosen_step(self) -> Step:
        """Days, weeks or months for all days that there are."""
        days = self.cubes[0].days
        span = (max(days) - min(days)).days + 1 if days else 1
        fits: Step = "day" if span <= _DAYS else "week" if span <= _WEEKS else "month"
        most = min(span / 2, _LONGEST[self.step])
        wanted = [step for step, days in _LONGEST.items() if days <= most]
        return max([fits, *wanted], key=lambda step: _LONGEST[step])

    @property
    def named(self) -> str:
        """The title as it is for all days."""
        return self.title.format(step=self.chosen_step)

    @cached_property
    def lines(self) -> list[Line]:
        """The rows of the table, summed up over everything."""
        groups = self._groups()
        if self.by and next(iter(self.by)) == DAY:
            return self._over_time(groups, self.chosen_step)
        found = [
            Line(key, None, None, [measure.of(rows) for measure in self.measures])
            for key, rows in groups.items()
        ]
        if self.limit:
            return sorted(found, key=lambda line: line.values[0] or 0, reverse=True)[: self.limit]
        return sorted(found, key=lambda line: [_sortable(name) for name in line.names])

    def _groups(self) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
        """The rows of the first cube by the names that they have in front."""
        found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for row in self.cubes[0].answer.rows:
            found.setdefault(tuple([row[name] for name in self.by]), []).append(row)
        groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for key, rows in found.items():
            names = [
                _start(value, self.chosen_step) if name == DAY else text(value)
                for name, value in zip(self.by, key, strict=True)
            ]
            groups.setdefault(tuple(names), []).extend(rows)
        return groups

    def _over_time(
        self, groups: Mapping[tuple[Any, ...], list[Mapping[str, Any]]], step: Step
    ) -> list[Line]:
        """A line for each step from the first to the last, also where there is nothing."""
        others = sorted({key[1:] for key in groups})
        at, last = min(key[0] for key in groups), max(key[0] for key in groups)
        found = []
        while at <= last:
            end = _start(at + timedelta(days=_LONGEST[step]), step)
            for other in others:
                values = [measure.of(groups.get((at, *other), [])) for measure in self.measures]
                found.append(Line((_when(at, step), *other), at, end, values))
            at = end
        return found

    def drawn(self, as_of: datetime) -> list[Drawn]:
        """What the chart shows; a time that was not over at `as_of` has a note.

        Of several lines only what is over is drawn: an unfinished week would look like a fall.
        """
        found = [self._drawn(line, as_of) for line in self.lines]
        if self.kind != "lines" or self.chosen_step == "day":
            return found
        return [row for row in found if not row["note"]]

    def _drawn(self, line: Line, as_of: datetime) -> Drawn:
        value, measure = line.values[0], self.measures[0]
        note = "not over" if line.end and _moment(line.end) > as_of else None
        words = ", ".join(line.names) + f": {written(value, measure.format)}"
        return {
            "at": _milliseconds(line.start) if line.start else line.names[0],
            "end": _milliseconds(line.end) if line.end else None,
            "series": line.names[1] if len(line.names) > 1 else measure.title,
            "value": None if value is None else float(value),
            "behind": float(line.values[1]) if self.behind else None,
            "label": short(value, measure.format),
            "tip": words + (f" ({note})" if note else ""),
            "note": note,
        }

    @property
    def cells(self) -> list[list[str]]:
        """The rows of the table as they are written."""
        return [
            [
                *line.names,
                *(written(v, m.format) for v, m in zip(line.values, self.measures, strict=True)),
            ]
            for line in self.lines
        ]


def _start(day: date, step: Step) -> date:
    """The first day of the day's week (Monday) or month."""
    if step == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if step == "month" else day


def _when(start: date, step: Step) -> str:
    """A time in words: 2026-11-25, or 2026-11 for a month."""
    return f"{start:%Y-%m}" if step == "month" else start.isoformat()


def _moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _milliseconds(day: date) -> int:
    return round(_moment(day).timestamp() * 1000)


def _sortable(name: str) -> tuple[float, str]:
    """Numbers by size before names."""
    return (float(name), "") if name.replace(".", "", 1).isdigit() else (float("inf"), name)
