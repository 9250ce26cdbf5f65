from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.helpers import ALL, Warehouse, empty_database, empty_file, empty_lake


@pytest.fixture(params=ALL)
def w(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse: each of them in turn."""
    if request.param == "duckdb":
        empty = empty_file(request.getfixturevalue("duck"), tmp_path / "shop.duckdb")
    elif request.param == "ducklake":
        empty = empty_lake(request.getfixturevalue("lake"))
    else:
        empty = empty_database(request.getfixturevalue("database"))
    with empty as warehouse:
        yield warehouse
