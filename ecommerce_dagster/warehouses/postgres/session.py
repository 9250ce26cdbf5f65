"""A session of PostgreSQL that builds or checks one asset: in UTC, within its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg

from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.warehouses.postgres.connect import SourceError, end
from ecommerce_dagster.warehouses.postgres.connect import session as connected
from ecommerce_dagster.warehouses.postgres.name_lengths import uncut
from ecommerce_dagster.warehouses.time_limit import time_limit

Session = psycopg.Connection[tuple[Any, ...]]

# Texts mean the same whatever the server, the database or the role prefers.
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "standard_conforming_strings": "on",
}
# A waiting ACCESS EXCLUSIVE lock blocks readers, so give up early.
_LOCK_TIMEOUT = "60s"
# Seconds in which a server notices that the session of a transaction was lost.
_NOTICED_IN = 30.0


@contextmanager
def opened(
    connection: PostgresConnection,
    *,
    read_only: bool = False,
    timeout: float | None = None,
    cancel: Callable[[], None] = lambda: None,
    patience: int | None = None,
) -> Iterator[Session]:
    """A session inside a transaction, which the caller commits; it ends without a trace otherwise.

    All may take `timeout` seconds, the connection and each answer `patience`. When the time is
    over, `cancel` ends what is going on elsewhere. Raises SourceError, TimeLimitError.
    """
    with connected(connection, patience) as found:
        opened = cast(Session, found)
        opened.read_only = read_only
        if read_only:
            # All checks see the same rows.
            opened.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for name, value in _SETTINGS.items():
            configure(opened, name, value)

        def interrupt() -> None:
            # To cancel a statement would leave the session the next.
            end(connection, opened.info.backend_pid)
            cancel()

        with time_limit(interrupt, timeout):
            yield opened


def lock_table(session: Session, name: str, on_wait: Callable[[str], None]) -> None:
    """Wait until no other run builds the asset of this name; in this transaction no other will.

    `on_wait` is called once with what is waited for.
    """
    lock = "hashtextextended(lower(%s), 0)"
    ((free,),) = ask(session, f"SELECT pg_try_advisory_xact_lock({lock})", name)
    if not free:
        on_wait(f"waiting for another run to finish with {name}")
        ask(session, f"SELECT pg_advisory_xact_lock({lock})", name)
    configure(session, "lock_timeout", _LOCK_TIMEOUT)


@contextmanager
def briefly_waiting(session: Session) -> Iterator[None]:
    """Inside, no lock is waited for longer than a second. An error of PostgreSQL leaves this to who
    rolls back."""
    configure(session, "lock_timeout", "1s")
    yield
    configure(session, "lock_timeout", _LOCK_TIMEOUT)


def run(session: Session, statement: str) -> int:
    """Run one statement, never more, and return the number of rows that it wrote. Raises
    CutNameError."""
    with uncut(session, statement):
        # Only statements that ask for binary answers are sent in a way that takes no script.
        return max(session.execute(statement.encode(), binary=True).rowcount, 0)


def was_committed(connection: PostgresConnection, transaction: int) -> bool:
    """Whether a transaction was committed whose session was lost while it ended, so that the answer
    may be lost alone. Waits for the server to notice. Raises SourceError."""
    deadline = time.monotonic() + _NOTICED_IN
    with opened(connection, read_only=True) as session:
        while time.monotonic() < deadline:
            try:
                ((status,),) = ask(session, "SELECT txid_status(%s)", transaction)
            except psycopg.DatabaseError as error:
                # Another server may be at the address now, which has no such transaction.
                raise SourceError(error_message(error)) from error
            if status != "in progress":
                return bool(status == "committed")
            time.sleep(0.1)
    raise SourceError(f"PostgreSQL has not ended the transaction for {_NOTICED_IN:.0f} seconds")


def ask(session: Session, query: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows of a query; `values` are for its %s. Raises CutNameError."""
    with uncut(session, query):
        return session.execute(query.encode(), values or None).fetchall()


def error_message(error: psycopg.Error) -> str:
    """What PostgreSQL says, in one line."""
    found = error.diag
    parts = (found.message_primary, found.message_detail, found.message_hint)
    return " ".join("; ".join(part for part in parts if part).split()) or str(error).strip()


def configure(session: Session, name: str, value: str) -> None:
    """Set a setting of the session."""
    session.execute("SELECT set_config(%s, %s, false)", [name, value])
