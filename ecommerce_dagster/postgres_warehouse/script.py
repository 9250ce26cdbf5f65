"""SQL that people wrote for PostgreSQL: running it, and the line that an error is about.

Statements run one by one, so that nothing which follows a query (a `;`, a `--` comment) can become
part of the statement around it, and so that none can end the transaction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby

import psycopg

from ecommerce_dagster.postgres_warehouse import session
from ecommerce_dagster.postgres_warehouse.session import Session, said
from ecommerce_dagster.warehouse.script import ScriptError

# SAVEPOINT, RELEASE and ROLLBACK TO stay inside the transaction.
_TRANSACTION = re.compile(
    r"(BEGIN|START|COMMIT|END|ABORT|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!(\s+(WORK|TRANSACTION))?\s+TO\b))\b",
    re.IGNORECASE,
)
_QUERY = re.compile(r"(SELECT|WITH|VALUES|TABLE)\b|\(", re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    """A statement of a script, without the `;` at its end, and the lines before it."""

    text: str
    skipped: int


def statements(script: str) -> list[Statement]:
    """The statements of a script. Raises ScriptError."""
    from sqlglot import TokenType
    from sqlglot.dialects import Postgres
    from sqlglot.errors import TokenError

    try:
        tokens = Postgres().tokenize(script)
    except TokenError as error:
        raise ScriptError("a quoted text or a comment has no end") from error
    found: list[Statement] = []
    for is_end, group in groupby(tokens, lambda token: token.token_type == TokenType.SEMICOLON):
        if not is_end:
            first, *_, last = [*group] * 2
            text = script[first.start : last.end + 1]
            found.append(Statement(text, script.count("\n", 0, first.start)))
    return found


def run(connection: Session, script: str) -> list[str]:
    """Run the statements of a script that are runnable and return them. Raises ScriptError."""
    done = _runnable(script)
    for statement in done:
        _run(connection, "", statement)
    return [statement.text for statement in done]


def runnable(script: str) -> list[str]:
    """The statements of a script without BEGIN, COMMIT and ROLLBACK: whoever calls decides about
    the transaction. Raises ScriptError."""
    return [statement.text for statement in _runnable(script)]


def _runnable(script: str) -> list[Statement]:
    return [each for each in statements(script) if not _TRANSACTION.match(each.text)]


def create(connection: Session, beginning: str, query: str) -> str:
    """Run `beginning` (CREATE ... AS) with one query, and return that. Raises ScriptError."""
    return _run(connection, f"{beginning}\n", only_query(query))


def only_query(script: str) -> Statement:
    """The one query that a script consists of. Raises ScriptError."""
    found = statements(script)
    if not found:
        raise ScriptError("there is no query")
    if len(found) > 1:
        raise ScriptError(f"one query is needed here, not {len(found)} statements")
    (query,) = found
    if not _QUERY.match(query.text):
        word = query.text.split()[0].upper()
        raise ScriptError(f"a query is needed here, not {word}", query.skipped + 1)
    return query


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
