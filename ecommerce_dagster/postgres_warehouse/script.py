"""Running SQL that people wrote for PostgreSQL, and the line that an error is about."""

from __future__ import annotations

import psycopg

from ecommerce_dagster.postgres_warehouse import session
from ecommerce_dagster.postgres_warehouse.session import Session, said
from ecommerce_dagster.warehouse.script import ScriptError
from ecommerce_dagster.warehouse.statements import Statement, only_query, runnable

DIALECT = "postgres"


def run(connection: Session, script: str) -> list[str]:
    """Run the statements of a script that are runnable and return them. Raises ScriptError."""
    return [_run(connection, "", statement) for statement in runnable(script, DIALECT)]


def create(connection: Session, beginning: str, query: str) -> str:
    """Run `beginning` (CREATE ... AS) with one query, and return that. Raises ScriptError."""
    return _run(connection, f"{beginning}\n", only_query(query, DIALECT))


def _run(connection: Session, beginning: str, statement: Statement) -> str:
    text = beginning + statement.text
    try:
        session.run(connection, text)
    except psycopg.OperationalError:
        # It is not about the SQL.
        raise
    except psycopg.Error as error:
        position = int(error.diag.statement_position or 0) - 1
        before = text[len(beginning) : max(position, 0)]
        line = statement.skipped + before.count("\n") + 1 if position >= 0 else None
        raise ScriptError(said(error), line) from error
    return text
