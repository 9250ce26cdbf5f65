"""Queries whose columns enter a table by their position, as in Bruin, and not by their names."""

from __future__ import annotations

import re

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.identifiers import quoted, relation
from ecommerce_dagster.sql.strategies.registry import STRATEGIES
from ecommerce_dagster.warehouses.duckdb.database import described, kind_of

# How DuckDB calls a column that is an expression: `max(n)`, `(n + 1)`, `'x'`, `1`.
_NAMELESS = re.compile(r".*[('\[{].*|[-.0-9].*|NULL", re.DOTALL)


def by_position(
    connection: duckdb.DuckDBPyConnection, asset: Asset, source: str, strategy_name: str
) -> str:
    """The `source` with the names of the table's columns where its query names none.

    Bruin inserts by position. That is also what is meant by expressions without a name, and by as
    many columns as the table has when not one of them has a name of the table.
    """
    table = relation(asset.name)
    strategy = STRATEGIES[strategy_name]
    is_new = strategy.rebuilds or kind_of(connection, asset.name) != "table"
    if is_new or strategy.needs_primary_key:
        return source
    incoming, existing = described(connection, source), described(connection, table)
    come, known = [{name.lower() for name in names} for names in (incoming, existing)]
    renamed = ", ".join(
        f"{quoted(name)} AS {quoted(own)}"
        for name, own in zip(incoming, existing, strict=False)
        if name.lower() not in known
        and own.lower() not in come
        and (come.isdisjoint(known) or _NAMELESS.fullmatch(name))
    )
    if len(incoming) != len(existing) or not renamed:
        return source
    return f"(SELECT * RENAME ({renamed}) FROM {source})"
