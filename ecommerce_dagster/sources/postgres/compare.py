"""After a load from PostgreSQL: make the table agree with the whole source in all keys.

The rule stands here once. How keys are compared, staged and deleted is the database's, in which the
table is (`Keys`): `keys.py` for DuckDB, `keys_in_postgres.py` for PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.sources.parameters import is_reconcilable
from ecommerce_dagster.sources.request import Request
from ecommerce_dagster.sql.load_result import LoadResult
from ecommerce_dagster.warehouses.base import Target


class Keys(Protocol):
    """The primary and the incremental key of an asset, in its source and in its table."""

    def agree(self, among: str | None) -> bool:
        """Whether both have the same keys, in the rows of the table that meet the condition
        `among`. Compared are the number of rows and the sum of a hash of each."""
        ...

    def stage(self) -> None:
        """Keep the keys of the source aside, in the types of the table."""
        ...

    def missed(self) -> int:
        """How many staged primary keys the table has not, or not with their newest values."""
        ...

    def delete_gone(self, among: str | None) -> tuple[int, str]:
        """Delete the rows of the table that meet the condition `among` and whose primary key is
        not staged: how many, by which statement."""
        ...

    def find_short(self) -> int:
        """Keep aside the keys that the table has less often than the source: how many rows it
        lacks."""
        ...

    def keep_late(self) -> int:
        """Keep aside the rows of the source that the table lacks, of the keys that `find_short`
        found: how many.

        Where a key is not unique, whole rows are compared: one that was changed since it was loaded
        looks like one that came, and neither is taken.
        """
        ...


def compared(
    request: Request,
    keys: Keys,
    target: Target,
    loaded: LoadResult,
    *,
    fill: Callable[[], LoadResult],
    fill_late: Callable[[], LoadResult],
) -> LoadResult:
    """Make the table of `request` agree with its source, and report it with `loaded`.

    `fill` loads the whole source, `fill_late` what `keep_late` has kept aside.
    """
    asset = request.asset
    among = request.compared_rows(target.columns(asset.name))
    if keys.agree(among):
        return replace(loaded, rows_deleted=0 if is_reconcilable(asset) else None)
    if request.strategy == "append":
        return _with_late(asset.name, keys, loaded, fill_late)
    keys.stage()
    if lacking := keys.missed():
        loaded = replace(_both(loaded, fill()), rows_missed=lacking)
        if still := keys.missed():
            loaded = _warned(loaded, _still_other(asset.name, still))
    if not is_reconcilable(asset):
        return loaded
    deleted, statement = keys.delete_gone(among)
    return replace(loaded, rows_deleted=deleted, statements=(*loaded.statements, statement))


def _with_late(
    table: str, keys: Keys, loaded: LoadResult, fill: Callable[[], LoadResult]
) -> LoadResult:
    """Append those of the rows that the table lacks that differ from all others."""
    lacking = keys.find_short()
    if not lacking:
        return loaded
    late = keys.keep_late()
    if lacking > late:
        loaded = _warned(loaded, _unordered_rows(table, lacking - late))
    return replace(_both(loaded, fill()), rows_missed=late) if late else loaded


def _both(loaded: LoadResult, rest: LoadResult) -> LoadResult:
    """What two loads did, one after the other."""
    written = (loaded.rows_written or 0) + (rest.rows_written or 0)
    return replace(loaded, rows_written=written, statements=(*loaded.statements, *rest.statements))


def _warned(loaded: LoadResult, warning: str) -> LoadResult:
    return replace(loaded, warnings=(*loaded.warnings, warning))


def _still_other(table: str, keys: int) -> str:
    """The warning that reading everything has not made the table agree with the source."""
    return (
        f"{counted(keys, 'key')} of the source differ from those of {table} although all rows were"
        " read; a full refresh (--full-refresh) makes the table anew"
    )


def _unordered_rows(table: str, rows: int) -> str:
    """The warning that rows of the source look like rows of the table."""
    return (
        f"{counted(rows, 'row')} of the source may be new and not in {table}: others have the same"
        " incremental_key and were changed; name a `primary_key`, or use 'merge'"
    )
