"""`ecommerce warehouse`: the snapshots of a DuckLake, the way back to one, and its upkeep."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from rich.console import Console

from ecommerce_dagster.bruin.config_file import default_connection_name
from ecommerce_dagster.bruin.model.connections import UnusableConnection
from ecommerce_dagster.bruin.model.lakehouse import Lakehouse
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.errors import tell
from ecommerce_dagster.cli.query import print_table
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.warehouses.ducklake.attach import open_lake
from ecommerce_dagster.warehouses.ducklake.maintenance import maintain
from ecommerce_dagster.warehouses.ducklake.snapshots import (
    Snapshot,
    roll_back,
    snapshots_of,
)


def list_snapshots(
    project: Project, connection: str | None, table: str | None, limit: int, output: str
) -> None:
    """Print the latest snapshots, those that changed a table when one is named."""
    lake = _lake_of(project, connection)
    with open_lake(lake, read_only=True, on_wait=tell) as opened:
        found = snapshots_of(opened, lake)
    if table:
        found = [s for s in found if table.lower() in {name.lower() for name in s.changed}]
    if output == "json":
        print(json.dumps([_plain(snapshot) for snapshot in found[:limit]], indent=2))
        return
    rows = [
        (s.number, f"{s.time:%Y-%m-%d %H:%M:%S}", ", ".join(s.changed), *_told(s))
        for s in found[:limit]
    ]
    print_table(Console(), ["snapshot", "time (UTC)", "changed", "by", "run"], rows)
    if len(found) > limit:
        tell(f"{len(found)} snapshots are kept; --limit shows more of them")


def roll_back_tables(
    project: Project, connection: str | None, number: int, tables: Sequence[str]
) -> None:
    """Make tables what they were in a snapshot, and print what was done."""
    done = roll_back(_lake_of(project, connection), number, tables, tell)
    for sentence in done:
        click.echo(sentence)
    if not done:
        click.echo(f"nothing has changed since snapshot {number}")


def maintain_lake(project: Project, connection: str | None, keep_days: int) -> None:
    """Do the upkeep, and print what was done."""
    click.echo(str(maintain(_lake_of(project, connection), keep_days, tell)))


def _lake_of(project: Project, connection: str | None) -> Lakehouse:
    name = connection or default_connection_name("duckdb", project.pipeline.default_connections)
    found = project.connections.get(name)
    lake = found.duckdb(variables_for(found.path)).lakehouse if found.platform == "duckdb" else None
    if lake is None:
        raise UnusableConnection(
            f"{found.path}:{found.line}: the connection '{name}' is not a DuckLake; only a "
            "connection with a 'lakehouse' has snapshots"
        )
    return lake


def _told(snapshot: Snapshot) -> tuple[str, str]:
    """What the snapshot says of itself, with its interval, and the run."""
    interval = snapshot.about.get("interval")
    words = f"{snapshot.message} for {interval}" if interval else snapshot.message
    return words, str(snapshot.about.get("run_id", ""))[:8]


def _plain(snapshot: Snapshot) -> dict[str, object]:
    return {
        "snapshot": snapshot.number,
        "time": snapshot.time.isoformat(),
        "changed": list(snapshot.changed),
        "message": snapshot.message,
        "about": dict(snapshot.about),
    }
