"""A value of a database in a line for people, and in JSON."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

_ASCII = frozenset(range(0x20, 0x7F)) - {ord("\\")}


def shown(value: Any) -> str:
    """A value as SQL writes it, and lists and structs as JSON."""
    if isinstance(value, bool | dict | list | tuple):
        return json.dumps(for_json(value), ensure_ascii=False)
    return "" if value is None else str(_printable(value))


def _printable(value: Any) -> Any:
    """Bytes as DuckDB shows them; anything else as it is."""
    if not isinstance(value, bytes):
        return value
    return "".join(chr(b) if b in _ASCII else f"\\x{b:02X}" for b in value)


def for_json(value: Any) -> Any:
    """A value for JSON; what JSON has no exact form for becomes text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return float(value) if Decimal(repr(float(value))) == value else str(value)
        case dict():
            return {str(key): for_json(item) for key, item in value.items()}
        case list() | tuple():
            return [for_json(item) for item in value]
        case date() | datetime() | time():
            return value.isoformat()
    return str(_printable(value))
