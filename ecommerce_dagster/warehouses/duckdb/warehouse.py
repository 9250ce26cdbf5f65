"""DuckDB as a warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sql.checks import Check, CheckResult
from ecommerce_dagster.sql.column_names import meant
from ecommerce_dagster.sql.identifiers import relation
from ecommerce_dagster.warehouses.base import (
    BuildResult,
    Cancellable,
    Render,
    Writer,
    despite,
    nothing,
)
from ecommerce_dagster.warehouses.duckdb.database import described, kind_of
from ecommerce_dagster.warehouses.duckdb.locking import Locking, no_lock
from ecommerce_dagster.warehouses.duckdb.rows_by_time import moments_in
from ecommerce_dagster.warehouses.duckdb.transaction import DuckDBTransaction, check_only
from ecommerce_dagster.warehouses.publish import publish
from ecommerce_dagster.warehouses.query import ALL_TABLES
from ecommerce_dagster.warehouses.time_limit import time_limit


@runtime_checkable
class Attaching(Protocol):
    """A fill that reads another database, which is attached before the transaction begins."""

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> AbstractContextManager[object]: ...


@dataclass(frozen=True)
class DuckDBWarehouse:
    """The DuckDB that `open` gives a connection to, and that builds write to as `locking` says."""

    open: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
    locking: Locking = no_lock

    def publish(
        self,
        asset: Asset,
        fill: Writer,
        checks: Sequence[Check],
        render: Render,
        timeout: float | None = None,
    ) -> BuildResult:
        locking = no_lock if fill is nothing else self.locking
        done: list[BuildResult] = []
        try:
            with locking(asset) as lock, self.open() as connection:
                if isinstance(fill, Attaching):
                    # What it attaches is let go with the connection.
                    fill.prepare(connection)

                def interrupt() -> None:
                    connection.interrupt()
                    if isinstance(fill, Cancellable):
                        fill.cancel()

                transaction = DuckDBTransaction(connection, asset, lock)
                with time_limit(interrupt, timeout):
                    done += [publish(transaction, asset, fill, checks, render)]
        except Exception as error:
            return despite(error, done)
        return done[0]

    def check(
        self, asset: Asset, checks: Sequence[Check], render: Render, timeout: float | None = None
    ) -> tuple[CheckResult, ...]:
        with self.open() as connection, time_limit(connection.interrupt, timeout):
            return check_only(connection, asset, checks, render)

    def moments(
        self, table: str, column: str, unit: str, window: Interval | None = None
    ) -> dict[float, int]:
        with self.open() as connection:
            kinds = described(connection, relation(table))
            name = meant(column, kinds) or column
            return moments_in(connection, relation(table), name, kinds.get(name), unit, window)

    def tables(self) -> set[str]:
        with self.open() as connection:
            return {str(name) for (name,) in connection.execute(ALL_TABLES).fetchall()}

    def columns_of(self, names: Iterable[str]) -> dict[str, list[str]]:
        with self.open() as connection:
            return {
                name: list(described(connection, relation(name)))
                for name in names
                if kind_of(connection, name)
            }
