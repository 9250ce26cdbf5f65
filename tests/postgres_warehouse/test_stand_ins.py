"""Queries of PostgreSQL over rows that stand in for tables."""

from __future__ import annotations

import pytest

from ecommerce_dagster.validation.postgres.substitute_tables import (
    UnclearError,
    with_substitutes,
)

ROWS = {("stg", "orders"): "SELECT 1 AS x", ("t",): "SELECT 2 AS y", ("S", "t"): "SELECT 3"}


def changed(query: str) -> str:
    return with_substitutes(query, {"orders", "t"}, ROWS.get)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select * from stg.orders", 'select * from (SELECT 1 AS x) AS "orders"'),
        ("select b.z from STG . Orders as b(z)", "select b.z from (SELECT 1 AS x) as b(z)"),
        (
            "select stg.orders.x, stg.orders.*\nfrom t, stg.orders -- stg.orders",
            'select orders.x, orders.*\nfrom (SELECT 2 AS y) AS "t", '
            '(SELECT 1 AS x) AS "orders" -- stg.orders',
        ),
        (
            'select 1 where exists (select from "S".t)',
            'select 1 where exists (select from (SELECT 3) AS "t")',
        ),
        ("with t as (select 1) select 'stg.orders', t.* from t, s.t", None),
        ('select "stg.orders" from "T"', None),
    ],
)
def test_tables_are_replaced_where_they_are_read(query: str, expected: str | None) -> None:
    assert changed(query) == (expected or query)


@pytest.mark.parametrize(
    "query",
    [
        "select * from only stg.orders",
        "select * from stg.orders tablesample system (1)",
        "insert into stg.orders select 1",
        "with t as (select * from t) select * from t",
        "selec * from stg.orders",
    ],
)
def test_what_cannot_be_replaced_is_not_guessed(query: str) -> None:
    with pytest.raises(UnclearError):
        changed(query)
