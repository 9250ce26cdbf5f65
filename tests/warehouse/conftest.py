from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from ecommerce_dagster.warehouse.database import open_warehouse
from warehouse.helpers import Warehouse


@pytest.fixture(scope="session")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """One DuckDB for all tests: to start one takes longer than most of them."""
    with open_warehouse(":memory:") as connection:
        yield connection


@pytest.fixture
def w(duck: duckdb.DuckDBPyConnection, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse in a file."""
    with duck.cursor() as connection:
        connection.execute(f"ATTACH '{tmp_path / 'shop.duckdb'}' AS shop")
        connection.execute("USE shop")
        yield Warehouse(connection)
        with suppress(duckdb.TransactionException):
            connection.execute("ROLLBACK")
        connection.execute("USE memory")
        connection.execute("DETACH shop")
