"""A PostgreSQL database within reach of DuckDB: attached, asked, and let go. Passwords never show.

DuckDB's postgres extension reads in one read-only transaction for each transaction of DuckDB, in
REPEATABLE READ: whatever is asked in between sees the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import duckdb
import psycopg

from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.errors import BruinError
from ecommerce_dagster.sql.identifiers import literal
from ecommerce_dagster.warehouses.duckdb.extensions import ExtensionError, load_extension
from ecommerce_dagster.warehouses.duckdb.secrets import forget_secret, keep_secret, login_of

ALIAS = "_source"
_SECRET = "_source_secret"  # noqa: S105 - the name of one
_CONNECT_SECONDS = 10
# What the sessions of this process are called in pg_stat_activity: no others are.
_APPLICATION = f"ecommerce_dagster-{uuid4().hex}"
_PATIENCE = 5  # seconds, for the order to cancel
_CANCEL = """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE application_name = %s AND state = 'active' AND pid <> pg_backend_pid()
"""
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %s AND application_name = current_setting('application_name')
"""
# How often PostgreSQL looks, while it works, whether its client still waits: it would go on
# for a process that was killed.
_LOOK = "2s"
_LOOKS_SINCE = 140_000

# Values that travel as text read the same whatever the server, the database or the role prefers.
_SETTINGS = {"TimeZone": "UTC", "DateStyle": "ISO, YMD", "IntervalStyle": "postgres"}

# What matters in a message: PostgreSQL's own words, else the network's, else DuckDB's.
_REASONS = (
    re.compile(r"(?:ERROR|FATAL):  (.+)"),
    re.compile(r"(server closed the connection unexpectedly)"),
    re.compile(r"Unable to connect to Postgres at \"[^\"]*\": (.+)"),
    re.compile(r"^(?:[A-Z][\w ]* Error: )?(.+?)\s*(?:\n\n|\n\t|\Z)", re.DOTALL),
)


class SourceError(BruinError):
    """A source that cannot be read as it is; the text is for the user and holds no password."""


def attach(duck: duckdb.DuckDBPyConnection, connection: PostgresConnection, schema: str) -> None:
    """Make a schema of the database readable as `_source`.

    The password stands in a secret, and that only as long as the attaching takes: in the ATTACH
    itself it would show in duckdb_databases() and in error texts. Without `schema` DuckDB would
    look at every table of the database. Raises SourceError.
    """
    try:
        load_extension(duck, "postgres_scanner")
    except ExtensionError as error:
        raise SourceError(str(error)) from None
    detach(duck)
    options = (
        f"sslmode={connection.ssl_mode} connect_timeout={_CONNECT_SECONDS} client_encoding=UTF8 "
        f"application_name={_APPLICATION}"
    )
    try:
        keep_secret(duck, _SECRET, "postgres", login_of(connection))
        duck.execute(
            f"ATTACH {literal(options)} AS {ALIAS} "
            f"(TYPE postgres, SECRET {_SECRET}, SCHEMA {literal(schema)}, READ_ONLY)"
        )
    except duckdb.Error as error:
        raise unreachable(connection, error) from None
    finally:
        forget_secret(duck, _SECRET)


def detach(duck: duckdb.DuckDBPyConnection) -> None:
    """Let go of what `attach` attached; outside a transaction."""
    duck.execute(f"DETACH DATABASE IF EXISTS {ALIAS}")


def start_snapshot(duck: duckdb.DuckDBPyConnection) -> None:
    """Begin to read in this transaction."""
    changes = [f"set_config('{name}', '{value}', true)" for name, value in _SETTINGS.items()]
    ask(duck, f"SELECT {texts(changes)}")


def rows_of(query: str) -> str:
    """The rows of a query that PostgreSQL runs, as a relation for DuckDB."""
    return f"postgres_query('{ALIAS}', {literal(query)})"


def texts(expressions: Iterable[str]) -> str:
    """An array of texts, in SQL for PostgreSQL."""
    return f"ARRAY[{', '.join(f'({expression})::text' for expression in expressions)}]"


def ask(duck: duckdb.DuckDBPyConnection, query: str) -> list[str | None]:
    """The answers of a query that PostgreSQL runs: one row of one array of `texts`."""
    ((answers,),) = duck.execute(f"SELECT * FROM {rows_of(query)}").fetchall()
    return list(answers)


@contextmanager
def session(
    connection: PostgresConnection, patience: int | None = None
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A session for the catalogue; no answer takes longer than `patience` seconds, if it is given.
    Raises SourceError."""
    try:
        opened = psycopg.connect(
            **connection.parameters,
            connect_timeout=patience or _CONNECT_SECONDS,
            client_encoding="UTF8",
            application_name=_APPLICATION,
        )
    except psycopg.OperationalError as error:
        raise unreachable(connection, error) from None
    try:
        with opened as found:
            _notice_when_gone(found)
            found.read_only = True
            if patience is not None:
                found.execute(f"SET SESSION statement_timeout = {patience * 1000}".encode())
                found.commit()
            yield found
    except psycopg.OperationalError as error:
        raise SourceError(f"PostgreSQL at {connection.address}: {reason(error)}") from error


def _notice_when_gone(opened: psycopg.Connection[tuple[object, ...]]) -> None:
    """Let PostgreSQL end what it does for this process when that is gone."""
    if opened.info.server_version >= _LOOKS_SINCE:
        # Some systems cannot tell.
        with suppress(psycopg.NotSupportedError, psycopg.DataError), opened.transaction():
            opened.execute(
                "SELECT set_config('client_connection_check_interval', %s, false)", [_LOOK]
            )


def cancel(connection: PostgresConnection) -> None:
    """End what PostgreSQL is doing for this process: DuckDB, while it waits for an answer, hears no
    interrupt. A server that does not answer is left alone."""
    with suppress(SourceError), session(connection, _PATIENCE) as other:
        other.execute(_CANCEL, [_APPLICATION])


def end(connection: PostgresConnection, process: int) -> None:
    """End a session of this process, by the number that PostgreSQL gave it, if it is there."""
    with suppress(SourceError), session(connection, _PATIENCE) as other:
        other.execute(_END, [process])


def reason(error: Exception) -> str:
    """What went wrong, without the statement that a driver puts around it."""
    told = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    text = (told or str(error)).strip()
    found = next(filter(None, (pattern.search(text) for pattern in _REASONS)), None)
    return found.group(1).strip() if found else type(error).__name__


def unreachable(connection: PostgresConnection, error: Exception) -> SourceError:
    return SourceError(f"PostgreSQL at {connection.address} cannot be reached: {reason(error)}")
