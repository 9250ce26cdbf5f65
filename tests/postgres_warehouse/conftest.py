from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from ecommerce_dagster.embedded_postgres import PostgresServer
from postgres_warehouse.helpers import Warehouse


@pytest.fixture(scope="session")
def database(server: PostgresServer) -> PostgresServer:
    """A database for these tests. To make one for each would cost more than all of them."""
    place = replace(server, database="postgres_warehouse")
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {place.database}".encode())
    return place


@pytest.fixture
def w(database: PostgresServer) -> Iterator[Warehouse]:
    """An empty database."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        warehouse = Warehouse(database, connection)
        yield warehouse
        for (schema,) in warehouse.sql(
            "SELECT quote_ident(nspname) FROM pg_namespace"
            " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ):
            warehouse.sql(f"DROP SCHEMA {schema} CASCADE")
        warehouse.sql("CREATE SCHEMA public", f"ALTER DATABASE {database.database} RESET ALL")
