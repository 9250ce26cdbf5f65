"""The minutes, hours and days in which a table has rows: they are the partitions that a run filled."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from ecommerce_dagster.warehouses.duckdb.warehouse import DuckDBWarehouse
from warehouse.helpers import Warehouse

TIMES = """(VALUES ('1969-12-31 23:30:59'), ('1960-02-29 00:00:00'), ('2024-03-10 11:22:33.123456'),
    ('2024-03-10 11:22:59.9'), (NULL)) AS given(text)"""


@pytest.mark.parametrize("unit", ["minute", "hour", "day"])
@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMPTZ", "DATE", "VARCHAR", "TIMESTAMP_NS"])
def test_are_those_of_the_calendar(w: Warehouse, kind: str, unit: str) -> None:
    w.sql(f"CREATE TABLE t AS SELECT text::{kind} AS happened FROM {TIMES}")
    if kind not in {"DATE", "TIMESTAMP_NS"}:
        w.sql("INSERT INTO t VALUES ('infinity'), ('-infinity')")

    found = DuckDBWarehouse(lambda: nullcontext(w.connection)).moments("main.t", "HAPPENED", unit)

    moment = "TRY_CAST(happened AS TIMESTAMP)"
    wanted = f"epoch(date_trunc('{unit}', {moment})) FROM t WHERE isfinite({moment})"
    assert sorted(found) == [row[0] for row in w.sql(f"SELECT DISTINCT {wanted} ORDER BY 1")]
