"""What DuckDB needs to log in elsewhere, as secrets of one session: in no file, no error, no ATTACH
that duckdb_databases() would show."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sql.identifiers import literal, quoted


def keep_secret(
    connection: duckdb.DuckDBPyConnection, name: str, kind: str, fields: Mapping[str, str | bool]
) -> None:
    """Make or replace a secret; empty fields are left out."""
    values = [f"{key} {literal(value)}" for key, value in fields.items() if value != ""]
    written = ", ".join([f"TYPE {quoted(kind)}", *values])
    connection.execute(f"CREATE OR REPLACE TEMPORARY SECRET {name} ({written})")


def forget_secret(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Drop a secret, if there is one. Sessions that it opened go on without it."""
    connection.execute(f"DROP SECRET IF EXISTS {name}")


def login_of(connection: PostgresConnection) -> dict[str, str | bool]:
    """The fields of a secret for PostgreSQL."""
    return {
        "HOST": connection.host,
        "PORT": str(connection.port),
        "DATABASE": connection.database,
        "USER": connection.user,
        "PASSWORD": connection.password,
    }
