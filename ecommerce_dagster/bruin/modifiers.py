"""`interval_modifiers`: how far an asset's window reaches beyond the run's."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from ecommerce_dagster.bruin.interval import Interval

_MODIFIER = re.compile(r"^([+-]?\d+)\s*(ns|ms|s|m|h|d|M)$")
_UNITS = {
    "ns": timedelta(0),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def modified(interval: Interval, start: str, end: str) -> Interval:
    """The interval with its ends moved: `-2h`, `1d`, `-1M`; empty leaves an end where it is.

    Raises ValueError with a sentence for the user.
    """
    return Interval(_moved(interval.start, start), _moved(interval.end, end))


def _moved(moment: datetime, modifier: str) -> datetime:
    if not modifier.strip():
        return moment
    found = _MODIFIER.match(modifier.strip())
    if found is None:
        raise ValueError(
            f"'{modifier}' is no interval modifier; write -2h, 1d or -1M (ns ms s m h d M)"
        )
    amount, unit = int(found.group(1)), found.group(2)
    if unit != "M":
        return moment + amount * _UNITS[unit]
    # As Go adds months: January 31 plus one month is March 2 or 3.
    months = moment.year * 12 + moment.month - 1 + amount
    first = moment.replace(year=months // 12, month=months % 12 + 1, day=1)
    return first + timedelta(days=moment.day - 1)
