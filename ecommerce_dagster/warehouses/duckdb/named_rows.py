"""Rows with the column names of their source, into the table of an asset."""

from __future__ import annotations

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.column_names import renamed, table_names
from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.load_result import LoadResult
from ecommerce_dagster.sql.plan import WriteOptions
from ecommerce_dagster.warehouses.base import Target
from ecommerce_dagster.warehouses.duckdb.database import described
from ecommerce_dagster.warehouses.schema_contract import columns_kept


def fill_named(
    target: Target, asset: Asset, reader: duckdb.DuckDBPyConnection, rows: str, how: WriteOptions
) -> LoadResult:
    """Fill the table from a relation of the `reader`, its columns called as in `table_names`."""
    names = table_names(asset, described(reader, rows), target.columns(asset.name))
    if any(column != name for column, name in names.items()):
        cells = ", ".join(f"{quoted(column)} AS {quoted(name)}" for column, name in names.items())
        rows = f"(\nSELECT {cells}\nFROM {rows}\n) AS named"
    with columns_kept(target, asset):
        return target.fill_from_rows(renamed(asset, names), reader, rows, how)
