"""Checks that need no threshold: what was measured, compared with what was expected of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import pairwise
from math import ceil, floor

from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.sql.checks import Check, CheckResult
from ecommerce_dagster.sql.comparison import Comparison, Measured, Point
from ecommerce_dagster.sql.expected_range import (
    COUNT,
    DELAY,
    LEAST,
    LONGEST,
    SHARE,
    TOTAL,
    VALUE,
    Expected,
    expected,
)
from ecommerce_dagster.sql.measures import DAY

SCALES = {
    "volume": COUNT,
    "freshness": DELAY,
    "null_percent": SHARE,
    "distinct_percent": SHARE,
    "average": VALUE,
}
# What is only wrong when there is more of it.
ONLY_MORE = {"freshness", "null_percent"}
_SECONDS = 86_400  # of a day
_POINTS = 90  # that are kept: one a day
# The growth of a table is asked of what it had so many seconds before, at the least: of the last
# run, a few minutes ago, it need not have grown.
_APART = 0.75 * _SECONDS
_GROWING = 0.9  # of the days, for a table that grows all the time
_ACCEPTED = 7  # measures out of range, after which a growing table goes on from the last of them


@dataclass(frozen=True)
class _Judgement:
    """A measured value of a check, what was expected of it (None while that is learnt, of which
    `seen` days are behind), and the day that it is about: `day`.

    Of the rows that came since an earlier measure, `before` is that.
    """

    check: Check
    day: date
    value: float
    expected: Expected | None
    seen: int
    before: Point | None = None

    @property
    def passed(self) -> bool:
        found = self.expected
        if found is None:
            return True
        return self.value <= found.high and (self._has_no_low or found.low <= self.value)

    @property
    def _has_no_low(self) -> bool:
        return self.check.rule.name in ONLY_MORE

    def result(
        self,
        about: str = "",
        *,
        points: tuple[Point, ...] = (),
        days: tuple[date, date] | None = None,
    ) -> CheckResult:
        """The result in words, which begin with what it is `about`."""
        found = self.expected
        measured = Measured(self.value, points=points, days=days)
        if found is not None:
            low = None if self._has_no_low else found.low
            measured = replace(measured, low=low, high=found.high)
        message = f"{about}{self._found()}; {self._wanted()}"
        return CheckResult(self.check, self.passed, message, measured=measured)

    def _found(self) -> str:
        name, value = self.check.rule.name, self._shown(self.value)
        column = self.check.column.name if self.check.column else "row"
        match name:
            case "null_percent":
                return f"{value} of {column} is NULL"
            case "distinct_percent":
                return f"{value} of the values of {column} are distinct"
            case "average":
                return f"the average of {column} is {value}"
            case "freshness":
                return f"the newest {column} is {value} old"
        rows = counted(round(self.value), "row")
        if self.before is None:
            return rows
        more, fewer = self.value - self.before.value, self.before.value - self.value
        by = f"{more:,.0f} more" if more >= 0 else f"{fewer:,.0f} fewer"
        return f"{rows}, {by} than on {_day_of(self.before)}"

    def _wanted(self) -> str:
        found = self.expected
        if found is None:
            return f"learning what to expect: {self.seen} of {LEAST} days seen"
        low, high = self._shown(found.low), self._shown(found.high)
        bounds = f"at most {high}" if self._has_no_low else f"{low} to {high}"
        if found.alike is None:
            return f"expected {bounds}, from {found.days} days"
        weekday = f"{self.day:%A}"
        alike = counted(found.alike, weekday)
        return f"expected {bounds} on a {weekday}, from {alike} in {found.days} days"

    def _shown(self, value: float) -> str:
        match self.check.rule.name:
            case "volume":
                return f"{value:,.0f}"
            case "null_percent" | "distinct_percent":
                return f"{value:.3g} %"
            case "freshness":
                return _duration(value)
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def days_judged(
    check: Check, compared: Comparison, found: Mapping[date, float], rows: Mapping[date, float]
) -> CheckResult:
    """The result of a check of a table that is its own history. `found` are the measures of its
    days (of `freshness`, when their newest rows are from, in seconds since 1970), `rows` how many
    rows each has."""
    if compared.days is None:
        return CheckResult(check, True, "there is no complete day with rows yet")
    if check.blocking and not compared.fills:
        words = "the run fills no whole day; only those that it fills can keep rows back"
        return CheckResult(check, True, words)
    first, last = compared.days
    values = _without_gaps(check.rule.name, found, last)
    judged = [
        _of_day(check, values, day, rows.get(day, 0)) for day in _days(first, last) if day in values
    ]
    if not judged:
        return CheckResult(check, True, f"there is nothing to measure on {last}")
    wrong = [one for one in judged if not one.passed]
    shown = wrong or judged
    more = f"{counted(len(wrong) - 1, 'other day')} out of range, and on " if wrong[1:] else ""
    return shown[-1].result(f"{more}{shown[-1].day}: ", days=(shown[0].day, shown[-1].day))


def run_judged(check: Check, compared: Comparison, found: float | None, rows: float) -> CheckResult:
    """The result of a check of a table with so many rows that is compared with what earlier runs
    measured. `found` is the measure: of `freshness`, when the newest row is from, in seconds since
    1970."""
    past, now = compared.past, compared.until.timestamp()
    if past and past[-1].at > now:
        words = f"not compared: later runs than of {compared.until.date()} were measured"
        return CheckResult(check, True, words)
    if found is None:
        return CheckResult(check, True, "there is nothing to measure")
    value = max(0.0, now - found) if check.rule.name == "freshness" else found
    judged = _of_run(check, past, Point(now, value), rows)
    kept = {_day_of(point): point for point in (*past, Point(now, value, judged.passed))}
    return judged.result(points=tuple(kept.values())[-_POINTS:])


def _of_day(check: Check, values: Mapping[date, float], day: date, rows: float) -> _Judgement:
    found = _expected(check.rule.name, values, day, rows)
    seen = sum(day - LONGEST <= other < day for other in values)
    return _Judgement(check, day, values[day], found, seen)


def _of_run(check: Check, past: Sequence[Point], now: Point, rows: float) -> _Judgement:
    day = _day_of(now)
    earlier = {_day_of(point): point.value for point in past if _day_of(point) < day}
    if check.rule.name != "volume":
        found = _expected(check.rule.name, earlier, day, rows)
        return _Judgement(check, day, now.value, found, len(earlier))
    growing = _growth(past, now)
    if growing is not None:
        before, found = growing
        return _Judgement(check, day, now.value, found, len(earlier), before)
    found = expected(earlier, day, TOTAL)
    return _Judgement(check, day, now.value, _whole(found) if found else None, len(earlier))


def _growth(past: Sequence[Point], now: Point) -> tuple[Point, Expected] | None:
    """The measure from which a table that grows all the time has grown since, and how many rows it
    is expected to have; None for any other table.

    Measures that were not expected do not count: what vanished and came back did not grow.
    """
    known = [point for point in past if point.passed]
    rates = {
        _day_of(later): (later.value - earlier.value) * _SECONDS / (later.at - earlier.at)
        for earlier, later in pairwise(known)
        if later.at - earlier.at >= _SECONDS / 2
    }
    if sum(rate > 0 for rate in rates.values()) < _GROWING * len(rates):
        return None
    found = expected(rates, _day_of(now), COUNT)
    is_new_level = not any(point.passed for point in past[-_ACCEPTED:])
    from_all = past if is_new_level else known
    before = [point for point in from_all if now.at - point.at >= _APART]
    if found is None or not before:
        return None
    since, days = before[-1], (now.at - before[-1].at) / _SECONDS
    low, high = (since.value + rate * days for rate in (found.low, found.high))
    return since, _whole(replace(found, low=low, high=high))


def _expected(name: str, values: Mapping[date, float], day: date, rows: float) -> Expected | None:
    found = expected(values, day, SCALES[name], rows)
    return _whole(found) if found is not None and name == "volume" else found


def _whole(found: Expected) -> Expected:
    """Whole rows: a range that is shown is the one that is asked for."""
    return replace(found, low=floor(found.low), high=ceil(found.high))


def _without_gaps(name: str, found: Mapping[date, float], last: date) -> Mapping[date, float]:
    """The measures of days with those of days without rows: no rows, or a newest row that is one
    more day old. Nothing is known of what the columns of no rows have."""
    if name not in {"volume", "freshness"} or not found:
        return found
    values: dict[date, float] = {}
    newest = 0.0
    for day in _days(min(found), last):
        if name == "volume":
            values[day] = found.get(day, 0.0)
            continue
        newest = max(newest, found.get(day, 0.0))
        end = datetime.combine(day + DAY, datetime.min.time(), UTC).timestamp()
        values[day] = max(0.0, end - newest)
    return values


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += DAY


def _day_of(point: Point) -> date:
    return datetime.fromtimestamp(point.at, UTC).date()


def _duration(seconds: float) -> str:
    """A time in its two largest units: `1 d 2 h`."""
    minutes = round(seconds / 60)
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{minutes} min" if minutes else "less than 1 min"
