"""Whether there is room on the disks of this machine for what the next run writes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ecommerce_dagster import local
from ecommerce_dagster.bruin.model.connections import UnusableConnection
from ecommerce_dagster.health.connections import files_of, warehouses_of
from ecommerce_dagster.health.finding import Finding, Level, Part, Setup, byte_size
from ecommerce_dagster.health.records import built_assets
from ecommerce_dagster.runtime.environment import publishes_copy, variables_for

# For Dagster's records and for what a run writes whatever the tables hold.
_LEAST = 100_000_000


def disk_parts(setup: Setup) -> dict[str, Part]:
    """A part for each warehouse on this machine, one for temporary files and one for the state."""
    found: dict[str, Part] = {
        f"disk {name}": partial(_file, name, path) for name, path in files_of(setup).items()
    }
    for connection in warehouses_of(setup, "duckdb"):
        if connection.is_lakehouse:
            found[f"disk {connection.name} data"] = partial(_lake, connection.name)
    return {**found, "disk temp": _temporary, "disk state": _state}


def _file(name: str, path: str, setup: Setup) -> Iterator[Finding]:
    """The next copy for readers is made beside the one that is there, and a table is rebuilt
    beside the old one."""
    file = Path(path)
    size = file.stat().st_size if file.exists() else 0
    copies = publishes_copy(variables_for(setup.project.connections.path))
    largest = _largest(setup, name)
    needed = (size if copies else 0) + (size if largest is None else largest)
    what = "the next copy for readers and the largest table" if copies else "the largest table"
    yield _room(name, file.parent, needed, what)


def _lake(name: str, setup: Setup) -> Iterator[Finding]:
    connection = setup.project.connections.get(name)
    try:
        lake = connection.duckdb(variables_for(connection.path)).lakehouse
    except UnusableConnection:
        return  # its connection says so
    if lake is not None and lake.store is None:
        needed = _largest(setup, name) or 0.0
        yield _room(f"{name} data", Path(lake.data_path), needed, "the largest table")


def _temporary(setup: Setup) -> Iterator[Finding]:
    needed = max((each.size or 0.0 for each in built_assets(setup).values()), default=0.0)
    yield _room("temp", Path(tempfile.gettempdir()), needed, "what does not fit into memory")


def _state(setup: Setup) -> Iterator[Finding]:
    yield _room("state", local.state_dir(), 0, "the records of runs")


def _largest(setup: Setup, connection: str) -> float | None:
    """The bytes of the largest table of a connection, of those whose size a build recorded."""
    project = setup.project
    sizes = [
        built.size
        for name, built in built_assets(setup).items()
        if built.size is not None and project.connection_name(project.by_name[name]) == connection
    ]
    return max(sizes, default=None)


def _room(name: str, folder: Path, needed: float, what: str) -> Finding:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free, needed = shutil.disk_usage(folder).free, max(needed, _LEAST)
    facts = {"free_bytes": free, "needed_bytes": needed}
    text = f"{byte_size(free)} free in {folder}; {what} may need {byte_size(needed)}"
    if free >= 2 * needed:
        return Finding("disk", name, "ok", text, facts=facts)
    level: Level = "problem" if free < needed else "warning"
    return Finding("disk", name, level, text, "Free some space, or use a larger disk", facts)
