from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.ducklake.attach import open_lake
from ingestion.helpers import NewWorld, World
from ingestion.places import PostgresWorld

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def new_world(server: PostgresServer) -> Iterator[NewWorld]:
    """Make a database, with these options of CREATE DATABASE, and a warehouse in memory."""
    with ExitStack() as undo:

        def make(options: str) -> World:
            place = replace(server, database=f"source_{next(_numbers)}")
            with psycopg.connect(server.dsn, autocommit=True) as admin:
                admin.execute(sql.SQL(f"CREATE DATABASE {place.database} {options}"))  # type: ignore[arg-type]
            # Tables come and go under the same name: no plan of a statement is worth keeping.
            connection = psycopg.connect(place.dsn, autocommit=True, prepare_threshold=None)
            postgres = undo.enter_context(connection)
            return World(place, postgres, undo.enter_context(open_warehouse(":memory:")))

        yield make


@pytest.fixture(scope="session")
def _world(new_world: NewWorld) -> World:
    return new_world("STRATEGY file_copy")


@pytest.fixture
def w(_world: World) -> World:
    """An empty database and an empty warehouse: always the same, since making them takes longer
    than most tests."""
    _world.clear()
    return _world


@pytest.fixture(scope="session")
def _in_a_lake(_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("lake")
    lake = Lakehouse(CatalogFile("duckdb", str(folder / "lake.db")), str(folder / "data"))
    with open_lake(lake) as duck:
        yield replace(_world, duck=duck)


@pytest.fixture(scope="session")
def _in_postgres(_world: World, new_world: NewWorld) -> World:
    place = new_world("STRATEGY file_copy").postgres
    place.execute("SET TimeZone = 'UTC'")
    return PostgresWorld(_world.server, _world.postgres, _world.duck, place)


@pytest.fixture(params=["_world", "_in_a_lake", "_in_postgres"], ids=["duckdb", "lake", "postgres"])
def p(request: pytest.FixtureRequest, server: PostgresServer) -> World:
    """An empty database of the `server`, and an empty warehouse of each kind."""
    world: World = request.getfixturevalue(request.param)
    world.clear()
    return world
