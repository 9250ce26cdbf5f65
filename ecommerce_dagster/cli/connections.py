"""`ecommerce connections`: what `.bruin.yml` knows, and whether it can be reached."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console

from ecommerce_dagster.bruin.model.connections import Connection
from ecommerce_dagster.bruin.problems import from_here
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.local_services import local_services_of
from ecommerce_dagster.cli.query import print_table
from ecommerce_dagster.errors import BruinError
from ecommerce_dagster.health.connections import tried


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
    services = local_services_of(project.directory)
    found: list[dict[str, Any]] = []
    for connection in chosen:
        with services.asked(connection.name):
            found.append({"name": connection.name, **_trial(connection)})
    if output == "json":
        print(
            json.dumps([{k: v for k, v in each.items() if k != "text"} for each in found], indent=2)
        )
    else:
        for each in found:
            click.echo(f"{each['name']}: {each['error'] or each['text']}")
    return 1 if any(each["error"] for each in found) else 0


def _trial(connection: Connection) -> dict[str, Any]:
    """What to say of a connection: whether it works, None when it was not tried, and why not."""
    try:
        text, version = tried(connection)
    except BruinError as error:
        return {"works": False, "error": str(error), "text": ""}
    return {"works": None if version is None else True, "error": None, "text": text}
