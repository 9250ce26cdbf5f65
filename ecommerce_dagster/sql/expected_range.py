"""The range in which the next value of a daily series is expected, from the values before it.

The level is the median of the last 14 days, without what is usual for the weekday; the width comes
from how far the same forecast was off on the days of the history. Medians ignore single days that
were wrong, and a new level is the expected one after eight days. benchmarks/anomalies.py measures
how many incidents this finds, and how often it is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import asin, exp, log, pi, sin, sqrt
from statistics import median

LONGEST = timedelta(days=90)  # how far back a history is looked at
LEAST = 21  # days before anything is expected: each weekday three times
_LEVEL = 14  # days of which the level is the median
_FIRST = 7  # days before the first forecast for a day of the history
_AROUND = 3  # days before and after, with which a day is compared for its weekday
_ALIKE = 3  # days of a weekday, before anything is usual for it
# Standard deviations on each side, and by how much more where few forecasts tell their size.
_WIDTH = 4.0
_MORE = 3.0
# What is half, and 80 %, of normally distributed errors, in standard deviations.
_HALF, _MOST = 0.6745, 1.2816


@dataclass(frozen=True)
class Scale:
    """How values of a kind vary.

    On the scale of `onto` (`back` is its inverse) they vary by about the same around small and
    large values. What is off by less than `least(value, rows)` (downward, upward) on it is no news,
    for a value that was measured in so many rows.
    """

    onto: Callable[[float], float]
    back: Callable[[float], float]
    least: Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Expected:
    """The range from `low` to `high`, from so many `days` before, `alike` of them of the same
    weekday. `alike` is None while no weekday differs."""

    low: float
    high: float
    days: int
    alike: int | None = None


def _count(n: float, rows: float) -> tuple[float, float]:
    chance = _WIDTH / sqrt(n + 1)
    return max(_FEWER, chance), max(_MANY, chance)


def _total(n: float, rows: float) -> tuple[float, float]:
    return (max(0.04, _WIDTH / (n + 1)),) * 2


def _share(p: float, rows: float) -> tuple[float, float]:
    """By chance alone the arc sine of a share varies by one half over the root of the rows."""
    return (max(0.04, _WIDTH / 2 / sqrt(max(rows, 1))),) * 2


# Rows of a day. Zero counts as half a row. A third fewer is news, and 80 % more: less is a holiday,
# or a sale.
_FEWER, _MANY = log(1.5), log(1.8)
COUNT = Scale(lambda n: log(max(n, 0.5)), lambda y: exp(y) if y > log(0.5) else 0.0, _count)
# The rows of a whole table: 4 %, and four of a few.
TOTAL = Scale(COUNT.onto, COUNT.back, _total)
# In percent.
SHARE = Scale(
    lambda p: asin(sqrt(min(max(p, 0.0), 100.0) / 100)),
    lambda y: 100 * sin(min(max(y, 0.0), pi / 2)) ** 2,
    _share,
)
# An eighth of it.
VALUE = Scale(lambda x: x, lambda x: x, lambda x, rows: (abs(x) / 8,) * 2)
# In seconds: an hour after none at all.
DELAY = Scale(lambda s: sqrt(max(s, 0.0)), lambda y: max(y, 0.0) ** 2, lambda s, rows: (60.0, 60.0))


def expected(
    history: Mapping[date, float], day: date, scale: Scale, rows: float = 0
) -> Expected | None:
    """The expected range for a value that is measured in so many rows on `day`, from the values of
    earlier days; None when they are fewer than LEAST. Days may be missing."""
    days = sorted(d for d in history if day - LONGEST <= d < day)
    if len(days) < LEAST:
        return None
    values = [scale.onto(history[d]) for d in days]
    usual = _weekdays(days, values)
    plain = [y - usual.get(d.weekday(), 0.0) for d, y in zip(days, values, strict=True)]
    errors = [abs(plain[i] - _level(plain[:i])) for i in range(_FIRST, len(plain))]
    centre = _level(plain) + usual.get(day.weekday(), 0.0)
    half = (_WIDTH + _MORE * _FIRST / len(errors)) * _spread(errors)
    fewer, more = scale.least(scale.back(centre), rows)
    alike = sum(d.weekday() == day.weekday() for d in days) if usual else None
    return Expected(
        scale.back(centre - max(half, fewer)),
        scale.back(centre + max(half, more)),
        len(days),
        alike,
    )


def _level(values: Sequence[float]) -> float:
    return median(values[-_LEVEL:])


def _weekdays(days: Sequence[date], values: Sequence[float]) -> dict[int, float]:
    """How far each weekday usually is from the week around it; nothing when all are the same."""
    off = defaultdict[int, list[float]](list)
    for i, day in enumerate(days):
        off[day.weekday()].append(values[i] - median(values[max(0, i - _AROUND) : i + _AROUND + 1]))
    usual = {weekday: median(each) for weekday, each in off.items() if len(each) >= _ALIKE}
    return usual if any(usual.values()) else {}


def _spread(errors: Sequence[float]) -> float:
    """The standard deviation that errors of this size have, whatever the largest of them are."""
    ordered = sorted(errors)
    return max(median(ordered) / _HALF, ordered[int(0.8 * (len(ordered) - 1))] / _MOST)
