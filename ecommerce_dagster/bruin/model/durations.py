"""Durations as Go writes them: `30s`, `1h30m`, `500ms`; a bare number counts seconds."""

from __future__ import annotations

import re

_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_in(text: str) -> float:
    """The length of a duration in seconds. Raises ValueError with a sentence for the user."""
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]+)?", text):
        return float(text)
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise ValueError(f"'{text}' is not a duration; write 30s, 5m or 1h30m")
    return sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))
