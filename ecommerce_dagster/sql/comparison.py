"""What a check that needs no threshold is compared with in a run, and what it measured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True)
class Point:
    """What a run measured `at` a moment (seconds since 1970), and whether that was expected."""

    at: float
    value: float
    passed: bool = True


@dataclass(frozen=True)
class Comparison:
    """What a run compares a measure with; `until` is the moment that the run is about.

    A table that is rebuilt by days, those of its column `key`, is its own history: `days` are the
    first and the last that are judged (None: the newest complete one that has rows), which the run
    `fills` or not. Of any other table the measures of runs in the `past` are, the latest last.
    `time` is the column in which the newest row of an asset is looked for.
    """

    until: datetime
    key: str | None = None
    days: tuple[date, date] | None = None
    fills: bool = True
    time: str | None = None
    past: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Measured:
    """A value, the range that was expected (None while that is learnt) and the measures that later
    runs compare theirs with; or, of a table that is its own history, the first and the last of the
    `days` that the result is about."""

    value: float
    low: float | None = None
    high: float | None = None
    points: tuple[Point, ...] = ()
    days: tuple[date, date] | None = None
