"""What keeps a DuckLake small and quick: old snapshots go, and small files become large ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import duckdb

from ecommerce_dagster.bruin.model.lakehouse import Lakehouse
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.sql.identifiers import literal
from ecommerce_dagster.warehouses.ducklake.attach import LAKE, open_lake
from ecommerce_dagster.warehouses.ducklake.locking import LakeWriteLock

KEEP_DAYS = 7
# A query or a build that takes longer than a day may lose files that it reads.
_GRACE = "INTERVAL 1 DAY"


@dataclass(frozen=True)
class Upkeep:
    """What was done: snapshots that were forgotten, files that were merged away, files deleted."""

    expired: int
    merged: int
    deleted: int

    def __str__(self) -> str:
        return (
            f"{counted(self.expired, 'snapshot')} expired, {counted(self.merged, 'file')} merged, "
            f"{counted(self.deleted, 'file')} deleted"
        )


def maintain(
    lake: Lakehouse,
    keep_days: int = KEEP_DAYS,
    on_wait: Callable[[str], None] = lambda message: None,
) -> Upkeep:
    """Forget snapshots older than so many days (the latest always stays), rewrite files that are
    small or mostly deleted, and delete those that nothing needs, a day after nothing does.

    Runs beside builds. Raises WarehouseError.
    """
    old = f"now() - INTERVAL {int(keep_days)} DAY"
    with open_lake(lake, on_wait=on_wait) as connection:
        expired = _call(connection, "expire_snapshots", f"older_than => {old}")
        _call(connection, "rewrite_data_files")
        merged = _call(connection, "merge_adjacent_files")
        unneeded = f"older_than => now() - {_GRACE}"
        deleted = _call(connection, "cleanup_old_files", unneeded)
        # A build that gave up a file while it was listed: the next upkeep finds the others.
        with suppress(duckdb.IOException):
            deleted += _call(connection, "delete_orphaned_files", unneeded)
    return Upkeep(len(expired), sum(int(row[2]) for row in merged), len(deleted))


def _call(
    connection: duckdb.DuckDBPyConnection, function: str, *arguments: str
) -> list[tuple[Any, ...]]:
    """What a function of DuckLake answers; called again when a build was there first."""
    lock = LakeWriteLock(function.replace("_", " "), {})
    call = f"CALL ducklake_{function}({', '.join([literal(LAKE), *arguments])})"
    while True:
        try:
            return connection.execute(call).fetchall()
        except duckdb.Error as error:
            if not lock.tries_again(error):
                raise
