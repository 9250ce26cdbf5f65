"""Which tables there are: by them an environment knows what it has of its own."""

from __future__ import annotations

from contract.helpers import Warehouse
from ecommerce_dagster.warehouses.query import ALL_TABLES


def test_tables_and_views_by_schema_and_name(w: Warehouse) -> None:
    before = {str(name) for (name,) in w.sql(ALL_TABLES)}
    w.sql(
        "CREATE SCHEMA dev_mart",
        "CREATE TABLE dev_mart.t (n INTEGER)",
        'CREATE VIEW dev_mart."My view" AS SELECT n FROM dev_mart.t',
    )
    after = {str(name) for (name,) in w.sql(ALL_TABLES)}
    assert after - before == {"dev_mart.t", "dev_mart.My view"}
