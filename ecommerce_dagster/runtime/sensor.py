"""Assets that wait: until a query says yes, or until a table is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import duckdb
import psycopg
from psycopg import sql

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.durations import seconds_in
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.warehouses.postgres.connect import session
from ecommerce_dagster.warehouses.sql_asset import AssetError

Mode = Literal["once", "wait", "skip"]
_POKE_SECONDS = 30.0
_TIMEOUT_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Patience:
    """How often a sensor asks, and for how long; both in seconds."""

    interval: float = _POKE_SECONDS
    timeout: float = _TIMEOUT_SECONDS

    @classmethod
    def of(cls, asset: Asset) -> Patience:
        """What the parameters `poke_interval` and `timeout` say. Raises ValueError."""
        interval, timeout = asset.parameter("poke_interval"), asset.parameter("timeout")
        return cls(
            seconds_in(interval) if interval else _POKE_SECONDS,
            seconds_in(timeout) if timeout else _TIMEOUT_SECONDS,
        )


def lint_sensor(asset: Asset, log: ProblemLog) -> None:
    """Report a sensor that asks nothing, or waits for no time that can be read."""
    wanted = "table" if asset.type.endswith("sensor.table") else "query"
    if not asset.parameter(wanted):
        message = f"a {asset.type} asset needs `parameters: {wanted}`"
        rule = "valid-table-sensor-table" if wanted == "table" else "valid-query-sensor"
        log.error(*asset.at("parameters"), rule, message)
    try:
        Patience.of(asset)
    except ValueError as error:
        log.error(*asset.at("parameters", "timeout"), "valid-sensor-timeout", str(error))


def wait(asset: Asset, ask: Callable[[], bool], mode: Mode, on_wait: Callable[[str], None]) -> None:
    """Return when `ask` says yes. Raises AssetError when it says no once (mode `once`), or when
    the time is over. Mode `skip` asks nothing."""
    if mode == "skip":
        return
    patience = Patience.of(asset)
    deadline = time.monotonic() + patience.timeout
    where = f"{asset.path}:{asset.line}"
    while not ask():
        if mode == "once":
            raise AssetError(
                f"{where}: Sensor didn't return the expected result; "
                "`--sensor-mode wait` asks until it does"
            )
        left = deadline - time.monotonic()
        if left <= 0:
            raise AssetError(
                f"{where}: waited {patience.timeout:g} s in vain; `timeout` says how long"
            )
        on_wait(f"{asset.name}: not yet; asking again in {min(patience.interval, left):g} s")
        time.sleep(min(patience.interval, left))


def duckdb_says_yes(connection: duckdb.DuckDBPyConnection, asset: Asset, query: str) -> bool:
    """Whether a query of the sensor `asset` returns a true value in DuckDB; False for a table that
    does not exist yet. Raises AssetError for a query that fails otherwise."""
    try:
        row = connection.execute(query).fetchone()
    except duckdb.CatalogException:
        # Another program may make what it asks for, later.
        return False
    except duckdb.Error as error:
        raise AssetError(f"{asset.path}:{asset.line}: {error}") from None
    return _is_yes(row)


def postgres_says_yes(connection: PostgresConnection, asset: Asset, query: str) -> bool:
    """Whether a query of the sensor `asset` returns a true value in PostgreSQL; False for a table
    that does not exist yet. Raises AssetError for a query that fails otherwise."""
    with session(connection) as postgres:
        try:
            row = postgres.execute(query.encode()).fetchone()
        except psycopg.errors.UndefinedTable:
            return False
        except psycopg.Error as error:
            reason = error.diag.message_primary or str(error)
            raise AssetError(f"{asset.path}:{asset.line}: {reason}") from None
    return _is_yes(row)


def postgres_has_table(connection: PostgresConnection, table: str) -> bool:
    """Whether a table (schema.table, or a name in the connection's schema) exists."""
    schema, _, name = table.rpartition(".")
    with session(connection) as postgres:
        row = postgres.execute(
            sql.SQL("SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n")
            + sql.SQL(" ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s)"),
            [schema or connection.schema, name],
        ).fetchone()
    return bool(row and row[0])


def _is_yes(row: tuple[Any, ...] | None) -> bool:
    """An answer above 0 or true. NULL, or no row, is not yet."""
    cell = row[0] if row else None
    if cell is None or isinstance(cell, bool):
        return bool(cell)
    if isinstance(cell, int | float | Decimal):
        return cell > 0
    text = str(cell).strip().lower()
    try:
        return float(text) > 0
    except ValueError:
        return text in {"true", "t", "yes"}
