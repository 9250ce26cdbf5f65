"""Values as people read them: the same everywhere on a page, and in its script."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

NOTHING = "-"
Format = Literal["amount", "count", "number", "share"]


def amount(value: Any) -> str:
    """Money, to the cent, half a cent rounded up: 1,234.50."""
    if value is None:
        return NOTHING
    return f"{Decimal(value).quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def count(value: Any) -> str:
    """How many: 1,234."""
    return NOTHING if value is None else f"{int(value):,}"


def number(value: Any) -> str:
    """A quotient: 3.01."""
    return NOTHING if value is None else f"{value:,.2f}"


def share(value: Any) -> str:
    """A part of one: 61.4%."""
    return NOTHING if value is None else f"{value:.1%}"


_FORMATS: dict[Format, Callable[[Any], str]] = {
    "amount": amount,
    "count": count,
    "number": number,
    "share": share,
}


def written(value: Any, format: Format) -> str:
    """A value in full."""
    return _FORMATS[format](value)


def short(value: Any, format: Format) -> str:
    """A value where there is little room: from a million on 1.23 M, else in full."""
    if value is None or format == "share" or abs(value) < 1_000_000:
        return written(value, format)
    size, letter = (1e9, "B") if abs(value) >= 1e9 else (1e6, "M")
    return f"{float(value) / size:,.2f} {letter}"


def text(value: Any) -> str:
    """Words as they are; a date as 2026-11-25."""
    return NOTHING if value is None else str(value)


def moment(value: datetime | str) -> str:
    """A point in time, to the minute, with its zone: 2026-11-25 09:30 UTC."""
    if not value:
        return "never"
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
