"""Builds in a DuckLake, as runs do them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import duckdb

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.sql.checks import checks_of
from ecommerce_dagster.warehouses.base import BuildResult
from ecommerce_dagster.warehouses.duckdb.warehouse import DuckDBWarehouse
from ecommerce_dagster.warehouses.ducklake.attach import open_lake
from ecommerce_dagster.warehouses.ducklake.locking import LakeLocking
from ecommerce_dagster.warehouses.sql_asset import SqlBuild
from warehouse.helpers import asset_of


def lake_in(folder: Path) -> Lakehouse:
    """A DuckLake in a folder, its catalogue too, which is quick."""
    return Lakehouse(CatalogFile("duckdb", str(folder / "lake.db")), str(folder / "data"))


def rows(lake: Lakehouse, query: str) -> list[tuple[Any, ...]]:
    with open_lake(lake, read_only=True) as connection:
        return connection.execute(query).fetchall()


def build(
    lake: Lakehouse,
    header: str,
    sql: str,
    interval: Interval | None = None,
    render: Callable[[str], str] = str,
    session: duckdb.DuckDBPyConnection | None = None,
) -> BuildResult:
    """Build one asset as a run does, by its interval when there is one; in a session that is open
    already, if it is given."""
    asset = asset_of(header, sql)
    locking = LakeLocking(lake, {"run_id": "r1"}, interval)
    fill = SqlBuild(asset, render, interval, strict_window=interval is not None)
    warehouse = DuckDBWarehouse(
        lambda: nullcontext(session) if session else open_lake(lake), locking
    )
    return warehouse.publish(asset, fill, checks_of(asset), render)
