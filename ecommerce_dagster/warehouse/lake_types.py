"""What the types of a DuckLake keep of a value, where that is not all of it.

Its rows are Parquet, which has no integers of 128 bits: DuckLake writes them as DOUBLE without a
word, and cuts intervals to milliseconds. Here such integers are decimals of 38 digits, and what
would be lost is refused, with the column and the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from ecommerce_dagster.warehouse import types
from ecommerce_dagster.warehouse.database import is_lake
from ecommerce_dagster.warehouse.identifiers import literal
from ecommerce_dagster.warehouse.script import ScriptError

_HUGE = r"\bU?HUGEINT\b"
# Quoted names of fields stay as they are.
_OTHERWISE = re.compile(rf'("(?:[^"]|"")*")|({_HUGE})|(\[\d+\])')
# The condition that all of a value is kept, by its type.
_KEPT = {
    "INTERVAL": "datepart('microseconds', {0}) % 1000 = 0",
    "TIME WITH TIME ZONE": "datepart('timezone', {0}) = 0",
}
_HUGE_COLUMNS = f"""
SELECT format('{{}}.{{}}.{{}}', schema_name, table_name, column_name)
FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (database_name, schema_name, table_name)
WHERE database_name = current_database() AND regexp_matches(data_type, '{_HUGE}')
"""


@dataclass(frozen=True)
class TypeRules:
    """The type of a column that is declared so and comes so, and the expression that brings a
    column from one type to the other, as in `types`; whether a column that is there can come to
    be never NULL in the transaction that adds it; and whether tables have primary keys."""

    target_type: Callable[[str, str], str] = types.target_type
    cast: Callable[[str, str, str], str] = types.cast
    constrains_later: bool = True
    has_keys: bool = True


def rules_of(connection: duckdb.DuckDBPyConnection) -> TypeRules:
    """The rules of the database that a connection writes to."""
    if is_lake(connection):
        return TypeRules(_target_type, _cast, constrains_later=False, has_keys=False)
    return TypeRules()


@contextmanager
def nothing_lost(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Refuse a script that makes a table whose integers would be rounded. Raises ScriptError."""
    if not is_lake(connection):
        yield
        return
    before = connection.execute(_HUGE_COLUMNS).fetchall()
    yield
    made = set(connection.execute(_HUGE_COLUMNS).fetchall()) - set(before)
    if made:
        names = ", ".join(sorted(str(row[0]) for row in made))
        raise ScriptError(
            f"a DuckLake stores HUGEINT as DOUBLE, which rounds it; cast {names} to BIGINT or to "
            "DECIMAL(38,0)"
        )


def _target_type(declared: str, actual: str) -> str:
    return _OTHERWISE.sub(_stored, types.target_type(declared, actual))


def _stored(found: re.Match[str]) -> str:
    name, huge, _ = found.groups()
    return name or ("DECIMAL(38,0)" if huge else "[]")


def _cast(column: str, actual: str, target: str) -> str:
    expression = types.cast(column, actual, target)
    kept = _KEPT.get(target)
    if kept is None:
        return expression
    complaint = (
        f"{literal(f'the column {column} holds ')} || CAST({expression} AS VARCHAR) || "
        f"{literal(f', which a DuckLake does not keep as {target}')}"
    )
    return (
        f"CASE WHEN {expression} IS NULL OR {kept.format(expression)} THEN {expression} "
        f"ELSE error({complaint}) END"
    )
