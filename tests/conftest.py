"""One real PostgreSQL for the whole session; a database and a folder of state for each shop."""

from __future__ import annotations

import itertools
import re
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import duckdb
import psycopg
import pytest
from orchestration.helpers import ONE_DAY, NewShop, Shop, Tiny, copy_state

from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.embedded_postgres import EmbeddedPostgres, PostgresServer
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.ducklake.attach import open_lake

TESTS = Path(__file__).parent
# The groups and their places in the table of the page.
PAGE = (TESTS.parent / "docs" / "testing.md").read_text()
GROUPS = re.findall(r"^\| `([\w.]+)/?` \|", PAGE, re.MULTILINE)
RANKS = {group: rank for rank, group in enumerate(GROUPS)}

# A shell that starts the tests in the background has SIGINT ignored, and so would every command
# that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is quick, and what other groups rest on, comes first."""
    items.sort(key=lambda item: RANKS.get(item.path.relative_to(TESTS).parts[0], len(RANKS)))


@pytest.fixture(scope="session")
def reachable_tmp() -> Iterator[Path]:
    """A temporary folder that other users of the machine may enter, as PostgreSQL must when the
    tests run as root; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="ecommerce-tests-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def server(reachable_tmp: Path) -> Iterator[PostgresServer]:
    settings = {"max_prepared_transactions": "4"}
    with EmbeddedPostgres(reachable_tmp / "server", settings=settings) as running:
        yield running


@pytest.fixture(scope="session")
def database(server: PostgresServer) -> PostgresServer:
    """A database for tests that empty it. To make one for each would cost more than all of them."""
    place = replace(server, database="warehouse")
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {place.database}".encode())
    return place


@pytest.fixture(scope="session")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """One DuckDB for all tests: to start one takes longer than most of them."""
    with open_warehouse(":memory:") as connection:
        yield connection


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """One DuckLake for all tests."""
    folder = tmp_path_factory.mktemp("lake")
    catalog = CatalogFile("duckdb", str(folder / "lake.db"))
    with open_lake(Lakehouse(catalog, str(folder / "data"))) as connection:
        yield connection


@pytest.fixture(scope="session")
def new_shop(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> NewShop:
    """Make a shop: empty, or with the data and the state of another one."""
    numbers = itertools.count(1)

    def make(like: Shop | None = None) -> Shop:
        name = f"shop_{next(numbers)}"
        template = like.environment["POSTGRES_DB"] if like else "template1"
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        place = replace(server, database=name)
        shop = Shop(tmp_path_factory.mktemp(name), place.environment(), place.dsn)
        if like:
            copy_state(like.home, shop.home)
        return shop

    return make


@pytest.fixture(scope="session")
def day(new_shop: NewShop) -> Shop:
    """One day of the generator's default options, and one run of everything. Only to be read."""
    shop = new_shop()
    shop.generate(*ONE_DAY)
    shop.first_run = shop.ecommerce("run")
    assert shop.first_run.succeeded, shop.first_run.text
    return shop


@pytest.fixture(scope="session")
def demo(reachable_tmp: Path) -> Shop:
    """`ecommerce demo` on a machine where nothing is configured: it brings its own PostgreSQL."""
    shop = Shop(reachable_tmp / "demo", {})
    shop.first_run = shop.ecommerce("demo", "--days", "3")
    assert shop.first_run.succeeded, shop.first_run.text
    return shop


@pytest.fixture
def after_day(new_shop: NewShop, day: Shop) -> Shop:
    """A copy of that shop, to be changed."""
    return new_shop(like=day)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral
