"""Running SQL that people wrote for PostgreSQL, and the line that an error is about."""

from __future__ import annotations

import psycopg

from ecommerce_dagster.sql.statements import ScriptError, Statement, only_query, runnable
from ecommerce_dagster.warehouses.postgres import session
from ecommerce_dagster.warehouses.postgres.name_lengths import CutNameError
from ecommerce_dagster.warehouses.postgres.session import Session, error_message

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
        line = _line(position, beginning, statement) if position >= 0 else None
        raise ScriptError(error_message(error), line) from error
    except CutNameError as error:
        offset = error.cut.offset
        line = _line(offset, beginning, statement) if offset is not None else None
        raise ScriptError(str(error), line) from error
    return text


def _line(offset: int, beginning: str, statement: Statement) -> int:
    """The line of a character of what was run in the text that the statement is from."""
    before = (beginning + statement.text)[len(beginning) : offset]
    return statement.skipped + before.count("\n") + 1
