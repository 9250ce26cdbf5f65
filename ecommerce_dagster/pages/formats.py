"""Values as people read them: the same everywhere on a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

NOTHING = "-"


def amount(value: Any) -> str:
    """Money, to the cent: 1,234.50."""
    return NOTHING if value is None else f"{Decimal(value):,.2f}"


def count(value: Any) -> str:
    """How many: 1,234."""
    return NOTHING if value is None else f"{int(value):,}"


def number(value: Any) -> str:
    """A quotient: 3.01."""
    return NOTHING if value is None else f"{value:,.2f}"


def share(value: Any) -> str:
    """A part of one: 61.4%."""
    return NOTHING if value is None else f"{value:.1%}"


def text(value: Any) -> str:
    """Words as they are; a date as 2026-11-25."""
    return NOTHING if value is None else str(value)


def month(value: date | None) -> str:
    """The month that begins on a date: 2026-11."""
    return NOTHING if value is None else f"{value:%Y-%m}"


def moment(value: datetime | str) -> str:
    """A point in time, to the minute, with its zone: 2026-11-25 09:30 UTC."""
    if not value:
        return "never"
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True)
class Field:
    """A column of a table on a page: its name in the query, its heading, its format."""

    name: str
    title: str
    format: Callable[[Any], str] = text

    @property
    def numeric(self) -> bool:
        """Whether the column stands to the right."""
        return self.format in {amount, count, number, share}
