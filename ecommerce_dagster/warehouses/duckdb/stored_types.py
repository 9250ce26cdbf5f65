"""Which type rules the database of a connection has, and what scripts may create there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import duckdb

from ecommerce_dagster.sql.lake_types import LAKE_RULES, require_storable
from ecommerce_dagster.sql.type_rules import TypeRules
from ecommerce_dagster.warehouses.duckdb.database import is_lake

_COLUMNS = """
SELECT format('{}.{}.{}', schema_name, table_name, column_name), data_type
FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (database_name, schema_name, table_name)
WHERE database_name = current_database()
"""
_COMMENT = r"--[^\n]*\n|/\*.*?\*/"
_CREATE_AS = re.compile(
    rf"(?:\s|{_COMMENT})*CREATE\s[^;]*?\bTABLE\s(?:\"[^\"]*\"|[^\"(])*?\sAS\b(.*)",
    re.IGNORECASE | re.DOTALL,
)


def rules_of(connection: duckdb.DuckDBPyConnection) -> TypeRules:
    """The rules of the database that a connection writes to."""
    if is_lake(connection):
        return LAKE_RULES
    return TypeRules()


@contextmanager
def nothing_lost(connection: duckdb.DuckDBPyConnection, statement: str) -> Iterator[None]:
    """Refuse a statement of a script that makes a table whose values would be changed: those that
    scripts write are not looked at. Raises ScriptError."""
    if not is_lake(connection):
        yield
        return
    for name, kind in _columns_of_query(connection, statement):
        require_storable(name, kind)
    before = connection.execute(_COLUMNS).fetchall()
    yield
    for name, kind in sorted(set(connection.execute(_COLUMNS).fetchall()) - set(before)):
        require_storable(name, kind)


def _columns_of_query(
    connection: duckdb.DuckDBPyConnection, statement: str
) -> list[tuple[str, str]]:
    """The columns of CREATE TABLE ... AS. What cannot be described cannot be created either."""
    query = _CREATE_AS.match(statement)
    if query is None:
        return []
    with suppress(duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
        return [row[:2] for row in connection.execute(f"DESCRIBE {query[1]}").fetchall()]
    return []
