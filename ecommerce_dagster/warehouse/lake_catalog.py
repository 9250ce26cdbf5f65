"""The PostgreSQL in which a DuckLake has its catalogue, for what DuckLake leaves to others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.warehouse.database import WarehouseError
from ecommerce_dagster.warehouse.identifiers import quoted

CONNECT_SECONDS = 10


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
        with self.session() as session:
            if not self._exists(session):
                if not create:
                    raise WarehouseError(
                        f"the DuckLake at {self.database.address} does not exist yet; "
                        "run the pipeline first"
                    )
                # Until the session ends.
                session.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [self._name])
            yield

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        """A session of the database. Raises WarehouseError."""
        try:
            with psycopg.connect(
                **self.database.parameters, connect_timeout=CONNECT_SECONDS, autocommit=True
            ) as session:
                yield session
        except psycopg.OperationalError as error:
            reason = " ".join(str(error.diag.message_primary or error).split())
            raise WarehouseError(
                f"the catalogue of the DuckLake at {self.database.address} cannot be reached: "
                f"{reason}"
            ) from None

    @property
    def _name(self) -> str:
        return f"ducklake {self.schema}"

    def _exists(self, session: psycopg.Connection[tuple[object, ...]]) -> bool:
        table = f"{quoted(self.schema)}.ducklake_metadata"
        row = session.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
        return bool(row and row[0])
