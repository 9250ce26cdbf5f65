"""Which tables a statement names, without looking at any of them.

DuckDB's own parser says so for queries, and sqlglot for other statements. What neither can read has
an unknown answer, which is not the same as none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb

# They read tables whose names are values.
_BY_VALUE = {"query", "query_table"}


class Use(NamedTuple):
    """A table as a statement names it, in its parts, and the line (from 1) of the statement."""

    parts: tuple[str, ...]
    line: int | None

    @property
    def key(self) -> str:
        """What `key_of` says of the table."""
        return key_of(".".join(self.parts))


def key_of(name: str) -> str:
    """A table by its schema and its name, in the one spelling that all ways to write it share."""
    schema, table = ["main", *name.lower().split(".")][-2:]
    return f"{schema}.{table}"


def used_tables(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Use] | None:
    """The tables that a statement names, in whatever place; None when that cannot be told."""
    tree = _serialized(connection, sql)
    try:
        if tree is None:
            return _by_sqlglot(sql)
        if _BY_VALUE & set(_functions(tree)):
            return None
        text = sql.encode()
        return [
            Use(parts, text.count(b"\n", 0, offset) + 1 if offset <= len(text) else None)
            for parts, offset in _tables(tree, frozenset())
        ]
    except RecursionError:
        return None


def _serialized(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """DuckDB's syntax tree of a query; None when it is no query."""
    try:
        row = connection.execute("SELECT json_serialize_sql($1)", [sql]).fetchone()
        tree = json.loads(row[0]) if row else None
    except (duckdb.Error, RecursionError, ValueError):
        return None
    return None if tree is None or tree.get("error") else tree["statements"]


def _tables(node: Any, ctes: frozenset[str]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Each table in the tree with its offset. `ctes` are the names that stand for subqueries."""
    if isinstance(node, list):
        for item in node:
            yield from _tables(item, ctes)
    if not isinstance(node, dict):
        return
    if node.get("type") == "BASE_TABLE":
        written = (node["catalog_name"], node["schema_name"], node["table_name"])
        parts = tuple(part for part in written if part)
        if len(parts) > 1 or parts[0].lower() not in ctes:
            yield parts, node["query_location"]
    for entry in (node.get("cte_map") or {}).get("map", ()):
        name = str(entry["key"]).lower()
        # A subquery sees those above it, and itself only when it is recursive.
        own = {name} if entry["value"]["query"]["node"].get("cte_name") else set()
        yield from _tables(entry["value"], ctes | own)
        ctes |= {name}
    for key, item in node.items():
        if key != "cte_map":
            yield from _tables(item, ctes)


def _functions(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _functions(item)
    elif isinstance(node, dict):
        if node.get("type") == "TABLE_FUNCTION":
            yield str(node["function"]["function_name"]).lower()
        for item in node.values():
            yield from _functions(item)


def _by_sqlglot(sql: str) -> list[Use] | None:
    import sqlglot
    from sqlglot import exp

    try:
        trees = [tree for tree in sqlglot.parse(sql, read="duckdb") if tree is not None]
        if any(isinstance(tree, exp.Command) for tree in trees):
            return None
        ctes = {cte.alias.lower() for tree in trees for cte in tree.find_all(exp.CTE)}
        tables = [table for tree in trees for table in tree.find_all(exp.Table)]
        named = [tuple(part.name for part in table.parts) for table in tables]
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError, AttributeError, TypeError):
        return None
    return [
        Use(parts, None)
        for parts in named
        if all(parts) and (len(parts) > 1 or parts[0].lower() not in ctes)
    ]
