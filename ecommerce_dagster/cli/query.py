"""`ecommerce query`: rows of a connection, read-only."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecommerce_dagster.bruin.config_file import default_connection_name
from ecommerce_dagster.bruin.model.connections import Connection
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.schema_prefix import prefixed_sql
from ecommerce_dagster.bruin.templates.render import RunContext
from ecommerce_dagster.cli.errors import tell
from ecommerce_dagster.cli.local_services import local_services_of
from ecommerce_dagster.cli.selection import asset_called
from ecommerce_dagster.cli.tables import print_rows
from ecommerce_dagster.cli.values import for_json, shown
from ecommerce_dagster.runtime.environment_tables import tables_to_read
from ecommerce_dagster.runtime.warehouses import WAREHOUSES, WarehouseType
from ecommerce_dagster.sql.identifiers import relation
from ecommerce_dagster.warehouses.query import QueryError

Rows = list[tuple[Any, ...]]
_TABLE_LIMIT = 100


def show_rows(
    project: Project, sql: str, connection: str | None, limit: int | None, output: str
) -> None:
    """Print what a query returns. Raises QueryError, WarehouseError, SourceError."""
    if output == "parquet":
        _write_parquet(project, sql, limit, connection)
        return
    if output == "table" and limit is None:
        limit = _TABLE_LIMIT
    names, rows, more = fetch(project, sql, limit, connection)
    if output == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(names)
        writer.writerows(map(shown, row) for row in rows)
    elif output == "json":
        keys = _distinct(names)
        records = [dict(zip(keys, map(for_json, row), strict=True)) for row in rows]
        print(json.dumps(records, indent=2, ensure_ascii=False))
    else:
        print_table(Console(), names, rows)
    if more:
        print(f"more than {limit} rows; --limit shows more of them", file=sys.stderr)


def table_query(name: str) -> str:
    """The query for a whole table."""
    return f"SELECT * FROM {relation(name)}"


def asset_query(project: Project, name: str) -> tuple[str, str]:
    """The rendered query of an asset's file, and the connection it is for."""
    asset = asset_called(project, name)
    if not asset.body:
        return table_query(asset.name), project.connection_name(asset)
    context = RunContext(pipeline=project.pipeline.name, variables=project.variables)
    return project.render(asset.body, context, asset), project.connection_name(asset)


def fetch(
    project: Project, sql: str, limit: int | None, name: str | None = None
) -> tuple[list[str], Rows, bool]:
    """The column names and at most `limit` rows of a query, and whether there are more. Raises
    QueryError, WarehouseError, SourceError."""
    connection, known = _asked(project, name)
    with local_services_of(project.directory).asked(connection.name):
        sql = _here(project, sql, connection.name)
        names, rows = known.ask(connection, sql, None if limit is None else limit + 1, tell)
    return names, rows[:limit], limit is not None and len(rows) > limit


def _here(project: Project, sql: str, connection: str) -> str:
    """A query over the tables of the environment: where it has its own, over those."""
    prefix = project.connections.schema_prefix
    if not prefix:
        return sql
    return prefixed_sql(sql, prefix, tables_to_read(project, connection))


def _asked(project: Project, name: str | None) -> tuple[Connection, WarehouseType]:
    """A connection, that of the pipeline's tables without a name, and what it can be asked by."""
    name = name or default_connection_name("duckdb", project.pipeline.default_connections)
    connection = project.connections.get(name)
    known = WAREHOUSES.get(connection.platform)
    if known is None:
        of, expected = connection.platform, " or ".join(sorted(WAREHOUSES))
        raise QueryError(f"the connection '{name}' is of type {of}; expected {expected}")
    return connection, known


def _write_parquet(project: Project, sql: str, limit: int | None, name: str | None) -> None:
    """Write what a query returns to stdout, as a Parquet file. Raises QueryError, WarehouseError,
    SourceError."""
    connection, known = _asked(project, name)
    if known.to_parquet is None:
        raise QueryError(
            f"the connection '{connection.name}' is of type {connection.platform}; only rows of "
            "duckdb can be written as parquet; choose csv or json"
        )
    if sys.stdout.isatty():
        raise QueryError("a Parquet file is not for a terminal; add `> file.parquet`")
    sql = _here(project, sql, connection.name)
    with TemporaryDirectory() as folder:
        path = Path(folder).resolve() / "rows.parquet"
        known.to_parquet(connection, sql, limit, tell, path)
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


def print_table(console: Console, names: list[str], rows: Rows, title: str | None = None) -> None:
    """Print rows for people, numbers to the right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    numbers = {
        position
        for position in range(len(names))
        if any(isinstance(row[position], int | float | Decimal) for row in rows)
    }
    texts = [[shown(value) for value in row] for row in rows]
    print_rows(console, table, names, texts, to_the_right=numbers)


def _distinct(names: Sequence[str]) -> list[str]:
    """Keys for a record: a, a_1, ... where a query gives one name to several columns."""
    keys: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in count(1))
        keys.append(next(key for key in chain([name], numbered) if key not in keys))
    return keys
