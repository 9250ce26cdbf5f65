"""Tables that are made beside those of production to be looked at, and go away again.

They stand in schemas with a prefix of their own: mart.t is try_1a2b3c4d_mart.t. As long as they are
there a file on this machine names them, so that what a killed process left can be dropped.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.asset_types import has_table
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


@dataclass(frozen=True)
class Throwaway:
    """The schemas with a `prefix`, in the databases of these connections."""

    prefix: str
    connections: Sequence[str]

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
    """Schemas of their own, dropped at the end of the block. `folder` has the files that
    name them; those of processes that were killed are dropped first."""
    folder.mkdir(parents=True, exist_ok=True)
    _drop_abandoned(folder, project, tell)
    made = Throwaway(f"try_{secrets.token_hex(4)}_", connections)
    note, lock = _files(folder, made.prefix)
    with lock:
        note.write_text(json.dumps(made.connections))
        try:
            yield made
        finally:
            made.drop(project, tell)
            _forget(note, lock)


def _files(folder: Path, prefix: str) -> tuple[Path, FileLock]:
    return folder / f"{prefix}.json", FileLock(folder / f"{prefix}.lock", thread_local=False)


def _drop_abandoned(folder: Path, project: Project, tell: Log) -> None:
    """Drop what killed processes left, whose locks are free."""
    for note in sorted(folder.glob("try_*_.json")):
        lock = _files(folder, note.stem)[1]
        with suppress(Timeout), lock.acquire(timeout=0):
            tell(f"dropping the schemas {note.stem}* that a killed process left")
            Throwaway(note.stem, json.loads(note.read_text())).drop(project, tell)
            _forget(note, lock)


def _forget(note: Path, lock: FileLock) -> None:
    note.unlink()
    Path(lock.lock_file).unlink(missing_ok=True)
