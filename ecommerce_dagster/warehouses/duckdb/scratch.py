"""A DuckDB that reads files and other databases for a warehouse which is none itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.plan import WriteOptions
from ecommerce_dagster.sql.types import NULL
from ecommerce_dagster.warehouses.duckdb.database import described, open_warehouse
from ecommerce_dagster.warehouses.duckdb.load import integers_or_null, load_table

_ROWS = "_rows"


@contextmanager
def scratch() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own, gone afterwards; what does not fit into memory goes to a file."""
    with (
        TemporaryDirectory(prefix="carried-") as folder,
        open_warehouse(":memory:", settings={"temp_directory": folder}) as connection,
    ):
        yield connection


@contextmanager
def as_declared(
    duck: duckdb.DuckDBPyConnection, asset: Asset, rows: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """A relation of `duck` as a table in which it has the declared types, so that a value that does
    not fit is refused as it is in DuckDB: its name, and the types of its columns by their names.

    The type is NULL where nothing says one. Raises LoadError.
    """
    load_table(duck, asset.model_copy(update={"name": _ROWS}), rows, WriteOptions("create+replace"))
    columns = described(duck, _ROWS)
    integers = [name for name, kind in columns.items() if kind == "INTEGER"]
    kinds = integers_or_null(duck, rows, integers)
    yield _ROWS, columns | {name: kind for name, kind in kinds.items() if kind == NULL}
    duck.execute(f"DROP TABLE {_ROWS}")
