"""Sessions of PostgreSQL for questions before a run: each database is asked for once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

from ecommerce_dagster.bruin.model.connections import Connection, UnusableConnection
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection

if TYPE_CHECKING:
    import psycopg

# Longer than a server needs, and short enough to wait for at each save of a file.
_SECONDS = 2

Database = tuple["psycopg.Connection[tuple[object, ...]]", PostgresConnection]
# The database of a connection, by its name.
Ask = Callable[[str], Database | None]


class Databases:
    """The databases behind connections, as a context. `note` gets once for each database why it
    does not answer."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._sessions: dict[PostgresConnection | str, Database | None] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def session(
        self, connections: Mapping[str, Connection], variables: Mapping[str, str], name: str
    ) -> Database | None:
        """The database of a connection; None when it is no PostgreSQL, or does not answer.
        `variables` are what `${VAR}` in .bruin.yml refers to."""
        known = connections.get(name)
        if known is None or known.platform != "postgres":
            return None
        try:
            connection = known.postgres(variables)
        except UnusableConnection as error:
            self._miss(name, str(error))
            return None
        if connection not in self._sessions:
            self._start(connection)
        return self._sessions[connection]

    def _start(self, connection: PostgresConnection) -> None:
        # Only where there is something to ask: the driver takes 60 ms of the 400 of a validation.
        import psycopg

        from ecommerce_dagster.warehouses.postgres.connect import SourceError, session

        self._open.enter_context(suppress(SourceError, psycopg.Error))
        try:
            opened = self._open.enter_context(session(connection, _SECONDS))
            self._sessions[connection] = opened, connection
        except SourceError as error:
            self._miss(connection, str(error))

    def _miss(self, key: PostgresConnection | str, why: str) -> None:
        if key not in self._sessions:
            self._note(f"{why}; what is in it is taken from the files")
        self._sessions[key] = None
