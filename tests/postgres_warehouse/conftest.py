from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from ecommerce_dagster.embedded_postgres import PostgresServer
from postgres_warehouse.helpers import Warehouse

_numbers = itertools.count(1)


@pytest.fixture
def w(server: PostgresServer) -> Iterator[Warehouse]:
    """An empty database."""
    place = replace(server, database=f"warehouse_{next(_numbers)}")
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {place.database} STRATEGY file_copy".encode())
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        yield Warehouse(place, connection)
