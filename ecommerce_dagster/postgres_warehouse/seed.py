"""A seed in PostgreSQL: DuckDB reads the file, as for a seed of its own; rows travel as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg

from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.ingestion.seed import Seed
from ecommerce_dagster.postgres_warehouse.catalog import Catalog
from ecommerce_dagster.postgres_warehouse.load import STAGE, STAGED, load_table
from ecommerce_dagster.postgres_warehouse.session import Session, run, said
from ecommerce_dagster.warehouse.database import described, open_warehouse
from ecommerce_dagster.warehouse.identifiers import quoted
from ecommerce_dagster.warehouse.load import Loaded, LoadError
from ecommerce_dagster.warehouse.sql_asset import AssetError

_FILE = "seed"
_BATCH = 10_000

# PostgreSQL's types for those of DuckDB that it knows by another name, or not at all.
_TYPES = {
    "TINYINT": "smallint", "UTINYINT": "smallint", "USMALLINT": "integer", "UINTEGER": "bigint",
    "UBIGINT": "numeric(20,0)", "HUGEINT": "numeric(39,0)", "UHUGEINT": "numeric(39,0)",
    "DOUBLE": "double precision", "FLOAT": "real", "VARCHAR": "text", "BLOB": "bytea",
    "JSON": "jsonb", "BIT": "bit varying", "TIMESTAMP_S": "timestamp", "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
}  # fmt: skip
_NESTED = re.compile(r"\]$|^(STRUCT|MAP|UNION)\(")


@dataclass(frozen=True)
class SeedBuild:
    """How to load one seed. Call it inside a transaction. Its file lies inside `root`."""

    asset: Asset
    root: Path

    def __call__(self, catalog: Catalog) -> Loaded:
        asset = self.asset
        seed = Seed(asset.model_copy(update={"name": _FILE}), self.root)
        with open_warehouse(":memory:") as file:
            seed(file)
            at = asset.at("parameters", "path")
            try:
                _stage(catalog.session, file)
                return load_table(
                    catalog, asset if seed.enforced else _untyped(asset), "create+replace"
                )
            except LoadError as error:
                raise AssetError(f"{at.path}:{at.line}: {error} ({seed.file.name})") from error
            except psycopg.Error as error:
                message = f"{seed.file.name} cannot be loaded: {said(error)}"
                raise AssetError(f"{at.path}:{at.line}: {message}") from error


def _untyped(asset: Asset) -> Asset:
    columns = (column.model_copy(update={"type": ""}) for column in asset.columns)
    return asset.model_copy(update={"columns": tuple(columns)})


def _stage(session: Session, file: duckdb.DuckDBPyConnection) -> None:
    """Copy the table of the file, in its types, to where a query's rows would be."""
    columns = described(file, _FILE)
    nothing = ", ".join(f"NULL::{_type(kind)} AS {quoted(name)}" for name, kind in columns.items())
    run(session, f"{STAGE} SELECT {nothing} LIMIT 0")
    texts = ", ".join(_text(quoted(name), kind) for name, kind in columns.items())
    rows = file.execute(f"SELECT {texts} FROM {_FILE}")
    with session.cursor().copy(f"COPY {STAGED} FROM STDIN".encode()) as copy:
        while batch := rows.fetchmany(_BATCH):
            for row in batch:
                copy.write_row(row)


def _type(kind: str) -> str:
    if _NESTED.search(kind):
        return "jsonb"
    return _TYPES.get(kind, kind.replace("DECIMAL", "numeric"))


def _text(name: str, kind: str) -> str:
    if _NESTED.search(kind):
        name = f"to_json({name})"
    if kind == "BLOB":
        return f"'\\x' || hex({name})"
    return f"CAST({name} AS VARCHAR)"
