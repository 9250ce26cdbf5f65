"""Column checks as SQL for PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from math import isfinite

from ecommerce_dagster.bruin.model.asset import Column, ColumnCheck
from ecommerce_dagster.sql.checks import Check
from ecommerce_dagster.sql.column_kinds import ColumnKind, Family
from ecommerce_dagster.sql.column_names import column_of
from ecommerce_dagster.sql.identifiers import Scalar, actual, literal, quoted
from ecommerce_dagster.sql.rules import RULES
from ecommerce_dagster.warehouses.postgres.catalog import Names, Table

# Options stand at the very beginning of a regular expression.
_OPTIONS = re.compile(r"\(\?[a-z]+\)")
_LARGEST_REAL = 3e38
_FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"smallint|integer|bigint", "integer"),
    (r"numeric(\(.*\))?", "decimal"),
    (r"real|double precision", "floating"),
    (r"text|name|citext|character( varying)?(\(\d+\))?", "text"),
    (r"boolean", "boolean"),
)


@dataclass(frozen=True)
class ColumnRules:
    """The column checks of one table, whose columns have these types."""

    names: Names
    table: Table
    columns: Mapping[str, str]

    def count(self, check: Check) -> str:
        """The query for the number of bad rows."""
        if check.rule.name != "unique":
            return f"SELECT count(*) FROM {self.table.sql} WHERE {self.broken(check)}"
        # Rows beyond the first of each value. NULLs are not values.
        name = quoted(self.column_of(check).name)
        return (
            f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM {self.table.sql}"
            f" WHERE {name} IS NOT NULL GROUP BY {name}) AS groups"
        )

    def bad_rows(self, check: Check) -> str:
        """The query for the bad rows."""
        if check.rule.name != "unique":
            return f"SELECT * FROM {self.table.sql}\nWHERE {self.broken(check)}"
        name = quoted(self.column_of(check).name)
        return (
            f"SELECT * FROM {self.table.sql}\nWHERE {name} IN (\n"
            f"  SELECT {name} FROM {self.table.sql} GROUP BY {name} HAVING count(*) > 1\n)\n"
            f"ORDER BY {name}"
        )

    def broken(self, check: Check) -> str:
        """The condition of a bad row."""
        column, rule = self.column_of(check), check.rule
        assert isinstance(rule, ColumnCheck)
        if rule.name in {"pattern", "regex"}:
            return _mismatched(column, rule)
        if rule.name == "relationships":
            return self._orphaned(column)
        kind = column_kind(self.columns.get(column.name, ""))
        return RULES[rule.name].broken(column, rule, kind)

    def _orphaned(self, column: Column) -> str:
        """Not by NOT IN: PostgreSQL would go through a large parent again for every row."""
        key = column.foreign_key
        assert key is not None
        parent = self.names.find(key.table)
        child = f"{self.table.sql}.{quoted(column.name)}"
        name = quoted(actual(key.column, self.names.columns(parent.sql)))
        return (
            f"{child} IS NOT NULL AND NOT EXISTS (\n"
            f"  SELECT 1 FROM {parent.sql} AS parent WHERE parent.{name} = {child}\n)"
        )

    def column_of(self, check: Check) -> Column:
        """The column as the table calls it."""
        assert check.column is not None
        name = column_of(check.asset, check.column, self.columns)
        name = name or actual(check.column.name, self.columns)
        return check.column.model_copy(update={"name": name})


def _mismatched(column: Column, rule: ColumnCheck) -> str:
    pattern = str(rule.pattern if rule.pattern is not None else rule.value)
    found = _OPTIONS.match(pattern)
    options = found.group() if found else ""
    whole = f"{options}^(?:{pattern[len(options) :]})$"
    return f"CAST({quoted(column.name)} AS text) !~ {literal(whole)}"


@lru_cache
def column_kind(type_name: str) -> ColumnKind:
    """The kind of values of a type of PostgreSQL. Texts are compared by their bytes, whatever the
    collation, as in DuckDB; those of char(n) without the blanks that fill them up."""
    family: Family = "other"
    for pattern, found in _FAMILIES:
        family = found if re.fullmatch(pattern, type_name) else family
    is_text = family == "text"
    return ColumnKind(
        type_name,
        family,
        has_nan=family == "floating" or type_name.startswith("numeric"),
        text=_text_by_bytes if is_text else _text,
        ordered=_text_by_bytes if is_text else str,
        constant=lambda value: _constant(value, type_name),
    )


def _text(name: str) -> str:
    return f"CAST({name} AS text)"


def _text_by_bytes(name: str) -> str:
    return f'CAST({name} AS text) COLLATE "C"'


def _constant(value: Scalar, type_name: str) -> str:
    """A bound that PostgreSQL compares as what the column is.

    A number beside a `real` would make both of them doubles, and the 0.1 of a column less exact
    than that of the rule: quoted it takes the type of the column, as do infinities.
    """
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        return literal(value)
    is_real = type_name == "real" and -_LARGEST_REAL < value < _LARGEST_REAL
    return f"'{value}'" if is_real or not isfinite(value) else literal(value)
