"""What is true of a strategy in DuckDB alone; what is true of all warehouses is in contract/."""

from __future__ import annotations

import pytest

from ecommerce_dagster.warehouses.sql_asset import AssetError
from warehouse.helpers import Warehouse

APPEND = "materialization: {type: table, strategy: append}"
MERGE = """
materialization: {type: table, strategy: merge}
columns:
  - {name: id, primary_key: true}
  - {name: v, update_on_merge: true}
"""


def test_a_merge_of_a_column_called_rowid_is_refused(w: Warehouse) -> None:
    with pytest.raises(AssetError, match="rename the column rowid in the query"):
        w.run(MERGE, "SELECT 1 AS id, 'a' AS v, 7 AS rowid")
    w.run(APPEND, "SELECT 7 AS rowid")
    assert w.rows() == [(7,)]
