"""`ecommerce connections`: what `.bruin.yml` knows, and whether it can be reached."""

from __future__ import annotations

import click
from rich.console import Console

from ecommerce_dagster.bruin.connections import Connection, UnusableConnection
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.query import as_table
from ecommerce_dagster.ingestion.postgres import SourceError, session
from ecommerce_dagster.orchestration.environment import variables_for
from ecommerce_dagster.warehouse.database import WarehouseError, open_warehouse


def list_connections(project: Project) -> None:
    """Print the names and kinds of the environment's connections."""
    rows = [
        (c.name, c.platform, f"{c.path}:{c.line}") for c in project.connections.by_name.values()
    ]
    Console().print(as_table(["name", "type", "declared in"], [tuple(row) for row in rows]))


def check_connections(project: Project, name: str | None) -> int:
    """Try to use one connection, or all. The exit code: 1 when one does not work."""
    connections = project.connections
    chosen = [connections.get(name)] if name else list(connections.by_name.values())
    broken = 0
    for connection in chosen:
        problem = _problem(connection)
        broken += problem is not None
        click.echo(f"{connection.name}: {problem or 'works'}")
    return 1 if broken else 0


def _problem(connection: Connection) -> str | None:
    """Why a connection cannot be used, or None."""
    variables = variables_for(connection.path)
    try:
        if connection.platform == "postgres":
            with session(connection.postgres(variables)) as postgres:
                postgres.execute("SELECT 1")
        elif connection.platform == "duckdb":
            with open_warehouse(connection.duckdb(variables).path, read_only=True) as duck:
                duck.execute("SELECT 1")
        else:
            return f"connections of type {connection.platform} are not supported"
    except (UnusableConnection, SourceError, WarehouseError) as error:
        return str(error)
    return None
