from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from warehouse.helpers import Warehouse

from ecommerce_dagster.warehouse.database import open_warehouse


@pytest.fixture
def w(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse in a file."""
    with open_warehouse(str(tmp_path / "shop.duckdb")) as connection:
        yield Warehouse(connection)
