"""An ingestr asset whose source is another DuckDB file or DuckLake, or another table of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.connections import DuckDBConnection
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sources.relation import ALIAS, RelationIngestion
from ecommerce_dagster.sql.identifiers import literal
from ecommerce_dagster.warehouses.duckdb.database import WarehouseError
from ecommerce_dagster.warehouses.ducklake.attach import attach_lake, is_open

_HOLDER = re.compile(r"\(PID (\d+)\)")


@dataclass(frozen=True)
class DuckDBIngestion(RelationIngestion):
    """How to load one ingestr asset from a DuckDB file or a DuckLake. Call it with the place for
    its table."""

    asset: Asset
    source: DuckDBConnection
    interval: Interval | None = None
    full_refresh: bool = False
    reconcile: bool = False

    @property
    def label(self) -> str:
        return self.source.lakehouse.address if self.source.lakehouse else self.source.path

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the source readable as the database ALIAS. Raises what `failure` makes."""
        path = self.source.path
        if self.source.lakehouse is not None:
            try:
                attach_lake(connection, self.source.lakehouse, ALIAS, read_only=True)
            except WarehouseError as error:
                raise self.failure(str(error)) from None
            return
        if path == ":memory:" or "://" in path:
            raise self.failure(f"the source is '{path}'; expected a file")
        if not Path(path).is_file():
            raise self.failure(f"the source {path} does not exist; correct its path in .bruin.yml")
        try:
            connection.execute(f"ATTACH {literal(path)} AS {ALIAS} (TYPE duckdb, READ_ONLY)")
        except duckdb.Error as error:
            raise self.failure(_unopened(path, str(error))) from None

    def is_own(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether the source is the database that this connection writes to."""
        if self.source.lakehouse is not None:
            return is_open(connection, self.source.lakehouse)
        if self.source.motherduck_database is not None:
            return True  # from anywhere else ingestr reads it
        row = connection.execute(
            "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
            " AND type = 'duckdb'"
        ).fetchone()
        own = row[0] if row else None
        return bool(own and Path(own).resolve() == Path(self.source.path).resolve())


def _unopened(path: str, message: str) -> str:
    """Why a file cannot be attached, in the user's words."""
    if "Could not set lock" in message:
        holder = _HOLDER.search(message)
        process = f"process {holder.group(1)}" if holder else "another process"
        return f"{process} has {path} open for writing; run it again when that has ended"
    if "already attached" in message:
        return f"{path} is open in this process already; run the assets that use it one by one"
    return f"{path} cannot be read as a DuckDB database: {message.splitlines()[0]}"
