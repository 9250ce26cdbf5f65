"""The five source tables: create them, or start over."""

import re
from importlib.resources import files
from typing import Any

import psycopg

TABLES = ("customers", "products", "product_variants", "orders", "order_items")

_SCRIPT = files("data_generator").joinpath("schema.sql").read_text(encoding="utf-8")
_NAMES = re.findall(r"IF NOT EXISTS ([\w.]+)", _SCRIPT)

# One load or migration at a time; the number only has to differ from other users of such locks.
_LOCK = 7_401_001


def lock(connection: psycopg.Connection[Any]) -> None:
    """Wait for other loads of this database to end; held until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def migrate(connection: psycopg.Connection[Any]) -> None:
    """Create the tables and indexes that are missing, in the caller's transaction.

    Raises psycopg.Error when the role may not create them.
    """
    lock(connection)
    names = [name if "." in name else f"public.{name}" for name in _NAMES]
    missing = connection.execute(
        "SELECT count(*) FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL", [names]
    ).fetchone()
    if missing != (0,):
        connection.execute(_SCRIPT.encode())


def reset(connection: psycopg.Connection[Any]) -> None:
    """Drop the five tables with all their rows and create them empty, in the caller's transaction.

    Raises psycopg.Error when the role may not, or when another table refers to one of them.
    """
    lock(connection)
    tables = ", ".join(f"public.{table}" for table in TABLES)
    connection.execute(f"DROP TABLE IF EXISTS {tables}".encode())
    connection.execute(_SCRIPT.encode())
