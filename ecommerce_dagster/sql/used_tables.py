"""Which tables a statement names, without looking at any of them.

DuckDB's own parser says so for queries, and sqlglot for other statements. What neither can read has
an unknown answer, which is not the same as none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import duckdb

from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.sql.parser_log import without_remarks

_AT_ONCE = 100
# They read tables whose names are values.
_BY_VALUE = {"query", "query_table"}


class _ByValueError(Exception):
    """A table is named by a value."""


class Use(NamedTuple):
    """A table as a statement names it, in its parts, and the line (from 1) of the statement."""

    parts: tuple[str, ...]
    line: int | None

    @property
    def key(self) -> str:
        """The table in the one spelling that all ways to write it share, as of `key_of`."""
        return _key(self.parts)


def key_of(name: str) -> str:
    """A table, by the name of its asset, in the one spelling that all ways to write it share."""
    return _key(tuple(name.split(".")))


@cache
def _key(parts: tuple[str, ...]) -> str:
    schema, table = ("main", *parts)[-2:]
    return f"{quoted(schema)}.{quoted(table)}".lower()


def used_tables(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Use] | None:
    """The tables that a statement names, in whatever place; None when it cannot be parsed."""
    return _used_tables(sql, _serialized(connection, sql))


def used_tables_of_each(
    connection: duckdb.DuckDBPyConnection, texts: Iterable[str]
) -> Iterator[tuple[str, list[Use] | None]]:
    """The same of many statements, each with it. To parse a hundred takes DuckDB 1 ms in one
    question, and 9 in a hundred."""
    waiting = iter(texts)
    while batch := list(islice(waiting, _AT_ONCE)):
        for sql, tree in zip(batch, _all_serialized(connection, batch), strict=True):
            yield sql, _used_tables(sql, tree)


def _used_tables(sql: str, tree: Any) -> list[Use] | None:
    try:
        if tree is None:
            return _by_sqlglot(sql)
        text = sql.encode()
        return [
            Use(parts, text.count(b"\n", 0, offset) + 1 if offset <= len(text) else None)
            for parts, offset in _tables(tree, frozenset())
        ]
    except (RecursionError, _ByValueError):
        return None


def aliases_read(connection: duckdb.DuckDBPyConnection, sql: str) -> frozenset[str] | None:
    """The aliases, in lower case, that a query reads in the SELECT that gives them: a column of
    that name in its tables would be read instead. None when it cannot be parsed."""
    tree = _serialized(connection, sql)
    try:
        return None if tree is None else frozenset(_aliases_read(tree))
    except RecursionError:
        return None


def _aliases_read(tree: Any) -> Iterator[str]:
    for node in _nodes(tree):
        selected = node.get("select_list") or []
        aliases = {str(item["alias"]).lower() for item in selected if item.get("alias")}
        if aliases:
            yield from aliases & {name for below in _nodes(node) for name in _name_read(below)}


def _name_read(node: dict[str, Any]) -> list[str]:
    """The column that a node reads by its name alone."""
    names = node.get("column_names") or []
    is_column = node.get("class") == "COLUMN_REF" and len(names) == 1
    return [str(names[0]).lower()] if is_column else []


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Each node of a syntax tree, from the top."""
    if isinstance(tree, dict):
        yield tree
    for item in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(item, dict | list):
            yield from _nodes(item)


def _serialized(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """DuckDB's syntax tree of a query; None when it is no query."""
    try:
        row = connection.execute(f"SELECT json_serialize_sql({literal(sql)})").fetchone()
    except duckdb.Error:
        return None
    return _tree(row[0]) if row else None


def _all_serialized(connection: duckdb.DuckDBPyConnection, texts: Sequence[str]) -> list[Any]:
    values = ", ".join(f"({literal(text)})" for text in texts)
    question = f"SELECT json_serialize_sql(text) FROM (VALUES {values}) AS texts(text)"
    try:
        return [_tree(answer) for (answer,) in connection.execute(question).fetchall()]
    except duckdb.Error:
        # One of them that cannot be read, as for its depth.
        return [_serialized(connection, text) for text in texts]


def _tree(answer: str) -> Any:
    try:
        tree = json.loads(answer)
    except (RecursionError, ValueError):
        return None
    return None if tree is None or tree.get("error") else tree["statements"]


def _tables(node: Any, ctes: frozenset[str]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Each table in the tree with its offset. `ctes` are the names that stand for subqueries."""
    if isinstance(node, list):
        for item in node:
            if isinstance(item, dict | list):
                yield from _tables(item, ctes)
        return
    yield from _named(node, ctes)
    for entry in (node.get("cte_map") or {}).get("map", ()):
        name = str(entry["key"]).lower()
        # A subquery sees those above it, and itself only when it is recursive.
        own = {name} if entry["value"]["query"]["node"].get("cte_name") else set()
        yield from _tables(entry["value"], ctes | own)
        ctes |= {name}
    for key, item in node.items():
        if isinstance(item, dict | list) and key != "cte_map":
            yield from _tables(item, ctes)


def _named(node: Any, ctes: frozenset[str]) -> Iterator[tuple[tuple[str, ...], int]]:
    """The table that this node of the tree stands for."""
    if node.get("type") == "TABLE_FUNCTION":
        if str(node["function"].get("function_name")).lower() in _BY_VALUE:
            raise _ByValueError
    elif node.get("type") == "BASE_TABLE":
        written = (node["catalog_name"], node["schema_name"], node["table_name"])
        parts = tuple(part for part in written if part)
        if len(parts) > 1 or parts[0].lower() not in ctes:
            yield parts, node["query_location"]


@without_remarks()
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
