from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pytest

from ecommerce_dagster.bruin.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.warehouse.database import open_warehouse
from ecommerce_dagster.warehouse.ducklake import LAKE, open_lake
from warehouse.helpers import Warehouse


@pytest.fixture(scope="session")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """One DuckDB for all tests: to start one takes longer than most of them."""
    with open_warehouse(":memory:") as connection:
        yield connection


@pytest.fixture(scope="session")
def in_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """One DuckLake for all tests."""
    folder = tmp_path_factory.mktemp("lake")
    catalog = CatalogFile("duckdb", str(folder / "lake.db"))
    with open_lake(Lakehouse(catalog, str(folder / "data"))) as connection:
        yield connection


@pytest.fixture
def w(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse: a file, or what a test says (`helpers.in_both`)."""
    if getattr(request, "param", "file") == "lake":
        empty = _empty_lake(request.getfixturevalue("in_lake"))
    else:
        empty = _new_file(request.getfixturevalue("duck"), tmp_path / "shop.duckdb")
    with empty as connection:
        yield Warehouse(connection)
        with suppress(duckdb.TransactionException):
            connection.execute("ROLLBACK")


@contextmanager
def _new_file(duck: duckdb.DuckDBPyConnection, path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duck.cursor() as connection:
        connection.execute(f"ATTACH '{path}' AS shop")
        connection.execute("USE shop")
        yield connection
        connection.execute("USE memory")
        connection.execute("DETACH shop")


@contextmanager
def _empty_lake(lake: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    with lake.cursor() as connection:
        connection.execute(f"USE {LAKE}")
        yield connection
        schemas = connection.execute(
            f"SELECT schema_name FROM duckdb_schemas() WHERE database_name = '{LAKE}'"
        ).fetchall()
        for (schema,) in schemas:
            connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
        connection.execute("CREATE SCHEMA main")
