from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.helpers import ALL, LARGE, Warehouse, empty_database, empty_file, empty_lake


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "w" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only")
        metafunc.parametrize("w", only.args if only else ALL, indirect=True)


@pytest.fixture
def w(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse: each of them in turn."""
    if request.param == LARGE:
        monkeypatch = request.getfixturevalue("monkeypatch")
        monkeypatch.setattr("ecommerce_dagster.warehouses.duckdb.count_failures._ROW_GROUP", -1)
    if request.param in ("duckdb", LARGE):
        empty = empty_file(request.getfixturevalue("duck"), tmp_path / "shop.duckdb")
    elif request.param == "ducklake":
        empty = empty_lake(request.getfixturevalue("lake"))
    else:
        empty = empty_database(request.getfixturevalue("database"))
    with empty as warehouse:
        yield warehouse
