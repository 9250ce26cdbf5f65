"""Errors of a query that PostgreSQL parses and describes without running it."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

from ecommerce_dagster.warehouses.postgres.session import Session, ask

_SYNTAX = "42601"
_OBJECTS = {"42883", "42704", "3F000"}  # a function or an operator, a type, a schema
_COLUMN = "42703"
_NO_TABLE = "42P01"
_NO_ENTRY = (_NO_TABLE, "errorMissingRTE")  # missing FROM-clause entry
_DENIED = "42501"
_NO_KEY = "42803"  # of a column that a primary key would decide
# Mistakes in a text. What else the server says is about its state, or about its patience.
_CLASSES = ("42", "22", "0A")


@dataclass(frozen=True)
class BindError:
    """Why a statement cannot be. `offset` is that of the character it is about."""

    state: str
    message: str
    offset: int | None
    function: str

    @property
    def is_syntax(self) -> bool:
        return self.state == _SYNTAX

    @property
    def misses_table(self) -> bool:
        return self.state == _NO_TABLE and self.function == "parserOpenTable"

    @property
    def misses_object(self) -> bool:
        """Whether something else than a table or a column may not exist."""
        return self.state in _OBJECTS

    @property
    def needs_key(self) -> bool:
        return self.state == _NO_KEY

    @property
    def is_about_names(self) -> bool:
        """Whether the query names a column, or a table of its own, that it does not have."""
        return self.state == _COLUMN or (self.state, self.function) == _NO_ENTRY

    @property
    def is_about_text(self) -> bool:
        """Whether it is a mistake in the text, and not about what a string in it means."""
        known = self.state != _NO_TABLE or self.misses_table or self.is_about_names
        return known and self.state.startswith(_CLASSES) and self.state != _DENIED


def columns_or_error(session: Session, query: str) -> list[tuple[str, str]] | BindError:
    """The columns of a query's result, name and type; of a statement that has none, nothing."""
    with session.transaction(force_rollback=True):
        answer = session.pgconn.prepare(b"", query.encode())
        if answer.status != ExecStatus.COMMAND_OK:
            return _refusal(answer)
        found = session.pgconn.describe_prepared(b"")
        if found.status != ExecStatus.COMMAND_OK:
            return _refusal(found)
    names = [(found.fname(n) or b"").decode() for n in range(found.nfields)]
    codes = [(found.ftype(n), found.fmod(n)) for n in range(found.nfields)]
    types = ask(
        session,
        "SELECT format_type(oid, modifier) FROM unnest(%s::oid[], %s::int[])"
        " WITH ORDINALITY AS given(oid, modifier, position) ORDER BY position",
        [code for code, _ in codes],
        [modifier for _, modifier in codes],
    )
    return [(name, str(kind)) for name, (kind,) in zip(names, types, strict=True)]


def _refusal(answer: PGresult) -> BindError:
    def field(which: DiagnosticField) -> str:
        return (answer.error_field(which) or b"").decode(errors="replace")

    position = field(DiagnosticField.STATEMENT_POSITION)
    state, message = field(DiagnosticField.SQLSTATE), field(DiagnosticField.MESSAGE_PRIMARY)
    # Of a function it says no more than the message.
    hint = field(DiagnosticField.MESSAGE_HINT) if state not in _OBJECTS else ""
    return BindError(
        state,
        " ".join(f"{message}; {hint}".split()) if hint else message,
        int(position) - 1 if position else None,
        field(DiagnosticField.SOURCE_FUNCTION),
    )
