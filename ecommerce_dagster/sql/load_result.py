"""What came of a load, whichever database it was in."""

from __future__ import annotations

from dataclasses import dataclass

from ecommerce_dagster.errors import UnlocatedError


class LoadError(UnlocatedError):
    """Rows that cannot become rows of the table; the text names the column."""


@dataclass(frozen=True)
class LoadResult:
    """What a load did: rows written, the statements that did it, and what a reader of the table
    should know about its shape: columns that came, went, or have another type than expected.

    `rows_moved` counts those that were found in the window and had been outside of it before;
    `rows_deleted` those that were gone from the source, where it was asked for them, and
    `rows_missed` those that had been missed before. `warnings` say what stays wrong.
    `source_seconds` were spent in the source before its rows began to arrive. `is_new` tells of
    a table or view that was made anew: it has no comments to look up.
    """

    rows_written: int | None = None
    statements: tuple[str, ...] = ()
    schema_changes: tuple[str, ...] = ()
    rows_moved: int | None = None
    rows_deleted: int | None = None
    rows_missed: int | None = None
    source_seconds: float | None = None
    warnings: tuple[str, ...] = ()
    is_new: bool = False
