"""What to generate: the options of one load and the rules they obey."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time

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


@dataclass(frozen=True)
class Options:
    """One load. `scale` multiplies customers, products and orders.

    `chaos_percent` is the share of variants, 0 to 100, that get a size of the wrong kind. Times
    without a zone are UTC; the default window is today from its first to its last microsecond.
    """

    customers: int = 100
    products: int = 50
    orders: int = 500
    max_items_per_order: int = 5
    chaos_percent: float = 0.0
    scale: int = 1
    seed: int = 42
    starting_at: datetime | None = None
    ending_at: datetime | None = None

    def window(self) -> Window:
        """The window of the orders. Raises InvalidOptionsError, which names every bad option."""
        problems = list(self._bad_numbers())
        today = datetime.now(UTC).date()
        start = self.starting_at or datetime.combine(today, time.min)
        end = self.ending_at or datetime.combine(today, time.max)
        try:
            window = Window(_utc(start), _utc(end))
        except OverflowError:
            raise InvalidOptionsError(
                [*problems, "the window leaves the years 1 to 9999"]
            ) from None
        if window.ending_at < window.starting_at:
            problems.append(
                f"the window is inverted: it starts at {window.starting_at.isoformat()}"
                f" and ends at {window.ending_at.isoformat()}"
            )
        if problems:
            raise InvalidOptionsError(problems)
        return window

    def _bad_numbers(self) -> Iterator[str]:
        for name in ("customers", "products", "orders", "max_items_per_order", "scale"):
            value = getattr(self, name)
            if value < 1:
                yield f"{name.replace('_', '-')} must be 1 or more, not {value}"
        if self.seed < 0:
            yield f"seed must be 0 or more, not {self.seed}"
        if not 0 <= self.chaos_percent <= 100:
            yield f"chaos-percent must be from 0 to 100, not {self.chaos_percent}"


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)
