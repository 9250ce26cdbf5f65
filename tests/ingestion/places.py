"""The same source, loaded into PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import psycopg

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sources.postgres.into_postgres import CopyIngestion
from ecommerce_dagster.warehouses.base import BuildResult
from ecommerce_dagster.warehouses.postgres.warehouse import PostgresWarehouse
from ingestion.helpers import World, asset_of


@dataclass
class PostgresWorld(World):
    """A world whose warehouse is a database of the same server."""

    place: psycopg.Connection[Any]

    def load(
        self,
        parameters: str | dict[str, Any] = "",
        rest: str = "",
        *,
        interval: Interval | None = None,
        full_refresh: bool = False,
        reconcile: bool = False,
        connection: PostgresConnection | None = None,
    ) -> BuildResult:
        asset = asset_of(parameters, rest)
        source = connection or self.connection
        fill = CopyIngestion(asset, source, interval, full_refresh, reconcile)
        warehouse = replace(self.connection, database=self.place.info.dbname)
        return PostgresWarehouse(warehouse).publish(asset, fill, [], lambda template: template)

    def rows(self, query: str = "SELECT * FROM raw.t ORDER BY 1") -> list[tuple[Any, ...]]:
        return self.place.execute(query.encode()).fetchall()

    def clear(self) -> None:
        super().clear()
        self.place.execute("DROP SCHEMA IF EXISTS raw CASCADE")
