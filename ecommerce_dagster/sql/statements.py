"""Statements of scripts that people wrote: cut from each other, and what they begin with.

They run one by one, so that nothing which follows a query (a `;`, a `--` comment) can become part
of the statement around it, and so that none can end the transaction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby

from ecommerce_dagster.errors import UnlocatedError

# What ends DuckDB's transaction, besides COMMIT. It does what it explains, and says nothing of it.
DUCKDB_END = re.compile(
    r"ROLLBACK\b|ABORT\b"
    r"|EXPLAIN (\(.*?\) ?|ANALYZE |VERBOSE )*(BEGIN|START|COMMIT|END|ROLLBACK|ABORT)\b"
)
# SAVEPOINT, RELEASE and ROLLBACK TO stay inside the transaction.
FOREIGN_END = re.compile(
    r"((COMMIT|ROLLBACK) PREPARED|PREPARE TRANSACTION|ABORT"
    r"|ROLLBACK(?!( WORK| TRANSACTION)? TO\b))\b"
)
_COMMENT = re.compile(r"--[^\n\r]*|/\*.*?\*/", re.DOTALL)
_LONGEST_BEGINNING = 1000  # characters
_LEFT_OUT = re.compile(r"(BEGIN|START TRANSACTION|COMMIT|END)\b")
_QUERY = re.compile(r"(SELECT|WITH|VALUES|TABLE)\b|\(", re.IGNORECASE)


class ScriptError(UnlocatedError):
    """A script that cannot run. `line` counts from 1 within it; None when it is not known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message.strip())
        self.line = line


def beginning(statement: str) -> str:
    """The first words of a statement in capitals, with one blank between them and no comments."""
    return " ".join(_COMMENT.sub(" ", statement[:_LONGEST_BEGINNING]).upper().split())


@dataclass(frozen=True)
class Statement:
    """A statement of a script, without the `;` at its end, and the lines before it."""

    text: str
    skipped: int

    @property
    def beginning(self) -> str:
        return beginning(self.text)


def statements(script: str, dialect: str) -> list[Statement]:
    """The statements of a script; `dialect` is sqlglot's name of it. Raises ScriptError."""
    from sqlglot import Dialect, TokenType
    from sqlglot.errors import TokenError

    try:
        tokens = Dialect.get_or_raise(dialect).tokenize(script)
    except TokenError as error:
        raise ScriptError("a quoted text or a comment has no end") from error
    found: list[Statement] = []
    for is_end, group in groupby(tokens, lambda token: token.token_type == TokenType.SEMICOLON):
        if not is_end:
            first, *_, last = [*group] * 2
            text = script[first.start : last.end + 1]
            found.append(Statement(text, script.count("\n", 0, first.start)))
    return found


def runnable(script: str, dialect: str) -> list[Statement]:
    """The statements of a script without BEGIN and COMMIT: the caller decides about the
    transaction. Raises ScriptError, for ROLLBACK too: what it undoes is not the script's alone."""
    found = statements(script, dialect)
    for statement in found:
        if ends := FOREIGN_END.match(statement.beginning):
            raise ScriptError(
                f"{ends.group()} would end the transaction in which the table is built and checked;"
                " leave it out, or go back to a SAVEPOINT of the script's own",
                statement.skipped + 1,
            )
    return [each for each in found if not _LEFT_OUT.match(each.beginning)]


def only_query(script: str, dialect: str) -> Statement:
    """The one query that a script consists of. Raises ScriptError."""
    found = statements(script, dialect)
    if not found:
        raise ScriptError("there is no query; write a SELECT")
    if len(found) > 1:
        raise ScriptError(f"one query is needed here, not {len(found)} statements")
    (query,) = found
    if not _QUERY.match(query.text):
        word = query.text.split()[0].upper()
        raise ScriptError(f"a query is needed here, not {word}", query.skipped + 1)
    return query
