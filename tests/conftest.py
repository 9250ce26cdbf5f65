"""One real PostgreSQL for the whole session; a database and a folder of state for each shop."""

from __future__ import annotations

import itertools
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import dagster as dg
import duckdb
import psycopg
import pytest
from alembic.script import ScriptDirectory
from hypothesis import settings
from orchestration.blank_state import copy_new_states
from orchestration.helpers import ONE_DAY, NewShop, Shop, Tiny, copy_state

from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.ducklake.attach import open_lake

TESTS = Path(__file__).parent
# The groups and their places in the table of the page.
PAGE = (TESTS.parent / "docs" / "testing.md").read_text()
GROUPS = re.findall(r"^\| `([\w.]+)/?` \|", PAGE, re.MULTILINE)
RANKS = {group: rank for rank, group in enumerate(GROUPS)}

# A random example may take as long as the machine lets it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell that starts the tests in the background has SIGINT ignored, and so would every command
# that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Dagster reads the ninety files of its migrations again for each database that it opens, five times in
# a run with a new state: a third of what a small run costs. Here they are read once.
ScriptDirectory.from_config = cache(ScriptDirectory.from_config)  # type: ignore[method-assign]
copy_new_states()

# What a test has by standing in a folder or a file, by using a fixture, or by a parameter (`w` is the
# warehouse of tests/contract). A marker counts for the next ones.
MARKED_BY = {
    "postgres": {
        "server",
        "demo",
        "w=postgres",
        "ask=postgres",
        "deploy",
        "test_data_generator.py",
        "test_embedded_postgres.py",
        "cli/test_kill.py",
        "orchestration/test_histories.py",
        "orchestration/test_source_history.py",
        "strangers/test_strangers.py",
        "trust/test_faults.py",
    },
    "browser": {"browser"},
    "deploy": {"deploy"},
    "slow": {
        "postgres",
        "browser",
        "deploy",
        "orchestration",
        "pages",
        "plan/test_plan.py",
        "plan/test_truth.py",
        "strangers",
        "trust",
        "lake",
        "w=ducklake",
        "w=lake",
        "w=duckdb, large table",
        "bruin/test_anything.py",
        "cli/test_diff.py",
        "cli/test_doctor.py",
        "cli/test_errors.py",
        "cli/test_fallback.py",
        "cli/test_looking.py",
        "cli/test_promote.py",
        "cli/test_render.py",
        "cli/test_run.py",
        "cli/test_status.py",
        "cli/test_try.py",
        "cli/test_try_part.py",
        "cli/test_validate.py",
        "cli/test_validate_anything.py",
        "contract/test_datavault.py",
        "contract/test_history.py",
        "contract/test_odd_values.py",
        "ingestion_files/test_duckdb_file.py",
        "ingestion_files/test_python_asset.py",
        "ingestion_files/test_sources.py",
        "warehouse/test_binding_valid.py",
        "warehouse/test_ducklake.py",
        "warehouse/test_lake_history.py",
        "warehouse/test_lake_types.py",
        "warehouse/test_properties.py",
    },
}
# The test that runs, for fixtures of the session.
_current: list[pytest.Item] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is quick, and what other groups rest on, comes first. Each gets its markers.

    Where several processes share the work, the slow groups come first, so that all have something to
    do until the end.
    """
    shared = "PYTEST_XDIST_WORKER" in os.environ
    items.sort(key=rank, reverse=shared)
    for item in items:
        mark(item)


def rank(item: pytest.Item) -> int:
    """The place of a test's group in the table of the page."""
    return RANKS.get(item.path.relative_to(TESTS).parts[0], len(RANKS))


def mark(item: pytest.Item) -> None:
    """Add the markers that follow from where a test stands and from its fixtures."""
    place = item.path.relative_to(TESTS)
    found = {*getattr(item, "fixturenames", ()), place.parts[0], place.as_posix()}
    if callspec := getattr(item, "callspec", None):
        found |= {f"{name}={value}" for name, value in callspec.params.items()}
    found |= {marker.name for marker in item.iter_markers()}
    for name, causes in MARKED_BY.items():
        if found & causes:
            item.add_marker(name)
            found.add(name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    _current[:] = [item]


@pytest.fixture(scope="session")
def reachable_tmp() -> Iterator[Path]:
    """A temporary folder that other users of the machine may enter, as PostgreSQL must when the
    tests run as root; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="ecommerce-tests-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def server(reachable_tmp: Path) -> Iterator[PostgresServer]:
    assert _current[0].get_closest_marker("postgres"), (
        "what needs PostgreSQL is marked: conftest.py"
    )
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
