from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.helpers import DuckDB, empty_file, empty_lake


@pytest.fixture
def w(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DuckDB]:
    """An empty warehouse: a file, or what a test says (`helpers.in_both`)."""
    if getattr(request, "param", "file") == "lake":
        with empty_lake(request.getfixturevalue("lake")) as lake:
            yield lake
    else:
        with empty_file(request.getfixturevalue("duck"), tmp_path / "shop.duckdb") as file:
            yield file
