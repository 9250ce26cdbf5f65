"""One asset file at a time, run for real against a warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.templates import RunContext, render
from ecommerce_dagster.warehouse.checks import CheckResult, checks_of
from ecommerce_dagster.warehouse.database import kind_of
from ecommerce_dagster.warehouse.duckdb_warehouse import on_duckdb
from ecommerce_dagster.warehouse.identifiers import relation
from ecommerce_dagster.warehouse.interface import Published
from ecommerce_dagster.warehouse.publish import check_only, publish
from ecommerce_dagster.warehouse.sql_asset import SqlBuild

FILE = Path("assets/mart/t.sql")
BODY_LINE = 10
TABLE = "materialization: {type: table}"
VIEW = "materialization: {type: view}"
# For what must be true of a DuckDB file and of a DuckLake, and of a DuckLake alone.
in_both = pytest.mark.parametrize("w", ["file", "lake"], indirect=True)
in_lake = pytest.mark.parametrize("w", ["lake"], indirect=True)


def asset_of(header: str, sql: str = "") -> Asset:
    """The asset of a file with this header, called mart.t when it says nothing else. Its SQL
    starts at line 10 of the file."""
    definition = {"name": "mart.t", "type": "duckdb.sql", **yaml.safe_load(header)}
    asset = Asset.model_validate(definition)
    body = {"body": sql, "body_line": BODY_LINE, "path": FILE, "body_path": FILE}
    return asset.model_copy(update=body)


def values(names: str, *rows: str) -> str:
    """A query for these rows: values("a, b", "1, 'x'", "2, 'y'")."""
    if not rows:
        return values(names, ", ".join("1" for _ in names.split(","))) + " LIMIT 0"
    return f"SELECT * FROM (VALUES {', '.join(f'({row})' for row in rows)}) AS v({names})"


def day(text: str, days: int = 1) -> Interval:
    """The interval of whole days that starts at this date."""
    start = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return Interval(start, start + timedelta(days=days))


@dataclass
class Warehouse:
    """A warehouse, what a run does to it, and what is in it afterwards."""

    connection: duckdb.DuckDBPyConnection

    def run(
        self,
        header: str,
        sql: str = "",
        *,
        interval: Interval | None = None,
        full_refresh: bool = False,
        strict_window: bool = False,
    ) -> Published:
        """Run the asset file with this header and SQL."""
        asset = asset_of(header, sql)
        renderer = self._renderer(asset, interval)
        build = SqlBuild(asset, renderer, interval, full_refresh, strict_window)
        return publish(self.connection, asset, on_duckdb(build), checks_of(asset), renderer)

    def checks(self, header: str, sql: str = "") -> dict[str, CheckResult]:
        """Run the file and give its check results by label."""
        return {result.check.label: result for result in self.run(header, sql).results}

    def check_only(self, header: str) -> tuple[CheckResult, ...]:
        asset = asset_of(header)
        return check_only(
            self.connection, asset, checks_of(asset), self._renderer(asset, interval=None)
        )

    def _renderer(self, asset: Asset, interval: Interval | None) -> Any:
        return lambda template: render(template, RunContext(interval=interval), asset.name)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def rows(self, name: str = "mart.t") -> list[tuple[Any, ...]]:
        """The rows of a table, sorted by all columns."""
        return self.sql(f"SELECT * FROM {relation(name)} ORDER BY ALL NULLS FIRST")

    def types(self, name: str = "mart.t") -> dict[str, str]:
        return {row[0]: row[1] for row in self.sql(f"DESCRIBE {relation(name)}")}

    def kind(self, name: str = "mart.t") -> str | None:
        return kind_of(self.connection, name)
