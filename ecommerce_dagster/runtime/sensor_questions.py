"""What a sensor asks: DuckDB and PostgreSQL, by its query or for a table."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import duckdb
import psycopg
from psycopg import sql

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.warehouses.postgres.connect import session
from ecommerce_dagster.warehouses.sql_asset import AssetError


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
