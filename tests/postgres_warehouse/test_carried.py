"""Rows of PostgreSQL by way of DuckDB into a warehouse that has no way of its own. PostgreSQL, which
has one, stands for it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from warehouse.helpers import day

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sources.postgres.ingest import ViaDuckDB
from ecommerce_dagster.warehouses.postgres.warehouse import PostgresWarehouse
from ecommerce_dagster.warehouses.sql_asset import AssetError
from postgres_warehouse.helpers import Warehouse, asset_of

MERGE = "incremental_strategy: merge, incremental_key: made, primary_key: id"


def load(
    w: Warehouse,
    parameters: str,
    *,
    made: str = "timestamptz",
    interval: Interval | None = None,
    reconcile: bool = False,
) -> None:
    asset = asset_of(
        "{name: raw.t, type: ingestr, columns: [{name: id, type: integer},"
        f" {{name: made, type: {made}}}],"
        f" parameters: {{source_connection: pg, source_table: shop.t, {parameters}}}}}"
    )
    fill = ViaDuckDB(asset, w.connection, interval, reconcile=reconcile)
    assert PostgresWarehouse(w.connection).publish(asset, fill, [], lambda text: text).published


@pytest.fixture(autouse=True)
def source(w: Warehouse) -> None:
    w.sql(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.t (id int, made timestamptz, price numeric(8,2))",
        "INSERT INTO shop.t VALUES (1, '2025-01-01 10:00+00', 1.50), (2, '2025-01-02 10:00+00', 2)",
    )


def test_values_arrive_whatever_the_source_prefers(w: Warehouse) -> None:
    w.sql(f"ALTER DATABASE {w.server.database} SET TimeZone TO 'Asia/Tokyo'")
    load(w, "incremental_strategy: replace", made="varchar")
    assert w.rows("raw.t") == [
        (1, "2025-01-01 10:00:00+00", Decimal("1.50")),
        (2, "2025-01-02 10:00:00+00", Decimal("2.00")),
    ]
    assert w.types("raw.t") == {"id": "integer", "made": "text", "price": "numeric(8,2)"}


def test_a_merge_takes_what_is_new_and_a_reconciliation_what_is_gone(w: Warehouse) -> None:
    load(w, MERGE)
    w.sql(
        "DELETE FROM shop.t WHERE id = 1",
        "INSERT INTO shop.t VALUES (3, '2025-01-03', 3), (4, '2024-01-01', 4)",
    )
    load(w, MERGE)
    assert [row[0] for row in w.rows("raw.t")] == [1, 2, 3]
    load(w, MERGE, reconcile=True)
    assert [row[0] for row in w.rows("raw.t")] == [2, 3, 4]


def test_a_window_is_replaced(w: Warehouse) -> None:
    windowed = "incremental_strategy: delete+insert, incremental_key: made"
    load(w, windowed)
    w.sql("UPDATE shop.t SET price = 9")
    load(w, windowed, interval=day("2025-01-02"))
    assert [float(row[2]) for row in w.rows("raw.t")] == [1.5, 9]


def test_values_that_would_become_others_are_refused(w: Warehouse) -> None:
    w.sql("UPDATE shop.t SET price = 'NaN' WHERE id = 1")
    with pytest.raises(AssetError, match="price of shop.t is NaN in 1 row"):
        load(w, "incremental_strategy: replace", made="varchar")
    assert w.kind("raw.t") is None
