"""Size and first rows of a table in DuckDB.

Nothing here may fail a build or slow it down: what DuckDB does not tell at once is left out.
"""

from __future__ import annotations

from typing import Any

import duckdb

from ecommerce_dagster.sql.identifiers import literal, relation
from ecommerce_dagster.warehouses.duckdb.database import is_lake
from ecommerce_dagster.warehouses.table_facts import PREVIEW_ROWS, TableFacts

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


def facts_of(connection: duckdb.DuckDBPyConnection, name: str) -> TableFacts:
    """The facts of a table. Call it outside of a transaction, which an error would end."""
    try:
        return TableFacts(_size(connection, name), _first_rows(connection, name))
    except Exception:  # a value that Python cannot hold, a table that was dropped meanwhile
        return TableFacts()


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
