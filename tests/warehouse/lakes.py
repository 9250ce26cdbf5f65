"""Builds in a DuckLake, as runs do them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.warehouse.checks import checks_of
from ecommerce_dagster.warehouse.duckdb_warehouse import DuckDBWarehouse
from ecommerce_dagster.warehouse.ducklake import open_lake
from ecommerce_dagster.warehouse.interface import Published
from ecommerce_dagster.warehouse.lake_turns import LakeTurns
from ecommerce_dagster.warehouse.sql_asset import SqlBuild
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
) -> Published:
    """Build one asset as a run does, by its interval when there is one."""
    asset = asset_of(header, sql)
    turns = LakeTurns(lake, {"run_id": "r1"}, interval)
    fill = SqlBuild(asset, render, interval, strict_window=interval is not None)
    warehouse = DuckDBWarehouse(lambda: open_lake(lake), turns)
    return warehouse.publish(asset, fill, checks_of(asset), render)
