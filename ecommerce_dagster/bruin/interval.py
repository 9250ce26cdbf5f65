"""The stretch of time that a run is about: half-open, in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Interval:
    """`start` <= t < `end`, both aware and in UTC.

    Templates show the inclusive end `last`, as Bruin does; windows that are generated for SQL use
    the half-open one, so that the last microseconds of a day are never lost.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(
                f"the interval ends ({self.last:%Y-%m-%d %H:%M:%S}) before it starts "
                f"({self.start:%Y-%m-%d %H:%M:%S})"
            )

    @property
    def last(self) -> datetime:
        """The last instant inside the interval (microseconds)."""
        return self.end - _TICK

    def __str__(self) -> str:
        if self.start.time() == self.end.time() == datetime.min.time():
            if self.end - self.start == timedelta(days=1):
                return f"{self.start:%Y-%m-%d}"
            return f"{self.start:%Y-%m-%d} to {self.last:%Y-%m-%d}"
        return f"{self.start:%Y-%m-%d %H:%M:%S} to {self.last:%Y-%m-%d %H:%M:%S}"


def yesterday(now: datetime | None = None) -> Interval:
    """The whole UTC day before `now`: what a run is about when nobody says otherwise."""
    today = datetime.combine((now or datetime.now(UTC)).date(), datetime.min.time(), UTC)
    return Interval(today - timedelta(days=1), today)


def interval_between(start: str | None, end: str | None) -> Interval | None:
    """The interval from the dates a user gives; both inclusive; a date means the whole day.

    One date alone is completed to that day (start) or refused (end). Raises ValueError with a
    sentence for the user.
    """
    if not start and not end:
        return None
    if not start:
        raise ValueError("an end date needs a start date")
    first, _ = _instant(start)
    last, is_day = _instant(end or start)
    return Interval(first, last + (timedelta(days=1) if is_day else _TICK))


def _instant(text: str) -> tuple[datetime, bool]:
    """A point in time, naive meaning UTC, and whether the text names a whole day."""
    try:
        if len(text.strip()) == 10:
            return datetime.combine(
                date.fromisoformat(text.strip()), datetime.min.time(), UTC
            ), True
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"'{text}' is not a date; write 2026-01-31 or '2026-01-31 12:00:00'"
        ) from None
    return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)), False
