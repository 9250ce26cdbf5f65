"""Names and values from files as SQL text that cannot break out of its place."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from math import isfinite

Scalar = bool | int | float | str | Decimal | datetime


def quoted(name: str) -> str:
    """One identifier."""
    return '"' + name.replace('"', '""') + '"'


def relation(name: str) -> str:
    """A table name with its schema (and database): raw.orders is "raw"."orders"."""
    return ".".join(quoted(part) for part in name.split("."))


def schema_of(name: str) -> str | None:
    """The schema part of a table name, quoted as it must stand in SQL; None without one."""
    parts = name.split(".")
    return ".".join(quoted(part) for part in parts[:-1]) or None


def actual(name: str, columns: Collection[str]) -> str:
    """The column that a file means by `name`, whatever its case; the name itself when there is
    none."""
    if name in columns:
        return name
    return next((column for column in columns if column.lower() == name.lower()), name)


def literal(value: Scalar) -> str:
    """A constant. Instants become TIMESTAMPTZ constants in UTC."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, float):
        return repr(value) if isfinite(value) else f"'{value}'::DOUBLE"
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.isoformat(sep=' ')}'"
    return "'" + value.replace("'", "''") + "'"
