from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from ingestion.helpers import World

from ecommerce_dagster.embedded_postgres import PostgresServer
from ecommerce_dagster.warehouse.database import open_warehouse

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def admin(server: PostgresServer) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def w(
    server: PostgresServer, admin: psycopg.Connection[tuple[object, ...]], tmp_path: Path
) -> Iterator[World]:
    """An empty database and an empty warehouse."""
    place = replace(server, database=f"source_{next(_numbers)}")
    admin.execute(f"CREATE DATABASE {place.database} STRATEGY file_copy".encode())
    file = tmp_path / "shop.duckdb"
    with psycopg.connect(place.dsn, autocommit=True) as postgres, open_warehouse(str(file)) as duck:
        yield World(place, postgres, duck, file)
