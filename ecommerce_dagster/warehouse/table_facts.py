"""What is worth knowing of a table that was just built, beside its rows and columns.

Nothing here may fail a build or slow it down: what DuckDB does not tell at once is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from ecommerce_dagster.warehouse.database import is_lake
from ecommerce_dagster.warehouse.identifiers import literal, relation
from ecommerce_dagster.warehouse.loaded import Loaded

PREVIEW_ROWS = 10
_BLOCK = 262_144  # bytes, of every DuckDB file that says nothing else
_FEW_BLOCKS = 4
# A small table shares its blocks with others, and one that is not in its file yet has none.
_SIZE = f"""
SELECT CASE
    WHEN count(DISTINCT block_id) FILTER (persistent) > {_FEW_BLOCKS}
        THEN {_BLOCK} * count(DISTINCT block_id) FILTER (persistent)
    ELSE sum(count * CASE segment_type
        WHEN 'VALIDITY' THEN 0 WHEN 'BOOLEAN' THEN 1 WHEN 'SMALLINT' THEN 2
        WHEN 'INTEGER' THEN 4 WHEN 'DATE' THEN 4 WHEN 'FLOAT' THEN 4
        WHEN 'VARCHAR' THEN 16 ELSE 8 END)
    END::BIGINT
FROM pragma_storage_info({{table}})
"""
_SIZE_IN_LAKE = """
SELECT sum(data_file_size_bytes)::BIGINT
FROM ducklake_list_files(current_database(), {table}, schema => {schema})
"""


@dataclass(frozen=True)
class TableFacts:
    """`size_bytes` is an estimate; `preview` holds the first rows."""

    size_bytes: int | None = None
    preview: Sequence[Mapping[str, Any]] = field(default=(), repr=False)


def facts_of(connection: duckdb.DuckDBPyConnection, name: str) -> TableFacts:
    """The facts of a table. Call it outside of a transaction, which an error would end."""
    try:
        return TableFacts(_size(connection, name), _first_rows(connection, name))
    except Exception:  # a value that Python cannot hold, a table that somebody else dropped
        return TableFacts()


def with_changes(loaded: Loaded, before: Mapping[str, str], after: Mapping[str, str]) -> Loaded:
    """The load with all that it changed of the columns, whose types these are by their names. A
    table that is new changed nothing."""
    changes = _schema_changes(before, after, loaded.schema_changes) if before and after else []
    return replace(loaded, schema_changes=(*loaded.schema_changes, *changes))


def _schema_changes(
    before: Mapping[str, str], after: Mapping[str, str], told: Sequence[str]
) -> list[str]:
    """How the columns of a table differ from those before, as far as it was not `told`."""
    had, has = ({name.lower(): name for name in columns} for columns in (before, after))
    found = {
        **{has[n]: f"added column {has[n]} {after[has[n]]}" for n in has.keys() - had.keys()},
        **{had[n]: f"dropped column {had[n]}" for n in had.keys() - has.keys()},
    }
    for lower in had.keys() & has.keys():
        old, new = before[had[lower]], after[has[lower]]
        if had[lower] != has[lower]:
            found[had[lower]] = f"renamed column {had[lower]} to {has[lower]}"
        if old != new:
            found[has[lower]] = f"changed column {has[lower]} from {old} to {new}"
    order = [*after, *before]
    return [
        found[name]
        for name in dict.fromkeys(order)
        if name in found and not any(f"column {name} " in f"{text} " for text in told)
    ]


def _first_rows(connection: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f"SELECT * FROM {relation(name)} LIMIT {PREVIEW_ROWS}")
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _size(connection: duckdb.DuckDBPyConnection, name: str) -> int | None:
    query = _SIZE.format(table=literal(relation(name)))
    if is_lake(connection):
        *_, schema, table = ["main", *name.split(".")]
        query = _SIZE_IN_LAKE.format(table=literal(table), schema=literal(schema))
    row = connection.execute(query).fetchone()
    return int(row[0]) if row and row[0] is not None else None
