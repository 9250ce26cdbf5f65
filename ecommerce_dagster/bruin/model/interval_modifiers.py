"""`interval_modifiers`: how far an asset's window reaches beyond the run's."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from ecommerce_dagster.bruin.model.interval import Interval, months_later

_MODIFIER = re.compile(r"([+-]?[0-9]{1,18})\s*(ns|ms|s|m|h|d|M)")
_NANOSECONDS = {
    "ns": 1,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}


def modified(interval: Interval, start: str, end: str) -> Interval:
    """The interval with its ends moved: `-2h`, `1d`, `-1M`; empty leaves an end where it is.

    Raises ValueError with a sentence for the user.
    """
    try:
        return Interval(shift_of(start)(interval.start), shift_of(end)(interval.end))
    except OverflowError:
        modifiers = " and ".join(f"'{text}'" for text in (start, end) if text)
        raise ValueError(f"{modifiers}: the interval leaves the years 1 to 9999") from None


def shift_of(modifier: str) -> Callable[[datetime], datetime]:
    """What a modifier does to a moment. Raises ValueError with a sentence for the user."""
    found = _MODIFIER.fullmatch(modifier.strip() or "0s")
    if found is None:
        raise ValueError(
            f"'{modifier}' is not an interval modifier; write -2h, 1d or -1M (ns ms s m h d M)"
        )
    amount, unit = int(found[1]), found[2]
    if unit == "M":
        return partial(months_later, months=amount)
    # Python's times end at microseconds.
    return lambda moment: moment + timedelta(microseconds=amount * _NANOSECONDS[unit]) / 1000
