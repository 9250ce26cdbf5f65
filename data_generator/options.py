"""What to generate: the options of one load and the rules they obey."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Self

from ecommerce_dagster.errors import BruinError


class GeneratorError(BruinError):
    """A load that could not be done; the message is one for the user and holds no password."""


class InvalidOptionsError(GeneratorError, ValueError):
    """Options that make no sense together; `problems` lists all of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Window:
    """The time orders fall in, both ends included, in UTC."""

    starting_at: datetime
    ending_at: datetime

    @property
    def seconds(self) -> int:
        """Whole seconds from the start to the end; negative when inverted."""
        return math.floor((self.ending_at - self.starting_at).total_seconds())

    @property
    def days(self) -> int:
        """The UTC days that the window touches."""
        return (self.ending_at.date() - self.starting_at.date()).days + 1

    def seconds_until(self, now: datetime) -> int:
        """Whole seconds from the start to the end, or to `now` where that is sooner; 0 at least."""
        return max(0, min(self.seconds, math.floor((now - self.starting_at).total_seconds())))

    def moment(self, second: int) -> str:
        """The time so many seconds after the start, as Postgres reads it."""
        return (self.starting_at + timedelta(seconds=second)).isoformat()


@dataclass(frozen=True)
class Options:
    """One load. `scale` multiplies customers, products and orders.

    `chaos_percent` is the share of variants, 0 to 100, that get a size of the wrong kind. Times
    without a zone are UTC; the default window is today from its first to its last microsecond.
    With `days` the window is so many whole days, that of `ending_at` the last of them, and the
    orders are those of a shop with a past. No order is later than the moment of the load.
    """

    customers: int = 100
    products: int = 50
    orders: int = 500
    max_items_per_order: int = 5
    chaos_percent: float = 0.0
    scale: int = 1
    seed: int = 42
    days: int | None = None
    starting_at: datetime | None = None
    ending_at: datetime | None = None

    def window(self) -> Window:
        """The window of the orders. Raises InvalidOptionsError, which names every bad option."""
        problems = list(self._bad_numbers())
        now = datetime.now(UTC)
        end = self.ending_at or datetime.combine(now.date(), time.max)
        try:
            window = Window(_utc(self.starting_at or self._first_day(end, now)), _utc(end))
        except OverflowError:
            raise InvalidOptionsError(
                [*problems, "the window leaves the years 1 to 9999"]
            ) from None
        if window.ending_at < window.starting_at:
            problems.append(
                f"the window is inverted: it starts at {window.starting_at.isoformat()}"
                f" and ends at {window.ending_at.isoformat()}"
            )
        elif window.starting_at > now:
            problems.append(
                f"the window starts at {window.starting_at.isoformat()}, in the future: nothing "
                "has been ordered then"
            )
        if problems:
            raise InvalidOptionsError(problems)
        return window

    def scaled(self) -> Self:
        """The same with `scale` multiplied out."""
        numbers = {n: getattr(self, n) * self.scale for n in ("customers", "products", "orders")}
        return replace(self, **numbers, scale=1)

    def _first_day(self, end: datetime, now: datetime) -> datetime:
        if self.days is None:
            return datetime.combine(now.date(), time.min)
        day = _utc(end).date() - timedelta(days=max(self.days, 1) - 1)
        return datetime.combine(day, time.min)

    def _bad_numbers(self) -> Iterator[str]:
        for name in ("customers", "products", "orders", "max_items_per_order", "scale"):
            value = getattr(self, name)
            if value < 1:
                yield f"{name.replace('_', '-')} must be 1 or more, not {value}"
        if self.days is not None and self.days < 1:
            yield f"days must be 1 or more, not {self.days}"
        if self.days is not None and self.starting_at is not None:
            yield "days and starting-at exclude each other"
        if self.seed < 0:
            yield f"seed must be 0 or more, not {self.seed}"
        if not 0 <= self.chaos_percent <= 100:
            yield f"chaos-percent must be from 0 to 100, not {self.chaos_percent}"


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)
