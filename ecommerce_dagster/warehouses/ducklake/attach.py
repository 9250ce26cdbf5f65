"""A DuckLake as a warehouse: attached to a DuckDB of its own, which has nothing else in it.

Every process may write to it: DuckLake decides at COMMIT. Passwords stand in secrets of DuckDB
only; in the ATTACH itself they would show in duckdb_databases() and in error texts.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse, ObjectStore
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sql.identifiers import literal
from ecommerce_dagster.warehouses.duckdb.database import (
    MissingWarehouse,
    WarehouseError,
    connected,
    is_lake,
    lock,
    make_folder_of,
)
from ecommerce_dagster.warehouses.duckdb.extensions import ExtensionError, load_extension
from ecommerce_dagster.warehouses.duckdb.secrets import forget_secret, keep_secret, login_of
from ecommerce_dagster.warehouses.ducklake.catalog import CONNECT_SECONDS, PostgresCatalog

# The name of the database in a session: no schema is called so.
LAKE = "_lake"
AUTHOR = "ecommerce_dagster"
_LOGIN = "_lake_login"
_SCANNERS = {"postgres": "postgres_scanner", "sqlite": "sqlite_scanner"}
# What goes wrong with a catalogue or a store that was there a moment ago.
_OF_OTHERS = (duckdb.IOException, duckdb.TransactionException)
_OTHER_PATH = re.compile(r'existing data path in the catalog "([^"]*)"')


@contextmanager
def open_lake(
    lake: Lakehouse,
    *,
    read_only: bool = False,
    settings: Mapping[str, Any] | None = None,
    on_wait: Callable[[str], None] = lambda message: None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which the tables of the lake are those without a database; closed in every
    case. Raises WarehouseError.

    A catalogue that is a file is opened by one process at a time, and `on_wait` is called with what
    is waited for; one in PostgreSQL takes all at once.
    """
    with ExitStack() as stack:
        if isinstance(lake.catalog, CatalogFile):
            make_folder_of(lake.catalog.path)
            stack.enter_context(lock(lake.catalog.path, on_wait))
        # What does not fit into memory would else be written to the current folder.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ducklake-"))
        own = {"temp_directory": folder, **(settings or {})}
        connection = stack.enter_context(connected(":memory:", settings=own))
        attach_lake(connection, lake, LAKE, read_only=read_only)
        connection.execute(f"USE {LAKE}")
        try:
            yield connection
        except _OF_OTHERS as error:
            raise WarehouseError(f"the DuckLake at {lake.address}: {_first_line(error)}") from error


def say(connection: duckdb.DuckDBPyConnection, message: str, about: Mapping[str, str]) -> None:
    """Note in the snapshot that this transaction makes what it is for, and `about` as JSON."""
    connection.execute(
        f"CALL {LAKE}.set_commit_message({literal(AUTHOR)}, {literal(message)}, "
        f"extra_info => {literal(json.dumps(dict(about)))})"
    )


def attach_lake(
    connection: duckdb.DuckDBPyConnection,
    lake: Lakehouse,
    alias: str,
    *,
    read_only: bool = False,
) -> None:
    """Make a lake a database of the session. Raises WarehouseError."""
    catalog = lake.catalog
    _load_extensions(connection, lake)
    options = [f"DATA_PATH {literal(lake.data_path)}"]
    # Few rows would else be in tables of the catalogue. Maintenance moves them into files and drops
    # the tables although others are reading them.
    options.append("READ_ONLY" if read_only else "DATA_INLINING_ROW_LIMIT 0")
    if isinstance(catalog, CatalogFile):
        if read_only and not Path(catalog.path).exists():
            raise MissingWarehouse(catalog.path)
        prefix = "" if catalog.kind == "duckdb" else f"{catalog.kind}:"
        _attach(connection, lake, f"{prefix}{catalog.path}", alias, options)
        return
    options += [f"META_SECRET {_LOGIN}", f"METADATA_SCHEMA {literal(lake.schema)}"]
    address = f"postgres:sslmode={catalog.ssl_mode} connect_timeout={CONNECT_SECONDS}"
    with PostgresCatalog(catalog, lake.schema).ready(create=not read_only):
        _attach(connection, lake, address, alias, options)


def is_open(connection: duckdb.DuckDBPyConnection, lake: Lakehouse) -> bool:
    """Whether the tables of a connection are those of this lake: no two share their files."""
    if not is_lake(connection):
        return False
    query = "SELECT data_path FROM ducklake_settings(current_database())"
    ((path,),) = connection.execute(query).fetchall()
    return str(path).rstrip("/") == lake.data_path.rstrip("/")


def extensions_of(lake: Lakehouse) -> list[str]:
    """The extensions of DuckDB that a DuckLake needs, in the order of loading."""
    kind = lake.catalog.kind if isinstance(lake.catalog, CatalogFile) else "postgres"
    store = "httpfs" if lake.store else None
    return [name for name in ("ducklake", store, _SCANNERS.get(kind)) if name is not None]


def _load_extensions(connection: duckdb.DuckDBPyConnection, lake: Lakehouse) -> None:
    try:
        for name in extensions_of(lake):
            load_extension(connection, name)
    except ExtensionError as error:
        raise WarehouseError(str(error)) from None


def _attach(
    connection: duckdb.DuckDBPyConnection,
    lake: Lakehouse,
    address: str,
    alias: str,
    options: Sequence[str],
) -> None:
    try:
        if lake.store is not None:
            fields = _store_fields(lake.store, lake.data_path)
            keep_secret(connection, f"_store_of{alias}", lake.store.kind, fields)
        if isinstance(lake.catalog, PostgresConnection):
            keep_secret(connection, _LOGIN, "postgres", login_of(lake.catalog))
        connection.execute(
            f"ATTACH {literal(f'ducklake:{address}')} AS {alias} ({', '.join(options)})"
        )
    except duckdb.Error as error:
        raise WarehouseError(_refusal(lake, str(error))) from None
    finally:
        forget_secret(connection, _LOGIN)


def _store_fields(store: ObjectStore, path: str) -> dict[str, str | bool]:
    scheme, separator, host = store.endpoint.rpartition("://")
    return {
        "SCOPE": path,
        "KEY_ID": store.access_key,
        "SECRET": store.secret_key,
        "SESSION_TOKEN": store.session_token,
        "REGION": store.region,
        "ENDPOINT": host.rstrip("/"),
        "URL_STYLE": store.url_style,
        **({"USE_SSL": scheme != "http"} if separator else {}),
    }


def _refusal(lake: Lakehouse, message: str) -> str:
    """Why a lake cannot be opened. DuckDB repeats the address with the password in it."""
    other = _OTHER_PATH.search(message)
    if other:
        return (
            f"the catalogue of the DuckLake at {lake.address} is of rows in {other.group(1)}; "
            "name that path, or another catalogue (metadata_schema)"
        )
    secret = lake.catalog.password if isinstance(lake.catalog, PostgresConnection) else ""
    store = (lake.store.secret_key, lake.store.session_token) if lake.store else ()
    for hidden in filter(None, (secret, *store)):
        message = message.replace(hidden, "***")
    return f"the DuckLake at {lake.address} cannot be opened: {_first_line(message)}"


def _first_line(message: object) -> str:
    return str(message).strip().splitlines()[0]
