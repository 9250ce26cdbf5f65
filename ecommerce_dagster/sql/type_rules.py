"""The types of one database: which one a column gets, and how a value becomes one of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from ecommerce_dagster.sql import types


class TypeRules:
    """The types of a DuckDB file. Other databases have their own subclass.

    `unknown` is the type of a column without any value in it: every other will do as well. Tables
    may have primary keys (`has_keys`). `added_not_null` is when a column that is added to a table
    can be declared to be never NULL. The values of `counted` types count up by themselves.
    `without_rows` are types that mean another one in a table which no rows decide about: a `float`
    is DuckDB's own there, and what Python calls so elsewhere.
    """

    database = "DuckDB"
    unknown = types.NULL
    has_keys = True
    added_not_null: Literal["at once", "afterwards", "never"] = "afterwards"
    counted: frozenset[str] = frozenset()
    without_rows: Mapping[str, str] = MappingProxyType({"float": "REAL"})

    def known(self, declared: str) -> str | None:
        """The database's name of a type as it is written; None when it has no such type."""
        return types.known_type(declared)

    def target_type(self, declared: str, actual: str) -> str:
        """The type of a column that is declared so ("" is any) and comes as `actual`."""
        return types.target_type(declared, actual)

    def widened(self, current: str, incoming: str) -> str | None:
        """The type of a table's column that is to take `incoming` too without loss; None when there
        is none."""
        return types.widened(current, incoming)

    def converted(self, column: str, actual: str, target: str) -> str:
        """An expression for `column` as `target`."""
        alike = target == self.target_type("", actual)
        return self.kept(column, types.cast(column, actual, target, alike=alike), target)

    def exact(self, kind: str) -> Callable[[str], str]:
        """What turns an expression for a value of a type into one that is equal for no other."""
        return types.exact(kind)

    def is_ordered(self, kind: str) -> bool:
        """Whether the database can compare and sort the values of a type."""
        return True

    def refusal(self, kind: str) -> str | None:
        """Why there can be no column of a type, whatever its values are."""
        return None

    def doubt(self, kind: str) -> str | None:
        """Why the values of a type have to be looked at one by one."""
        return None

    def kept(self, column: str, expression: str, kind: str) -> str:
        """The expression for a column of a type; a value of which something would be lost is an
        error."""
        return expression
