"""The rows of a query in PostgreSQL that may change nothing."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import closing
from itertools import islice
from typing import Any, cast

import psycopg

from ecommerce_dagster.sql.statements import beginning
from ecommerce_dagster.warehouses.postgres.bind_errors import BindError, columns_or_error
from ecommerce_dagster.warehouses.postgres.name_lengths import CutNameError, uncut
from ecommerce_dagster.warehouses.postgres.session import Session, ask
from ecommerce_dagster.warehouses.query import Answer, QueryError, explained

_READS = re.compile(r"(SELECT|WITH|VALUES|TABLE|\()")
_SHOWS = re.compile(r"SHOW\b")
# PostgreSQL's own functions, and those of its usual extensions, whose effects no rollback undoes.
_LASTING = re.compile(
    r"\b(pg_(cancel|terminate)_backend|pg_(reload_conf|promote|switch_wal|prewarm)|pg_rotate_\w+"
    r"|pg_(create|copy|drop|sync)_\w+|pg_replication_\w+|pg_logical_(emit|slot)_\w+|pg_notify"
    r"|pg_(backup|start_backup|stop_backup|wal_replay)\w*|pg_stat_(?!get)\w*(reset|clear)\w*"
    r"|pg_file_\w+|pg_log_\w+|pg_import_\w+|lo_(?!get)\w+|lowrite|dblink\w*|nextval|setval"
    r"|gin_clean_\w+|brin_(de)?summarize\w*|cron\.\w+|postgres_fdw_disconnect\w*)\b\"?\s*\(",
    re.IGNORECASE,
)


def answer_of(session: Session, sql: str, limit: int | None) -> Answer:
    """What a query returns in a session that only reads, at most `limit` rows. Raises QueryError.

    One statement, so that none can end the transaction which keeps it from writing, and which is
    rolled back; no more rows than are needed leave the server.
    """
    try:
        with uncut(session, sql):
            columns = columns_or_error(session, sql)
        if isinstance(columns, BindError):
            several = columns.is_syntax and "multiple commands" in columns.message
            raise QueryError("one statement is needed here" if several else columns.message)
        if not columns:
            raise QueryError("the statement returns no rows; this command is read-only")
        _require_reading(session, sql)
        # To close the stream is to cancel the statement.
        stream = cast(Generator[tuple[Any, ...]], session.cursor().stream(sql.encode()))
        with closing(stream) as rows:
            return [name for name, _ in columns], list(islice(rows, limit))
    except CutNameError as error:
        raise QueryError(str(error)) from None
    except psycopg.Error as error:
        raise QueryError(error.diag.message_primary or str(error)) from None
    finally:
        # A transaction that only reads still makes large objects and sends notifications.
        session.rollback()


def _require_reading(session: Session, sql: str) -> None:
    """Raise QueryError for a statement that calls a function with a lasting effect, in its text or
    in that of a view. What a function of the database calls cannot be seen."""
    query = explained(sql)
    begins = beginning(query)
    if _SHOWS.match(begins):
        return
    if not _READS.match(begins):
        word = begins.split()[0]
        raise QueryError(f"{word} can change something; this command only reads")
    plan = ask(session, f"EXPLAIN (VERBOSE, COSTS OFF) {query}") if query.strip() else []
    for text in (query, *(str(line) for (line,) in plan)):
        if found := _LASTING.search(text):
            name = found.group(1)
            raise QueryError(f"{name} has an effect that lasts; this command only reads")
