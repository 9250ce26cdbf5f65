"""All keys of a source beside those of its table: which rows are gone, and which were missed.

A watermark sees rows that come and rows that change. A deleted row leaves no trace to see, and a
row may be committed too late for any overlap. The keys tell, in the snapshot of the load: the
primary key and the incremental key of every row. Mostly they agree, and a sum over them says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from ecommerce_dagster.sources.postgres.describe import Source, relation_of
from ecommerce_dagster.sql.dialect import DUCKDB
from ecommerce_dagster.sql.identifiers import quoted, relation
from ecommerce_dagster.sql.strategies import common
from ecommerce_dagster.warehouses.duckdb.database import described, types_in

_KEYS = f"temp.{quoted('_keys')}"
# The rows of the source that an appended table lacks.
LATE = f"temp.{quoted('_late')}"
_COUNT = quoted("_how many")


def agree(
    duck: duckdb.DuckDBPyConnection,
    source: Source,
    types: Mapping[str, str],
    table: str,
    among: str | None = None,
) -> bool:
    """Whether `table` has the keys that are the columns of `source`, which arrive as `types`, in
    its rows that meet the condition `among`.

    Compared are the number of rows and the sum of a hash of each: 0.3 s for a million rows, a fifth
    of what it takes to join them. Both are hashed by this DuckDB, in the types of the table.
    """
    names = ", ".join(quoted(column.name) for column in source.columns)
    marks = [
        duck.execute(f"SELECT count(*), sum(hash({names})) FROM {rows}").fetchone()
        for rows in (
            f"(\n{_arriving(duck, source, types, table)}\n) AS source",
            f"{relation(table)} WHERE {among or 'TRUE'}",
        )
    ]
    return marks[0] == marks[1]


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
    keys = {name.lower() for name in primary_key}
    names = [column.name for column in source.columns]
    selected = ", ".join(
        quoted(name) if name.lower() in keys else f"max({quoted(name)}) AS {quoted(name)}"
        for name in names
    )
    grouped = ", ".join(quoted(name) for name in names if name.lower() in keys)
    duck.execute(
        f"CREATE OR REPLACE TEMP TABLE {quoted('_keys')} AS\nSELECT {selected}\n"
        f"FROM (\n{_arriving(duck, source, types, table)}\n) AS source\nGROUP BY {grouped}"
    )


def missed(duck: duckdb.DuckDBPyConnection, table: str) -> int:
    """How many staged rows `table` has not, or not with these values."""
    known = DUCKDB.same(described(duck, _KEYS), "source", "target")
    query = (
        f"SELECT count(*) FROM {_KEYS} AS source WHERE NOT EXISTS ("
        f"SELECT 1 FROM {relation(table)} AS target WHERE {known})"
    )
    ((count,),) = duck.execute(query).fetchall()
    return int(count)


def delete_gone(
    duck: duckdb.DuckDBPyConnection,
    table: str,
    primary_key: Sequence[str],
    among: str | None = None,
) -> tuple[int, str]:
    """Delete the rows of `table` that meet the condition `among` and whose key the source has no
    more: how many, by which statement."""
    statement = common.delete_gone(DUCKDB, relation(table), _KEYS, primary_key, among)
    ((deleted,),) = duck.execute(statement).fetchall()
    return int(deleted), statement


def stage_short(
    duck: duckdb.DuckDBPyConnection, source: Source, types: Mapping[str, str], table: str
) -> int:
    """Keep aside the keys that `table` has less often than `source`, whose columns they are: how
    many rows it lacks."""
    key = ", ".join(quoted(column.name) for column in source.columns)
    duck.execute(
        f"CREATE OR REPLACE TEMP TABLE {quoted('_keys')} AS\n"
        f"SELECT {key}, count(*) AS {_COUNT} FROM (\n"
        f"  SELECT {key} FROM ({_arriving(duck, source, types, table)}) AS source\n"
        f"  EXCEPT ALL SELECT {key} FROM {relation(table)}\n) AS short GROUP BY ALL"
    )
    ((lacking,),) = duck.execute(f"SELECT coalesce(sum({_COUNT}), 0) FROM {_KEYS}").fetchall()
    return int(lacking)


def stage_late(
    duck: duckdb.DuckDBPyConnection,
    source: Source,
    types: Mapping[str, str],
    table: str,
    keys: Sequence[str],
) -> int:
    """Keep aside as LATE the rows of `source` that `table` lacks, of those with the `keys` that
    `stage_short` found: how many.

    Where a key is not unique, the whole rows are compared: one that was changed since it was loaded
    cannot be told from one that came, and neither is taken.
    """
    cells = ", ".join(quoted(column.name) for column in source.columns)
    short = f"SEMI JOIN {_KEYS} AS short ON {DUCKDB.same(keys, 'rows_', 'short')}"
    duck.execute(
        f"CREATE OR REPLACE TEMP TABLE {quoted('_late')} AS\n"
        f"SELECT {cells} FROM ({_arriving(duck, source, types, table)}) AS rows_ {short}\n"
        f"EXCEPT ALL SELECT {cells} FROM {relation(table)} AS rows_ {short}"
    )
    key = ", ".join(map(quoted, keys))
    late = f"SELECT {key}, count(*) AS {_COUNT} FROM {LATE} GROUP BY ALL"
    duck.execute(
        f"DELETE FROM {LATE} AS rows_ WHERE NOT EXISTS (\n"
        f"  SELECT 1 FROM {_KEYS} AS short JOIN ({late}) AS late ON"
        f" {DUCKDB.same([*keys, '_how many'], 'short', 'late')}\n"
        f"  WHERE {DUCKDB.same(keys, 'rows_', 'short')}\n)"
    )
    ((found,),) = duck.execute(f"SELECT count(*) FROM {LATE}").fetchall()
    return int(found)


def forget(duck: duckdb.DuckDBPyConnection) -> None:
    """Drop what was kept aside; a connection that is used again would keep it in memory."""
    for table in (_KEYS, LATE):
        duck.execute(f"DROP TABLE IF EXISTS {table}")


def _arriving(
    duck: duckdb.DuckDBPyConnection, source: Source, types: Mapping[str, str], table: str
) -> str:
    """A SELECT of the rows of `source`, which arrive as `types`, in the types of `table`."""
    kinds = types_in(duck, relation(table))
    cells = ", ".join(
        f"CAST({quoted(c.name)} AS {kinds[c.name.lower()]}) AS {quoted(c.name)}"
        for c in source.columns
    )
    return f"SELECT {cells}\nFROM (\n{relation_of(duck, source, types)}\n) AS arriving"
