"""What kind of values a column has, as far as a check has to know it, in any database."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ecommerce_dagster.sql.identifiers import Scalar, literal, quoted

Family = Literal["integer", "decimal", "floating", "text", "boolean", "other"]
NUMBERS: frozenset[Family] = frozenset({"integer", "decimal", "floating"})

_DUCKDB: tuple[tuple[str, Family], ...] = (
    (r"U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)", "integer"),
    (r"DECIMAL\(.*\)", "decimal"),
    (r"FLOAT|DOUBLE", "floating"),
    (r"VARCHAR|ENUM\(.*\)", "text"),
    (r"BOOLEAN", "boolean"),
)


def _as_varchar(name: str) -> str:
    return f"CAST({name} AS VARCHAR)"


def _as_number(name: str) -> str:
    """As other databases write it: a DOUBLE 1.0 is 1."""
    return f"regexp_replace(CAST({name} AS VARCHAR), '\\.0$', '')"


def _itself(name: str) -> str:
    return name


@dataclass(frozen=True)
class ColumnKind:
    """The values of a column.

    `type` is what the database calls their type; of the family `other` a check knows nothing.
    `has_nan`: NaN, which is equal to itself and above all others, may be among them. `text` makes
    an expression their text, `ordered` one that is compared as it is in every database; `constant`
    is what such a one is compared with.
    """

    type: str = ""
    family: Family = "other"
    has_nan: bool = False
    text: Callable[[str], str] = _as_varchar
    ordered: Callable[[str], str] = _itself
    constant: Callable[[Scalar], str] = literal

    @property
    def is_number(self) -> bool:
        return self.family in NUMBERS


@lru_cache
def in_duckdb(kind: str) -> ColumnKind:
    """The kind of values of a type of DuckDB."""
    for pattern, family in _DUCKDB:
        if re.fullmatch(pattern, kind, re.DOTALL):
            is_floating = family == "floating"
            text = _as_number if is_floating else _as_varchar
            return ColumnKind(kind, family, has_nan=is_floating, text=text)
    return ColumnKind(kind)


def compared(column: str, kind: ColumnKind) -> str:
    """A column in a comparison with a bound."""
    return kind.ordered(quoted(column))
