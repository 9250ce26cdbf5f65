"""What a run of an ingestr asset asks of PostgreSQL, wherever the asset's table is."""

from __future__ import annotations

from dataclasses import dataclass

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sources.known_parameters import trims
from ecommerce_dagster.sources.postgres.describe import Source, describe
from ecommerce_dagster.sources.request import Request
from ecommerce_dagster.warehouses.postgres.connect import cancel


@dataclass(frozen=True)
class PostgresRequest(Request):
    """One run of an ingestr asset whose source is a database of PostgreSQL.

    A subclass loads the rows: call it with the place for the asset's table.
    """

    asset: Asset
    postgres: PostgresConnection
    interval: Interval | None = None
    full_refresh: bool = False
    reconcile: bool = False
    one_source: bool = True
    reads_keys = True

    def cancel(self) -> None:
        """End what PostgreSQL is doing for this process, from another thread."""
        cancel(self.postgres)

    def described(self) -> Source:
        """The source with the columns that are loaded. Raises SourceError.

        Call it before there is a snapshot: it waits for a session that rewrites the table, and what
        that wrote would not be seen.
        """
        source = describe(self.postgres, self.source_table, self.excluded, self.masks)
        return source.trimmed() if trims(self.asset) else source
