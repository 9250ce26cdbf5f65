"""`ecommerce connections`: what `.bruin.yml` knows, and whether it can be reached."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from ecommerce_dagster.alerts.receivers import CONNECTIONS
from ecommerce_dagster.bruin.model.connections import (
    Connection,
    DuckDBConnection,
    UnusableConnection,
)
from ecommerce_dagster.bruin.problems import from_here
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.companions import companion_of
from ecommerce_dagster.cli.query import print_table
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.runtime.warehouses import WAREHOUSES
from ecommerce_dagster.warehouses.duckdb.database import (
    MissingWarehouse,
    WarehouseError,
    is_file,
)
from ecommerce_dagster.warehouses.place import open_place
from ecommerce_dagster.warehouses.postgres.connect import SourceError
from ecommerce_dagster.warehouses.query import QueryError

_NOT_TRIED = "delivers alerts; `ecommerce alerts test` sends one"


def list_connections(project: Project, output: str) -> None:
    """Print the names and kinds of the environment's connections."""
    found = list(project.connections.by_name.values())
    if output == "json":
        names = [
            {"name": c.name, "type": c.type, "file": str(c.path), "line": c.line} for c in found
        ]
        print(json.dumps(names, indent=2))
        return
    rows = [(c.name, c.type, f"{from_here(c.path)}:{c.line}") for c in found]
    print_table(Console(), ["name", "type", "declared in"], [tuple(row) for row in rows])


def check_connections(project: Project, name: str | None, output: str) -> int:
    """Try to use one connection, or all. The exit code: 1 when one does not work."""
    connections = project.connections
    chosen = [connections.get(name)] if name else list(connections.by_name.values())
    companion = companion_of(project.directory)
    problems = {}
    for connection in chosen:
        with companion.asked(connection.name):
            problems[connection.name] = _problem(connection)
    if output == "json":
        found = [
            {"name": key, "works": not problem, "error": problem}
            for key, problem in problems.items()
        ]
        print(json.dumps(found, indent=2))
    else:
        for connection in chosen:
            fine = _NOT_TRIED if connection.kind in CONNECTIONS else "works"
            click.echo(f"{connection.name}: {problems[connection.name] or fine}")
    return 1 if any(problems.values()) else 0


def _problem(connection: Connection) -> str | None:
    """Why a connection cannot be used, or None."""
    try:
        if connection.platform == "duckdb":
            _try_duckdb(connection.duckdb(variables_for(connection.path)))
        elif connection.kind in CONNECTIONS:
            connection.texts(variables_for(connection.path))
        elif connection.platform in WAREHOUSES:
            WAREHOUSES[connection.platform].ask(connection, "SELECT 1", 1, lambda message: None)
        else:
            return f"connections of type {connection.platform} are not supported"
    except (UnusableConnection, SourceError, WarehouseError, QueryError) as error:
        return str(error)
    return None


def _try_duckdb(place: DuckDBConnection) -> None:
    """A run makes what does not exist; nothing here does. Raises WarehouseError."""
    folder = Path(place.path).parent
    is_new = is_file(place.path) and folder.is_dir() and not Path(place.path).exists()
    if is_new and not place.lakehouse:
        return
    try:
        with open_place(place, read_only=True) as duck:
            duck.execute("SELECT 1")
    except MissingWarehouse:
        if not place.lakehouse:
            raise
