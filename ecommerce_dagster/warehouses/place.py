"""Where a warehouse is: a file, MotherDuck, or a DuckLake; and how each is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import duckdb

from ecommerce_dagster.bruin.model.connections import DuckDBConnection
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.duckdb.fallback import read_also
from ecommerce_dagster.warehouses.duckdb.motherduck import open_motherduck
from ecommerce_dagster.warehouses.duckdb.published_copy import open_copy
from ecommerce_dagster.warehouses.ducklake.attach import open_lake

Opened = AbstractContextManager[duckdb.DuckDBPyConnection]


def _silent(message: str) -> None:
    """Discard the message."""


def open_place(
    place: DuckDBConnection,
    *,
    read_only: bool = False,
    settings: Mapping[str, Any] | None = None,
    on_wait: Callable[[str], None] = _silent,
) -> Opened:
    """A connection to the warehouse, closed in every case. Raises WarehouseError."""
    if place.lakehouse is not None:
        return open_lake(place.lakehouse, read_only=read_only, settings=settings, on_wait=on_wait)
    if place.motherduck_database is not None:
        return open_motherduck(place, settings=settings)
    opened = open_warehouse(place.path, read_only=read_only, settings=settings, on_wait=on_wait)
    return _with_fallback(opened, place, read_only, on_wait)


def open_to_read(
    place: DuckDBConnection, *, copies: bool, on_wait: Callable[[str], None] = _silent
) -> Opened:
    """A connection to read the tables with: of a file to its published copy, where there are
    `copies`. DuckLake and MotherDuck need none: their readers never wait."""
    if copies and place.lakehouse is None and place.motherduck_database is None:
        return _with_fallback(open_copy(place.path, on_wait), place, True, on_wait)
    return open_place(place, read_only=True, on_wait=on_wait)


@contextmanager
def _with_fallback(
    opened: Opened, place: DuckDBConnection, read_only: bool, on_wait: Callable[[str], None]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a file, in which the tables of its fallback are read, too."""
    with opened as duck:
        if place.fallback:
            read_also(duck, place.fallback, read_only=read_only, on_wait=on_wait)
        yield duck
