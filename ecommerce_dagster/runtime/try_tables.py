"""The tables that are built beside those of production to try a change, and dropped afterwards.

They stand in schemas with a prefix of their own: mart.t is try_1a2b3c4d_mart.t. As long as they are
there a file on this machine names them, so that what a killed process left can be dropped. Those
that are kept stay until the next ones of the pipeline, or until they are published.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.asset_types import has_table
from ecommerce_dagster.runtime.kept_tables import Kept
from ecommerce_dagster.runtime.warehouses import WAREHOUSES, Log


def reason_to_leave_out(asset: Asset) -> str | None:
    """Why the table of an asset cannot be made beside the one that is there; None when it can."""
    if not has_table(asset):
        return "it makes no table"
    if asset.hooks.pre or asset.hooks.post:
        return "its hooks may write anywhere"
    if asset.type.endswith(".sql") and asset.materialization.type == "none":
        return "it is a script, which may write anywhere"
    if "." not in asset.name:
        return "its name has no schema to tell the two apart by"
    return None


@dataclass
class Throwaway:
    """The schemas with a `prefix`, in the databases of these connections. They stay when they are
    `kept`."""

    prefix: str
    connections: Sequence[str]
    kept: Kept | None = None

    def drop(self, project: Project, tell: Log) -> None:
        """Drop the schemas and what is in them. Raises WarehouseError, SourceError."""
        for name in self.connections:
            connection = project.connections.by_name.get(name)
            known = WAREHOUSES.get(connection.platform) if connection else None
            if connection is not None and known is not None:
                known.drop_schemas(connection, self.prefix, tell)


@contextmanager
def throwaway(
    folder: Path, project: Project, connections: Sequence[str], tell: Log
) -> Iterator[Throwaway]:
    """Schemas of their own, dropped at the end of the block. `folder` has the files that name
    them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Throwaway(f"try_{secrets.token_hex(4)}_", connections)
    note, lock = _files(folder, made.prefix)
    with lock:
        note.write_text(_written(made, project))
        try:
            yield made
        finally:
            if made.kept is None:
                made.drop(project, tell)
                _forget(note, lock)
            else:
                note.write_text(_written(made, project))


@contextmanager
def last_kept(folder: Path, project: Project) -> Iterator[Throwaway | None]:
    """What was kept of the pipeline; it is forgotten when it is not `kept` any more at the end of
    the block."""
    for note, lock, found in _free(folder, project):
        if found.kept is not None:
            yield found
            if found.kept is None:
                _forget(note, lock)
            return
    yield None


def has_left(folder: Path) -> bool:
    """Whether there is something to drop."""
    return any(folder.glob("try_*_.json"))


def drop_left(folder: Path, project: Project, tell: Log) -> None:
    """Drop what killed processes left, and what was kept of the pipeline."""
    for note, lock, found in _free(folder, project):
        how = "that a killed process left" if found.kept is None else "that were kept"
        tell(f"dropping the schemas {found.prefix}* {how}")
        found.drop(project, tell)
        _forget(note, lock)


def _free(folder: Path, project: Project) -> Iterator[tuple[Path, FileLock, Throwaway]]:
    """What of the pipeline, in this environment, no process works with. It is locked meanwhile."""
    for note in sorted(folder.glob("try_*_.json")):
        lock = _files(folder, note.stem)[1]
        with suppress(Timeout), lock.acquire(timeout=0):
            record = json.loads(note.read_text())
            if all(record[key] == value for key, value in _place(project).items()):
                kept = Kept(**record["kept"]) if record["kept"] else None
                yield note, lock, Throwaway(note.stem, record["connections"], kept)


def _files(folder: Path, prefix: str) -> tuple[Path, FileLock]:
    return folder / f"{prefix}.json", FileLock(folder / f"{prefix}.lock", thread_local=False)


def _written(made: Throwaway, project: Project) -> str:
    kept = asdict(made.kept) if made.kept else None
    return json.dumps({**_place(project), "connections": [*made.connections], "kept": kept})


def _place(project: Project) -> dict[str, str]:
    """Which pipeline it is of, and by which connections it is reached."""
    found = project.connections
    config, directory = str(found.path), str(project.directory)
    return {"pipeline": directory, "config": config, "environment": found.environment}


def _forget(note: Path, lock: FileLock) -> None:
    note.unlink()
    Path(lock.lock_file).unlink(missing_ok=True)
