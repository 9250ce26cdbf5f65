"""One asset file at a time, run for real in a DuckDB file or a DuckLake."""

from __future__ import annotations

import pytest
from contract.helpers import BODY_LINE, FILE, TABLE, VIEW, asset_of, day, values
from contract.helpers import DuckDB as Warehouse

__all__ = [
    "BODY_LINE", "FILE", "TABLE", "VIEW", "Warehouse", "asset_of", "day", "in_both", "in_lake",
    "values",
]  # fmt: skip

# For what must be true of a DuckDB file and of a DuckLake, and of a DuckLake alone.
in_both = pytest.mark.parametrize("w", ["file", "lake"], indirect=True)
in_lake = pytest.mark.parametrize("w", ["lake"], indirect=True)
