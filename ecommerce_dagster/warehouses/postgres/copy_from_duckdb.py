"""Rows that DuckDB reads, carried into PostgreSQL as text."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.sql.types import NULL
from ecommerce_dagster.warehouses.duckdb.scratch import as_declared
from ecommerce_dagster.warehouses.postgres.catalog import STAGE, STAGED
from ecommerce_dagster.warehouses.postgres.session import Session, run

_BLOCK = 1 << 20

# PostgreSQL's types for those of DuckDB that it knows by another name, or not at all.
_TYPES = {
    "TINYINT": "smallint", "UTINYINT": "smallint", "USMALLINT": "integer", "UINTEGER": "bigint",
    "UBIGINT": "numeric(20,0)", "HUGEINT": "numeric(39,0)", "UHUGEINT": "numeric(39,0)",
    "BIGNUM": "numeric", "DOUBLE": "double precision", "FLOAT": "real", "VARCHAR": "text",
    "BLOB": "bytea", "JSON": "jsonb", "BIT": "bit varying", NULL: "text",
    "TIMESTAMP_S": "timestamp", "TIMESTAMP_MS": "timestamp", "TIMESTAMP_NS": "timestamp",
}  # fmt: skip
_LIST = re.compile(r"[^(\[]+(\([\d,]+\))?\[\]")  # of values that are neither lists nor structs
_NESTED = re.compile(r"\]$|^(STRUCT|MAP|UNION)\(")


def stage(session: Session, duck: duckdb.DuckDBPyConnection, asset: Asset, rows: str) -> None:
    """Copy a relation of `duck` to where a query's rows would be. Raises LoadError."""
    arrays = {c.name.lower() for c in asset.columns if c.type.strip().endswith("[]")}
    with TemporaryDirectory(prefix="carried-") as folder:
        path = Path(folder, "rows.csv")
        with as_declared(duck, asset, rows) as (table, columns):
            nothing, texts = [], []
            for name, kind in columns.items():
                as_array = name.lower() in arrays and _LIST.fullmatch(kind) is not None
                stored = f"{_type(kind[:-2])}[]" if as_array else _type(kind)
                text = _array(quoted(name), kind[:-2]) if as_array else _text(quoted(name), kind)
                nothing.append(f"NULL::{stored} AS {quoted(name)}")
                texts.append(f"{text} AS {quoted(name)}")
            run(session, f"{STAGE} SELECT {', '.join(nothing)} LIMIT 0")
            duck.execute(
                f"COPY (SELECT {', '.join(texts)} FROM {table}) TO {literal(str(path))}"
                f" (FORMAT csv, HEADER false, FORCE_QUOTE ({', '.join(map(quoted, columns))}))"
            )
        statement = f"COPY {STAGED} FROM STDIN (FORMAT csv)".encode()
        with path.open("rb") as file, session.cursor().copy(statement) as copy:
            while block := file.read(_BLOCK):
                copy.write(block)


def _type(kind: str) -> str:
    if _NESTED.search(kind):
        return "jsonb"
    if kind.startswith("ENUM("):
        return "text"
    return _TYPES.get(kind, kind.replace("DECIMAL", "numeric"))


def _text(name: str, kind: str) -> str:
    if _NESTED.search(kind):
        name = f"to_json({name})"
    if kind == "BLOB":
        return f"'\\x' || hex({name})"
    return f"CAST({name} AS VARCHAR)"


def _array(name: str, kind: str) -> str:
    """A list as the text of PostgreSQL's array."""
    escaped = f"replace(replace({_text('item', kind)}, '\\', '\\\\'), '\"', '\\\"')"
    items = f"[coalesce('\"' || {escaped} || '\"', 'NULL') FOR item IN {name}]"
    return f"'{{' || array_to_string({items}, ',') || '}}'"
