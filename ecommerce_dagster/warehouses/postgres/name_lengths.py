"""Names that PostgreSQL would cut: it keeps 63 bytes of one, and only a notice says so.

What was cut is not found again under its own name: a table is built once and never again, and two
names that begin alike become one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.platforms import LONGEST_NAME
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sql.load_result import LoadError

if TYPE_CHECKING:
    import psycopg

_WORD = re.compile(r'"((?:[^"]|"")+)"|[^\W\d][\w$]*')


class Cut(NamedTuple):
    """A name that the server cuts. `offset` is that of its first character in the statement, None
    when it does not stand there."""

    name: str
    offset: int | None

    def __str__(self) -> str:
        size = f"{len(self.name.encode())} bytes" if self.offset is not None else "too many bytes"
        return (
            f"the name '{self.name}' has {size}, and PostgreSQL keeps {LONGEST_NAME}; "
            "give it a shorter one"
        )


class CutNameError(LoadError):
    """A statement in which the server cuts a name."""

    def __init__(self, cut: Cut) -> None:
        super().__init__(str(cut))
        self.cut = cut


def lint_lengths(asset: Asset, table: str, log: ProblemLog) -> None:
    """Report names of an asset, whose table is called `table`, that PostgreSQL would cut."""
    *schemas, name = table.split(".")
    for what, part in (*(("schema", schema) for schema in schemas), ("table", name)):
        if _is_cut(part):
            log.error(*asset.at("name"), "valid-database", _complaint(what, part))
    for column in asset.columns:
        if _is_cut(column.name):
            log.error(*column.at("name"), "valid-database", _complaint("column", column.name))


@contextmanager
def cut_names(session: psycopg.Connection[Any], statement: str) -> Iterator[list[Cut]]:
    """The names of a statement that the server cuts while it reads that here.

    Those in functions that were there before are none of the statement's.
    """
    # Only with a server: `lint_lengths` does without the 60 ms.
    from psycopg.errors import NameTooLong

    found: list[Cut] = []

    def note(notice: psycopg.errors.Diagnostic) -> None:
        # It does not outlive this call.
        if notice.sqlstate == NameTooLong.sqlstate:
            found.extend(_named(statement, notice.message_primary or "", notice.context))

    session.add_notice_handler(note)
    try:
        yield found
    finally:
        session.remove_notice_handler(note)


@contextmanager
def uncut(session: psycopg.Connection[Any], statement: str) -> Iterator[None]:
    """Raises CutNameError when the server has cut a name of the statement that runs here."""
    with cut_names(session, statement) as found:
        yield
    if found:
        raise CutNameError(found[0])


def _named(statement: str, message: str, context: str | None) -> Iterator[Cut]:
    """The name in a statement that a notice, in whatever language, is about."""
    for word in _WORD.finditer(statement):
        name = word[1].replace('""', '"') if word[1] else word[0]
        if _is_cut(name) and name.lower() in message.lower():
            yield Cut(name, word.start())
            return
    if context is None:
        quoted = re.search(r'"(.+?)"', message)
        yield Cut(quoted[1] if quoted else message, None)


def _is_cut(name: str) -> bool:
    return len(name.encode()) > LONGEST_NAME


def _complaint(what: str, name: str) -> str:
    return (
        f"the {what} '{name}' has a name of {len(name.encode())} bytes, and PostgreSQL keeps "
        f"{LONGEST_NAME}; give it a shorter one"
    )
