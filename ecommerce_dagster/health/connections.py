"""Whether each connection of the environment can be used, and how long that took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ecommerce_dagster.alerts.receivers import CONNECTIONS
from ecommerce_dagster.bruin.model.connections import (
    Connection,
    DuckDBConnection,
    UnusableConnection,
)
from ecommerce_dagster.bruin.model.lakehouse import CatalogFile
from ecommerce_dagster.bruin.problems import from_here
from ecommerce_dagster.errors import BruinError
from ecommerce_dagster.health.duckdb_file import state_of
from ecommerce_dagster.health.finding import Finding, Level, Part, Setup
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.warehouses.duckdb.database import MissingWarehouse, is_file
from ecommerce_dagster.warehouses.place import open_place
from ecommerce_dagster.warehouses.postgres.connect import session

# Within which a server has to answer.
PATIENCE = 5
_EMPTY = "does not exist yet; the first run makes it"


def connection_parts(setup: Setup) -> dict[str, Part]:
    """A part for each connection, so that one which does not answer keeps no other waiting."""
    return {
        f"connection {name}": partial(_trial, connection)
        for name, connection in setup.project.connections.by_name.items()
    }


def files_of(setup: Setup) -> dict[str, str]:
    """The files of DuckDB that connections open, by the names of those; catalogues of DuckLakes are
    such files too."""
    found = {}
    for name, connection in setup.project.connections.by_name.items():
        if connection.platform == "duckdb":
            try:
                path = _file_of(connection.duckdb(variables_for(connection.path)))
            except UnusableConnection:
                continue  # its own part says so
            if path:
                found[name] = path
    return found


def warehouses_of(setup: Setup, platform: str) -> list[Connection]:
    """The connections of a platform that tables of assets are in."""
    used = {setup.project.connection_name(asset) for asset in setup.project.assets}
    known = setup.project.connections.by_name
    return [known[name] for name in sorted(used & known.keys()) if known[name].platform == platform]


def _used(setup: Setup) -> set[str]:
    """The connections that assets name: of their tables, and of what they load."""
    assets = setup.project.assets
    loaded = {asset.parameter("source_connection") for asset in assets}
    return {setup.project.connection_name(asset) for asset in assets} | loaded


def _trial(connection: Connection, setup: Setup) -> Iterator[Finding]:
    name, began = connection.name, time.monotonic()
    if name in setup.at_rest:
        text = "not tried: its local server is not running, and starts with what needs it"
        yield Finding("connection", name, "ok", text, facts={"works": None, "seconds": None})
        return
    try:
        text, version = tried(connection)
    except BruinError as error:
        is_used = name in _used(setup)
        text = str(error) if is_used else f"{error}; no asset names it"
        where = f"{from_here(connection.path)}:{connection.line}"
        level: Level = "problem" if is_used else "warning"
        facts = {"works": 0.0, "seconds": time.monotonic() - began}
        advice = f"Start the server, or correct {where}"
        yield Finding("connection", name, level, text, advice, facts)
        return
    seconds = time.monotonic() - began
    if version is None:
        yield Finding("connection", name, "ok", text, facts={"works": None, "seconds": None})
        return
    known = {"version": version} if version else {}
    told = f"{text} ({1000 * seconds:.0f} ms)"
    yield Finding("connection", name, "ok", told, facts={"works": 1, "seconds": seconds, **known})


def tried(connection: Connection) -> tuple[str, str | None]:
    """What to say of a connection that works, and the version of its server: empty without one,
    None when it was not tried. Raises BruinError."""
    variables = variables_for(connection.path)
    if connection.platform == "postgres":
        with session(connection.postgres(variables), PATIENCE) as postgres:
            version = str(postgres.info.parameter_status("server_version"))
            return f"works, PostgreSQL {version}", version
    if connection.platform == "duckdb":
        return _tried_duckdb(connection.duckdb(variables))
    connection.texts(variables)
    if connection.kind in CONNECTIONS:
        return "not tried; `ecommerce alerts test` sends a message", None
    return "not tried; runs that load from it do", None


def _tried_duckdb(place: DuckDBConnection) -> tuple[str, str | None]:
    if path := _file_of(place):
        state = state_of(path)
        if state.error:
            raise UnusableConnection(f"{path} cannot be opened: {state.error}")
        if not state.exists:
            return f"{path} {_EMPTY}", ""
        return "in use by another process" if state.holders else "works", ""
    if place.lakehouse and isinstance(place.lakehouse.catalog, CatalogFile):
        path = place.lakehouse.catalog.path
        return ("works" if Path(path).exists() else f"{path} {_EMPTY}"), ""
    try:
        with open_place(place, read_only=True) as duck:
            duck.execute("SELECT 1")
    except MissingWarehouse:
        return _EMPTY, ""
    return "works", ""


def _file_of(place: DuckDBConnection) -> str | None:
    """The file that DuckDB opens; None when there is none, or another program's."""
    if place.lakehouse is None:
        return place.path if is_file(place.path) else None
    catalog = place.lakehouse.catalog
    return catalog.path if isinstance(catalog, CatalogFile) and catalog.kind == "duckdb" else None
