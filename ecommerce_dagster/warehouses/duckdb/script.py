"""SQL that people wrote: running it, reading from it, and the line that an error is about.

Statements run one by one, as DuckDB's own parser cuts them, so that nothing which follows a query
(a `;`, a `--` comment) can become part of the statement around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import duckdb

from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.statements import DUCKDB_END, ScriptError, beginning
from ecommerce_dagster.warehouses.query import text_of

_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)
# DuckDB names all functions that a call might mean, dozens for a +.
_CANDIDATES = re.compile(r"((?:\n\t[^\n]*){4})(?:\n\t[^\n]*)+")
_BEFORE = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_LEFT_OUT = {duckdb.StatementType.TRANSACTION, duckdb.StatementType.DETACH}
_DEFINITIONS = {duckdb.StatementType.CREATE, duckdb.StatementType.ALTER}
Guard = Callable[[str], AbstractContextManager[None]]


def run(
    connection: duckdb.DuckDBPyConnection,
    script: str,
    *,
    outside: bool = False,
    guarded: Guard = lambda statement: nullcontext(),
) -> list[str]:
    """Run the statements of a script and return them. Raises ScriptError.

    BEGIN and COMMIT are left out, ROLLBACK is refused: the caller decides about the transaction.
    DETACH is left out too: DuckDB does not detach what a transaction has read, and the database
    goes with the connection. Unless the script is said to run outside of a transaction. `guarded`
    is what is around a statement that creates or alters something; it may raise ScriptError.
    """
    done, skipped = [], 0
    found = _statements(connection, script)
    pivots = _has_pivot(found)
    for statement in found:
        text = text_of(statement)
        is_left_out = statement.type in _LEFT_OUT and not outside
        try:
            ends = None if outside else DUCKDB_END.match(beginning(text))
            if ends:
                word = ends.group()
                raise duckdb.TransactionException(f"{word} in a transaction that is not its own")
            if not is_left_out:
                defines = statement.type in _DEFINITIONS
                with guarded(text) if defines else nullcontext():
                    connection.execute(statement if pivots else text)
                done.append(text.strip())
        except duckdb.Error as error:
            raise _located(error, skipped) from error
        except ScriptError as error:
            before = _BEFORE.match(text)
            line = skipped + 1 + (before[0].count("\n") if before else 0)
            raise ScriptError(str(error), line) from error
        skipped += text.count("\n")
    return [script.strip()] if pivots else done


def outgrows_transaction(error: BaseException) -> bool:
    """Whether a build failed because DuckDB does not do all of it in one transaction: write to two
    databases, CHECKPOINT, index or alter what was just updated, ROLLBACK
    to a BEGIN of its own."""
    if isinstance(error, duckdb.TransactionException):
        # From a COMMIT. It also fails when a disk is full.
        return "has altered" in str(error)
    cause = error.__cause__
    while cause is not None and not isinstance(cause, duckdb.TransactionException):
        cause = cause.__cause__
    return cause is not None


def stage(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> str:
    """Give a query a name to read it by, and return that name as SQL. Raises ScriptError."""
    return stage_with_statement(connection, name, query)[0]


def stage_with_statement(
    connection: duckdb.DuckDBPyConnection, name: str, query: str
) -> tuple[str, str]:
    """Give a query a name to read it by, and return that name as SQL and the statement that gave
    it. Raises ScriptError.

    It becomes a view, so that its rows are not stored; except for a PIVOT whose columns depend on
    the data, which DuckDB cannot keep as a view.
    """
    found = _statements(connection, query)
    name, kind = (f"{name}_stored", "TABLE") if _has_pivot(found) else (name, "VIEW")
    beginning = f"CREATE OR REPLACE TEMP {kind} {quoted(name)} AS"
    statement = _created(connection, beginning, query, found)
    return f"temp.{quoted(name)}", statement


def create(connection: duckdb.DuckDBPyConnection, beginning: str, query: str) -> str:
    """Run `beginning` (CREATE ... AS) with one query, and return that. Raises ScriptError."""
    return _created(connection, beginning, query, _statements(connection, query))


def _created(
    connection: duckdb.DuckDBPyConnection,
    beginning: str,
    query: str,
    found: list[duckdb.Statement],
) -> str:
    _require_one_query(found)
    statement = f"{beginning}\n{query}"
    try:
        connection.execute(statement)
    except duckdb.Error as error:
        raise _located(error, skipped=-1) from error
    return statement


def _statements(connection: duckdb.DuckDBPyConnection, script: str) -> list[duckdb.Statement]:
    try:
        return connection.extract_statements(script)
    except duckdb.Error as error:
        raise _located(error, skipped=0) from error


def _has_pivot(statements: list[duckdb.Statement]) -> bool:
    """Whether there is a PIVOT whose columns depend on the data. DuckDB cuts one into several
    statements, some of which have no text and the others a wrong one."""
    return any(not text_of(statement) for statement in statements)


def _require_one_query(found: list[duckdb.Statement]) -> None:
    queries = [statement for statement in found if statement.type == duckdb.StatementType.SELECT]
    others = [statement for statement in found if text_of(statement) and statement not in queries]
    if not found:
        raise ScriptError("there is no query; write a SELECT")
    if others and len(found) == 1:
        raise ScriptError(f"a query is needed here, not {others[0].type.name}")
    if others or len(queries) > 1:
        raise ScriptError(f"one query is needed here, not {len(queries) + len(others)} statements")


def _located(error: duckdb.Error, skipped: int) -> ScriptError:
    message = _CANDIDATES.sub(r"\1\n\t...", str(error))
    found = _LINE.search(message)
    return ScriptError(message, int(found.group(1)) + skipped if found else None)
