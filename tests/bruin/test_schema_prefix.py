"""`schema_prefix`: an environment's tables beside those of the others."""

from __future__ import annotations

import pytest

from ecommerce_dagster.bruin.model.asset import Asset, Column, ForeignKey
from ecommerce_dagster.bruin.schema_prefix import prefixed_asset, prefixed_name, prefixed_sql

TABLES = ["raw.orders", "raw.orders_old", "shop.raw.orders", "my-schema.t", "plain"]


@pytest.mark.parametrize(
    ("sql", "moved"),
    [
        ("FROM raw.orders", "FROM dev_raw.orders"),
        ("FROM RAW.Orders AS o", "FROM dev_RAW.Orders AS o"),
        ('FROM "raw"."orders"', 'FROM "dev_raw"."orders"'),
        ('FROM raw."orders"', 'FROM dev_raw."orders"'),
        ("FROM raw . orders", "FROM dev_raw.orders"),
        ('FROM "my-schema".t', 'FROM "dev_my-schema".t'),
        ("FROM shop.raw.orders", "FROM shop.dev_raw.orders"),
        ("SELECT raw.orders.id FROM raw.orders, raw.orders_old",
         "SELECT dev_raw.orders.id FROM dev_raw.orders, dev_raw.orders_old"),
        ("FROM (raw.orders)", "FROM (dev_raw.orders)"),
    ],
)  # fmt: skip
def test_tables_of_the_project_are_read_where_the_environment_has_them(
    sql: str, moved: str
) -> None:
    assert prefixed_sql(sql, "dev_", TABLES) == moved


@pytest.mark.parametrize(
    "sql",
    [
        "FROM other.orders",
        "FROM raw.orders2",
        "FROM braw.orders",
        "FROM other.raw.orders",
        "FROM plain",
        "SELECT 'raw.orders', 'it''s raw.orders'",
        "SELECT $$ raw.orders $$, $x$ raw.orders $x$",
        '"raw.orders"',
        "-- raw.orders",
        "/* raw.orders\nraw.orders */",
    ],
)
def test_everything_else_stays(sql: str) -> None:
    assert prefixed_sql(sql, "dev_", TABLES) == sql


def test_without_a_prefix_nothing_moves() -> None:
    asset = Asset(name="raw.orders")
    assert prefixed_sql("FROM raw.orders", "", TABLES) == "FROM raw.orders"
    assert prefixed_asset(asset, "", TABLES) is asset


def test_an_asset_moves_with_the_tables_that_its_keys_name() -> None:
    keys = (ForeignKey(table="raw.orders", column="id"), ForeignKey(table="x.y", column="id"), None)
    columns = tuple(Column(name="c", foreign_key=key) for key in keys)
    moved = prefixed_asset(Asset(name="stg.items", columns=columns), "dev_", TABLES)
    assert moved.name == "dev_stg.items"
    assert [c.foreign_key.table if c.foreign_key else None for c in moved.columns] == [
        "dev_raw.orders", "x.y", None,
    ]  # fmt: skip


def test_a_name_without_a_schema_stays() -> None:
    assert prefixed_name("orders", "dev_") == "orders"
    assert prefixed_name("db.raw.orders", "dev_") == "db.dev_raw.orders"
