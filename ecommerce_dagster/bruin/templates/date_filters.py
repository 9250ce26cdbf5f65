"""Bruin's filters for dates in templates. They keep the format that the date is written in."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ecommerce_dagster.bruin.model.interval import months_later

DATE = "%Y-%m-%d"
NODASH = "%Y%m%d"
DATETIME = "%Y-%m-%dT%H:%M:%S"
TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%fZ"

_FORMATS = (
    DATE, NODASH, DATETIME, TIMESTAMP,
    "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%d %H:%M:%S%z", "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
)  # fmt: skip
_CODE = re.compile(r"%([-_0^#:]*.)", re.DOTALL)


def written(moment: datetime, pattern: str) -> str:
    """`moment` in the format `pattern`, the same on every platform; without a zone it is in UTC."""

    def code(found: re.Match[str]) -> str:
        own = _OWN_CODES.get(found[1])
        return found[0] if own is None else own(moment)

    return moment.strftime(_CODE.sub(code, pattern))


# What the C library does in its own way, or by the zone of the machine.
_OWN_CODES: dict[str, Callable[[datetime], str]] = {
    "Y": lambda moment: f"{moment.year:04d}",
    "F": lambda moment: f"{moment.year:04d}-{moment:%m-%d}",
    "s": lambda moment: f"{int(_aware(moment).timestamp())}",
    "Z": lambda moment: _aware(moment).tzname() or "",
    "z": lambda moment: f"{_aware(moment):%z}",
    ":z": lambda moment: _aware(moment).isoformat()[-6:],
}


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parsed(text: Any) -> tuple[datetime, str]:
    """A date in any of the formats that templates see, and that format."""
    for pattern in _FORMATS:
        try:
            return datetime.strptime(str(text), pattern), pattern.replace("%z", "%:z")
        except ValueError:
            continue
    raise ValueError(f"{str(text)[:60]!r} is not a date; expected one like 2026-01-31")


def _whole(amount: Any) -> int:
    try:
        number = int(amount)
    except (TypeError, ValueError):
        number = None
    if number is None or (isinstance(amount, float) and number != amount):
        raise ValueError(f"expected a whole number, not {str(amount)[:60]!r}")
    return number


def _in_range(text: Any, move: Callable[[datetime], datetime]) -> str:
    moment, pattern = _parsed(text)
    try:
        return written(move(moment), pattern)
    except OverflowError:
        raise ValueError(f"this leads from {text} out of the years 1 to 9999") from None


def _shift(unit: str) -> Callable[[Any, Any], str]:
    def shifted(text: Any, amount: Any) -> str:
        number = _whole(amount)
        return _in_range(text, lambda moment: moment + timedelta(**{unit: number}))

    return shifted


def _add_months(text: Any, amount: Any) -> str:
    number = _whole(amount)
    return _in_range(text, lambda moment: months_later(moment, number))


def _add_years(text: Any, amount: Any) -> str:
    return _add_months(text, _whole(amount) * 12)


def _date_format(text: Any, pattern: str) -> str:
    return written(_parsed(text)[0], str(pattern))


def _truncate(start_of: Callable[[datetime], datetime]) -> Callable[[Any], str]:
    def truncated(text: Any) -> str:
        moment, pattern = _parsed(text)
        return written(start_of(moment), pattern)

    return truncated


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _day(moment: datetime) -> datetime:
    return _hour(moment).replace(hour=0)


DATE_FILTERS: dict[str, Callable[..., str]] = {
    "add_days": _shift("days"),
    "date_add": _shift("days"),
    "add_hours": _shift("hours"),
    "add_minutes": _shift("minutes"),
    "add_seconds": _shift("seconds"),
    "add_milliseconds": _shift("milliseconds"),
    "add_months": _add_months,
    "add_years": _add_years,
    "date_format": _date_format,
    "truncate_hour": _truncate(_hour),
    "truncate_day": _truncate(_day),
    "truncate_month": _truncate(lambda moment: _day(moment).replace(day=1)),
    "truncate_year": _truncate(lambda moment: _day(moment).replace(month=1, day=1)),
}
