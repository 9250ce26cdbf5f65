"""Dagster's events in SQLite, in its own files and tables, stored in fewer steps.

Dagster makes an engine and a connection for each event, looks up for each whether tables and
columns exist, and stores the events of a batch (what a run plans, the partitions that it fills) one
by one, in up to three transactions each. Here the file of all runs stays open, what was found is
not looked up again, and a batch is one transaction, which writes an asset's own row once. The file
of a new run is a copy of an empty one: Dagster reads all its migrations before it makes the tables.

A Dagster that this was not tried with (`_compat`) stores its events itself.

The file of a run is closed after each event: only then SQLite changes the file itself, by which the
UI notices that there is something new.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster
from dagster import DagsterInstance, EventLogEntry
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool, QueuePool

from ecommerce_dagster._compat import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
    is_tried,
)
from ecommerce_dagster.local import EVENTS

# Seconds in which another process may be done with writing, as in Dagster's own storage.
_PATIENCE = 30
_ENGINES = 16  # a server that shows old runs, one after the other, need not remember all of them


class EventLog(SqliteEventLogStorage):
    """Named in dagster.yaml, with the folder of the events as its `base_dir`."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._open: dict[str, Connection] = {}
        self._until_the_end: ExitStack | None = None
        self._found: set[str] = set()
        self._latest: dict[tuple[str, str], tuple[EventLogEntry, int]] | None = None
        super().__init__(base_dir, inst_data)
        # Dagster's lock, but a transaction holds it, and so does what is written in it.
        self._db_lock: Any = threading.RLock()

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Any:
        """Dagster's own storage, when that may be another one than this is made for."""
        kind = cls if is_tried() else SqliteEventLogStorage
        return kind(inst_data=inst_data, **config_value)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Keep the events in the instance's own folder: dagster.yaml names a folder absolutely, and
        that of another one after its state was copied or moved."""
        named, own = Path(self._base_dir), Path(instance.root_directory)
        if named.parts[-2:] == EVENTS.parts and named.parents[1] != own:
            self.dispose()
            SqliteEventLogStorage.__init__(self, str(own / EVENTS), self.inst_data)
            self._db_lock = threading.RLock()
        super().register_instance(instance)

    def store_event(self, event: EventLogEntry) -> None:
        with self._one_transaction():
            super().store_event(event)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        with self._one_transaction():
            self._latest = {}
            try:
                for event in events:
                    super().store_event(event)
                latest = list(self._latest.values())
            finally:
                self._latest = None
            with self.index_connection() as connection:
                for event, event_id in latest:
                    self._store_asset_event(connection, event, event_id)

    def _store_asset_event(self, conn: Connection, event: EventLogEntry, event_id: int) -> None:
        """The asset's own row says what happened last: in a batch, only that is written."""
        happened = event.dagster_event
        if self._latest is None or happened is None or happened.asset_key is None:
            super()._store_asset_event(conn, event, event_id)
            return
        key = (happened.asset_key.to_string(), happened.event_type_value)
        self._latest[key] = (event, event_id)

    def has_table(self, table_name: str) -> bool:
        return self._finds(table_name, lambda: super(EventLog, self).has_table(table_name))

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        look = super()._has_asset_key_col_on_connection
        return self._finds(f"asset_keys.{column_name}", lambda: look(conn, column_name))

    def _finds(self, name: str, look: Callable[[], bool]) -> bool:
        """What was there stays there; what was not may come with a migration."""
        if name not in self._found and look():
            self._found.add(name)
        return name in self._found

    def dispose(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()
        super().dispose()

    @contextmanager
    def _one_transaction(self) -> Iterator[None]:
        """What is written in the block is one transaction for each file."""
        with self._db_lock, ExitStack() as stack:
            self._until_the_end = stack
            stack.callback(self._end)
            yield

    def _end(self) -> None:
        self._open.clear()
        self._until_the_end = None

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._make_tables(shard, engine)
                self._initialized_dbs.add(shard)
            if self._until_the_end is None:
                with engine.begin() as connection:
                    yield connection
                return
            if shard not in self._open:
                self._open[shard] = self._until_the_end.enter_context(engine.begin())
            yield self._open[shard]

    def _make_tables(self, shard: str, engine: Engine) -> None:
        """Make the tables in a file that has none. Dagster's own way, which is left to do it where
        a copy cannot be made, takes 0.1 s for each file, also for one that has them."""
        file = Path(self.path_for_shard(shard))
        if shard != INDEX_SHARD_NAME and not file.exists():
            # Another process may do the same, or the disk does not know links.
            with suppress(OSError):
                copy_at_once(self._empty(), file)
        if not _has_tables(engine):
            self._initdb(engine)

    def _empty(self) -> Path:
        """The file of a run without events, made once for each version of Dagster."""
        empty = Path(self._base_dir, f".empty-{dagster.__version__}")
        if not empty.exists():
            with tempfile.TemporaryDirectory(dir=self._base_dir) as folder:
                own = Path(folder, "run")
                engine = create_engine(f"sqlite:///{own}", poolclass=NullPool)
                self._initdb(engine)
                engine.dispose()
                own.replace(empty)
        return empty

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            runs = [name for name in self._engines if name != INDEX_SHARD_NAME]
            if len(runs) >= _ENGINES:
                del self._engines[runs[0]]
            self._engines[shard] = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=QueuePool if shard == INDEX_SHARD_NAME else NullPool,
                connect_args={"timeout": _PATIENCE},
            )
        return self._engines[shard]


def copy_at_once(source: Path, file: Path) -> None:
    """A copy that other processes see whole or not at all. Raises OSError, also where the file is
    there already."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        own = Path(folder, file.name)
        shutil.copyfile(source, own)
        os.link(own, file)


def _has_tables(engine: Engine) -> bool:
    """Whether Dagster has made its tables: the last thing that it does is to note their version."""
    with engine.connect() as connection:
        if not engine.dialect.has_table(connection, "alembic_version"):
            return False
        return connection.execute(text("SELECT 1 FROM alembic_version")).first() is not None
