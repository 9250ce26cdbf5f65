"""SQL that people wrote for another database than DuckDB, cut into its statements.

They run one by one, so that nothing which follows a query (a `;`, a `--` comment) can become part
of the statement around it, and so that none can end the transaction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby

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
    """The statements of a script without BEGIN, COMMIT and ROLLBACK: whoever calls decides about
    the transaction. Raises ScriptError."""
    return [each for each in statements(script, dialect) if not _TRANSACTION.match(each.text)]


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
