"""Why DuckDB refuses a statement, in one line, and what would have to be known to be sure of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import duckdb

from ecommerce_dagster.sql.statements import ScriptError

# What the refusal is about: a text that is not SQL; SQL of another kind than is needed; a table, a
# function or a type that does not exist; a column that does not; types and everything else; or
# something that says nothing about the text.
Kind = Literal["syntax", "shape", "object", "column", "type", "unknown"]

_LINE = re.compile(r"\n+LINE (\d+):")
_PICTURE = re.compile(r"\n+LINE \d+: (.*)\n( *)\^")
_NAME = re.compile(r"[\w.\"]+")
_PREFIX = re.compile(r"^(?:[A-Z]\w*(?: [A-Z]\w*)* Error: )")
_COLUMN = re.compile(
    r"Referenced column|Referenced table|Referenced update column|does not have a column|"
    r"in (EXCLUDE|REPLACE|RENAME) list not found|on (left|right) side of join|"
    r"referenced in UNPIVOT|No matching columns|resulted in an empty set of columns"
)
# These depend on what is installed, attached or there already, not on the text.
_STATE = re.compile(
    r"it exists in the|already exists|Existing object|Catalog \"[^\"]*\" does not exist|"
    r"Pragma Function|Sequence with name|configuration parameter|Secret|match_bm25|"
    r"disabled by configuration"
)
_TYPE_ERRORS = (
    duckdb.BinderException,
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.InvalidTypeException,
    duckdb.TypeMismatchException,
    duckdb.OutOfRangeException,
)
_MOST_CANDIDATES = 3
_LONGEST = 400


@dataclass(frozen=True)
class BindError:
    """A refusal. `line` counts from 1 within the text; None when it is not known."""

    kind: Kind
    message: str
    line: int | None = None

    @property
    def misses_table(self) -> bool:
        """Whether a table does not exist."""
        return self.kind == "object" and self.message.startswith("Table with name")


def bind_error_of(error: Exception) -> BindError:
    """What an error of DuckDB, or of the running of a script, says."""
    text = str(error).strip()
    found = _LINE.search(text)
    line = int(found.group(1)) if found else None
    if isinstance(error, ScriptError):
        line, cause = error.line, error.__cause__
        kind = _kind(cause, text) if isinstance(cause, Exception) else "shape"
    else:
        kind = _kind(error, text)
    return BindError(kind, _sentence(text), line)


def _kind(error: Exception, text: str) -> Kind:
    if isinstance(error, duckdb.ParserException | duckdb.SyntaxException):
        return "syntax"
    if _STATE.search(text):
        return "unknown"
    if isinstance(error, duckdb.CatalogException):
        return "object"
    if not isinstance(error, _TYPE_ERRORS):
        return "unknown"
    return "column" if _COLUMN.search(text) else "type"


def _sentence(text: str) -> str:
    """DuckDB's message without its own picture of the text, its candidates in the same line."""
    lines = _PREFIX.sub("", _LINE.split(text)[0]).splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    heading = next((n for n, line in enumerate(lines) if line == "Candidate functions:"), None)
    if heading is not None:
        candidates = lines[heading + 1 :]
        more = ", ..." if len(candidates) > _MOST_CANDIDATES else ""
        lines[heading:] = [f"{lines[heading]} {', '.join(candidates[:_MOST_CANDIDATES])}{more}"]
    sentence = " ".join(lines).replace("bindings: : ", "bindings: ")
    if sentence.startswith("Referenced table"):
        # DuckDB says so too when a table inside a subquery lacks the column.
        sentence += _shown(text)
    return sentence if len(sentence) <= _LONGEST else f"{sentence[:_LONGEST]} ..."


def _shown(text: str) -> str:
    """What DuckDB's picture points at: a name."""
    found = _PICTURE.search(text)
    if found is None:
        return ""
    start = found.start(1) - text.rfind("\n", 0, found.start(1)) - 1
    name = _NAME.match(found[1], len(found[2]) - start) if len(found[2]) >= start else None
    return f" (at {name[0]})" if name else ""
