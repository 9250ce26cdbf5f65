"""All keys of a source beside those of its table: which rows are gone, and which were missed.

A watermark sees rows that come and rows that change. A deleted row leaves no trace to see, and a
row may be committed too late for any overlap. The keys tell: those of the source are read whole, in
the snapshot of the load, and only they.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from ecommerce_dagster.ingestion.source import Source, relation_of
from ecommerce_dagster.warehouse.database import described, types_in
from ecommerce_dagster.warehouse.history import same
from ecommerce_dagster.warehouse.identifiers import quoted, relation

_KEYS = f"temp.{quoted('_keys')}"


def stage_keys(
    duck: duckdb.DuckDBPyConnection,
    source: Source,
    types: Mapping[str, str],
    table: str,
    primary_key: Sequence[str],
) -> None:
    """Keep the columns of `source` aside: each primary key once, with its newest other values.

    They arrive as `types`, and get those of `table`.
    """
    kinds = types_in(duck, relation(table))
    keys = {name.lower() for name in primary_key}
    cells = {c.name: f"CAST({quoted(c.name)} AS {kinds[c.name.lower()]})" for c in source.columns}
    selected = ", ".join(
        f"{cell if name.lower() in keys else f'max({cell})'} AS {quoted(name)}"
        for name, cell in cells.items()
    )
    grouped = ", ".join(cell for name, cell in cells.items() if name.lower() in keys)
    duck.execute(
        f"CREATE OR REPLACE TEMP TABLE {quoted('_keys')} AS\nSELECT {selected}\n"
        f"FROM (\n{relation_of(duck, source, types)}\n) AS source\nGROUP BY {grouped}"
    )


def has_missed(duck: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Whether the source has a row that `table` has not, or not with these values."""
    known = same(described(duck, _KEYS), "source", "target")
    query = (
        f"SELECT 1 FROM {_KEYS} AS source WHERE NOT EXISTS ("
        f"SELECT 1 FROM {relation(table)} AS target WHERE {known}) LIMIT 1"
    )
    return duck.execute(query).fetchone() is not None


def delete_gone(
    duck: duckdb.DuckDBPyConnection, table: str, primary_key: Sequence[str]
) -> tuple[int, str]:
    """Delete the rows of `table` whose key the source has no more: how many, by which statement."""
    statement = (
        f"DELETE FROM {relation(table)} AS target\nWHERE NOT EXISTS (\n"
        f"  SELECT 1 FROM {_KEYS} AS source WHERE {same(primary_key, 'source', 'target')}\n)"
    )
    ((deleted,),) = duck.execute(statement).fetchall()
    duck.execute(f"DROP TABLE {_KEYS}")
    return int(deleted), statement
