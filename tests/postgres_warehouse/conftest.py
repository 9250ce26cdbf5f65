from __future__ import annotations

from collections.abc import Iterator

import pytest
from contract.helpers import Postgres, empty_database

from ecommerce_dagster.shop.embedded_postgres import PostgresServer


@pytest.fixture
def w(database: PostgresServer) -> Iterator[Postgres]:
    """An empty database."""
    with empty_database(database) as warehouse:
        yield warehouse
