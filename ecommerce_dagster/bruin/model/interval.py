"""The stretch of time that a run is about: half-open, in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_TICK = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_MIDNIGHT = datetime.min.time()


@dataclass(frozen=True)
class Interval:
    """`start` <= t < `end`, both aware and in UTC.

    Templates show the inclusive end `last`, as Bruin does; windows that are generated for SQL use
    the half-open one, so that the last microseconds of a day are never lost.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", _in_utc(self.start))
        object.__setattr__(self, "end", _in_utc(self.end))
        if self.end <= self.start:
            raise ValueError(
                f"the interval ends ({_second(self.end)}) before it starts ({_second(self.start)})"
            )

    @property
    def last(self) -> datetime:
        """The last instant inside the interval (microseconds)."""
        return self.end - _TICK

    def whole_days(self) -> Interval:
        """The UTC days that the interval has a part of."""
        return Interval(_midnight(self.start.date()), _midnight(self.last.date()) + _DAY)

    def __str__(self) -> str:
        if self.start.time() == self.end.time() == _MIDNIGHT:
            if self.end - self.start == _DAY:
                return f"{self.start.date()}"
            return f"{self.start.date()} to {self.last.date()}"
        return f"{_second(self.start)} to {_second(self.last)}"


def yesterday(now: datetime | None = None) -> Interval:
    """The whole UTC day before `now`: the default interval of a run."""
    today = _midnight(_in_utc(now or datetime.now(UTC)).date())
    return Interval(today - _DAY, today)


def interval_between(start: str | None, end: str | None) -> Interval | None:
    """The interval from the dates a user gives; both inclusive; a date means the whole day.

    A day alone is that day. Raises ValueError with a sentence for the user.
    """
    if not start and not end:
        return None
    if not start:
        raise ValueError("an end date needs a start date")
    first, is_day = _instant(start)
    if not end and not is_day:
        raise ValueError(f"'{start}' is a moment and not a day; give an end as well")
    last, is_day = _instant(end or start)
    try:
        after = last + (_DAY if is_day else _TICK)
    except OverflowError:
        raise ValueError(f"'{end or start}' is too late; the last day is 9999-12-30") from None
    if after <= first:
        raise ValueError(f"the end '{end}' is before the start '{start}'")
    return Interval(first, after)


def months_later(moment: datetime, months: int) -> datetime:
    """Months as Go adds them: January 31 plus one is March 2 or 3. Raises OverflowError."""
    total = moment.year * 12 + moment.month - 1 + months
    if not 1 <= total // 12 <= 9999:
        raise OverflowError("outside of the years 1 to 9999")
    first = moment.replace(year=total // 12, month=total % 12 + 1, day=1)
    return first + timedelta(days=moment.day - 1)


def _instant(text: str) -> tuple[datetime, bool]:
    """A point in time, naive meaning UTC, and whether the text names a whole day."""
    try:
        return _midnight(date.fromisoformat(text.strip())), True
    except ValueError:
        pass
    try:
        return _in_utc(datetime.fromisoformat(text.strip())), False
    except ValueError:
        message = f"'{text}' is not a date; write 2026-01-31 or '2026-01-31 12:00:00'"
        raise ValueError(message) from None
    except OverflowError:
        raise ValueError(f"'{text}' is outside of the years 1 to 9999 in UTC") from None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, _MIDNIGHT, UTC)


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _second(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ", "seconds")
