"""What a query returns in PostgreSQL, for somebody who only looks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from itertools import islice
from typing import Any, cast

import psycopg

from ecommerce_dagster.postgres_warehouse.opinion import Refusal, columns_or_refusal
from ecommerce_dagster.postgres_warehouse.session import Session
from ecommerce_dagster.warehouse.query import Answer, QueryError


def answer_of(session: Session, sql: str, limit: int | None) -> Answer:
    """What a query returns in a session that only reads, at most `limit` rows. Raises QueryError.

    One statement, so that none can end the transaction which keeps it from writing; no more rows
    than are needed leave the server.
    """
    try:
        columns = columns_or_refusal(session, sql)
        if isinstance(columns, Refusal):
            several = columns.is_syntax and "multiple commands" in columns.message
            raise QueryError("one statement is needed here" if several else columns.message)
        if not columns:
            raise QueryError("the statement returns no rows; this command is read-only")
        # To close the stream is to cancel the statement.
        stream = cast(Generator[tuple[Any, ...]], session.cursor().stream(sql.encode()))
        with closing(stream) as rows:
            return [name for name, _ in columns], list(islice(rows, limit))
    except psycopg.Error as error:
        raise QueryError(error.diag.message_primary or str(error)) from None
