"""The PostgreSQL in which a DuckLake has its catalogue, for what DuckLake leaves to others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.warehouses.duckdb.database import MissingWarehouse, WarehouseError

if TYPE_CHECKING:
    from psycopg import Connection

    _Session = Connection[tuple[object, ...]]

CONNECT_SECONDS = 10


@dataclass(frozen=True)
class Lock:
    """A lock by its name; `shared` with all who ask for it so."""

    name: str
    shared: bool = False


@dataclass(frozen=True)
class PostgresCatalog:
    """The catalogue in a schema of a database."""

    database: PostgresConnection
    schema: str

    @contextmanager
    def ready(self, *, create: bool) -> Iterator[None]:
        """The time in which a session may attach the lake. Raises WarehouseError.

        The first one makes the catalogue, which two at once cannot. Without `create` there must be
        one.
        """
        with self._session() as session:
            if not self._exists(session):
                if not create:
                    raise MissingWarehouse(f"the DuckLake at {self.database.address}")
                self._take(session, Lock("first"))
            yield

    @contextmanager
    def holding(
        self, locks: Sequence[Lock], on_wait: Callable[[], None]
    ) -> Iterator[Callable[[], None]]:
        """The time in which this process has the locks, which all must ask for in one order.

        `on_wait` is called when that takes long. What it yields raises WarehouseError when the
        locks were lost with the session, in which they are.
        """
        with self._session() as session:
            for lock in locks:
                if not self._take(session, lock, wait=False):
                    on_wait()
                    self._take(session, lock)

            def require() -> None:
                with self._reaching():
                    session.execute("SELECT 1")

            yield require

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        import psycopg

        with self._reaching():
            session = psycopg.connect(
                **self.database.parameters, connect_timeout=CONNECT_SECONDS, autocommit=True
            )
        with session:
            yield session

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        # Takes 60 ms, which the name of an extension does not need.
        import psycopg

        try:
            yield
        except psycopg.OperationalError as error:
            reason = " ".join(str(error.diag.message_primary or error).split())
            raise WarehouseError(
                f"the catalogue of the DuckLake at {self.database.address} cannot be reached: "
                f"{reason}"
            ) from None

    def _exists(self, session: _Session) -> bool:
        table = f"{quoted(self.schema)}.ducklake_metadata"
        row = session.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
        return bool(row and row[0])

    def _take(self, session: _Session, lock: Lock, *, wait: bool = True) -> bool:
        """Take a lock until the session ends; without `wait`, whether that was possible."""
        function = f"pg_{'' if wait else 'try_'}advisory_lock{'_shared' if lock.shared else ''}"
        name = f"ducklake {self.schema} {lock.name}"
        query = f"SELECT {function}(hashtextextended(%s, 0))"
        with self._reaching():
            row = session.execute(query.encode(), [name]).fetchone()
        return wait or bool(row and row[0])
