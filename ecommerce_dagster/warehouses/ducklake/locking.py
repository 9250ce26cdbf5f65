"""Builds write to a DuckLake at the same time, unless they may write the same rows.

DuckLake refuses a COMMIT when another one deleted or altered what it is based on; such a build is
done again from its beginning. It does not see that two builds insert the same row: those who may do
that take turns, by locks in PostgreSQL, which frees them when their holder dies.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.warehouses.duckdb.database import WAITING, WarehouseError
from ecommerce_dagster.warehouses.duckdb.locking import WriteLock
from ecommerce_dagster.warehouses.ducklake.attach import say
from ecommerce_dagster.warehouses.ducklake.catalog import Lock, PostgresCatalog

_MOST_TRIES = 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds
_DAY_LOCKS = 61


@dataclass(frozen=True)
class LakeLocking:
    """The turns of builds that one run does: those who write to the same table take turns, except
    that each may fill a `window` of its own. `about` is what a snapshot says of its run."""

    lake: Lakehouse
    about: Mapping[str, str] = field(default_factory=dict)
    window: Interval | None = None
    on_wait: Callable[[str], None] = lambda message: None

    @contextmanager
    def __call__(self, asset: Asset) -> Iterator[WriteLock]:
        about = {"asset": asset.name, **self.about}

        def told() -> None:
            self.on_wait(f"{WAITING}another run to finish with {asset.name}")

        with holding(self.lake, locks_for(asset.name, self.window), told) as require:
            yield LakeWriteLock(f"build {asset.name}", about, require)


@contextmanager
def holding(
    lake: Lakehouse, locks: Sequence[Lock], on_wait: Callable[[], None]
) -> Iterator[Callable[[], None]]:
    """The time in which this process has the locks, as of `PostgresCatalog`. Who has a catalogue
    open that is a file is alone."""
    if isinstance(lake.catalog, CatalogFile):
        yield lambda: None
        return
    with PostgresCatalog(lake.catalog, lake.schema).holding(locks, on_wait) as require:
        yield require


def locks_for(table: str, window: Interval | None) -> list[Lock]:
    """The locks of a build that writes a table, or only a window of it.

    A window has one for each of its days, of which there are few: days far from each other share
    one, and so many that they need all of them are the table.
    """
    name = ".".join(["main", *table.lower().split(".")][-2:])
    first = window.start.date().toordinal() if window else 0
    days = window.last.date().toordinal() - first + 1 if window else _DAY_LOCKS
    if days >= _DAY_LOCKS:
        return [Lock(name)]
    return [
        Lock(name, shared=True),
        *(Lock(f"{name} {day}") for day in sorted((first + n) % _DAY_LOCKS for n in range(days))),
    ]


@dataclass
class LakeWriteLock(WriteLock):
    """The time in which no other run writes the same rows, as `require` makes sure. `message` and
    `about` are for the snapshot."""

    message: str
    about: Mapping[str, str]
    require: Callable[[], None] = lambda: None
    _tries: int = 0

    def before_commit(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.require()
        say(connection, self.message, self.about)

    def tries_again(self, error: BaseException) -> bool:
        """Whether to publish again after `error`: after a conflict with another writer, following
        a pause. Raises WarehouseError after the last try."""
        if not is_conflict(error):
            return False
        self._tries += 1
        if self._tries == _MOST_TRIES:
            raise WarehouseError(
                f"{self.message}: others wrote to the DuckLake at the same time, {_MOST_TRIES} "
                "times in a row; try it again"
            ) from error
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._tries)
        time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - not to meet again, no secret
        return True


def is_conflict(error: BaseException | None) -> bool:
    """Whether another transaction was there first."""
    while error is not None:
        if isinstance(error, duckdb.TransactionException) and "onflict" in str(error):
            return True
        error = error.__cause__
    return False
