"""When a build may write, and how its transaction ends, in the database that it is for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset


class WriteLock:
    """The time in which one build may write.

    To a DuckDB file one connection writes at a time: who has it open has the turn, and nothing gets
    in the way of a COMMIT.
    """

    def before_commit(self, connection: duckdb.DuckDBPyConnection) -> None:
        """What is still to be done in the transaction."""

    def tries_again(self, error: BaseException) -> bool:
        """Whether a build that failed so, and left nothing behind, is to be done again. Waits
        before it says yes. Raises WarehouseError when there were too many tries."""
        return False


Locking = Callable[[Asset], AbstractContextManager[WriteLock]]


def no_lock(asset: Asset) -> AbstractContextManager[WriteLock]:
    """Wait for no other run."""
    return nullcontext(WriteLock())
