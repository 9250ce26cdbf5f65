"""`ecommerce query`: rows of the warehouse, read-only."""

from __future__ import annotations

import csv
import json
import sys
from datetime import date, datetime
from typing import Any

import duckdb
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ecommerce_dagster.bruin.connections import default_connection_name
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.resources import variables_for
from ecommerce_dagster.warehouse.database import open_warehouse
from ecommerce_dagster.warehouse.identifiers import relation

Rows = list[tuple[Any, ...]]


class QueryError(Exception):
    """A query that the warehouse refuses."""


def show_rows(
    project: Project, sql: str | None, table: str | None, limit: int, output: str
) -> None:
    """Print what a query, or a table, holds. Raises QueryError, WarehouseError."""
    names, rows, more = fetch(project, sql or f"FROM {relation(table or '')}", limit)
    if output == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(names)
        writer.writerows(rows)
    elif output == "json":
        records = [dict(zip(names, map(_plain, row), strict=True)) for row in rows]
        print(json.dumps(records, indent=2, ensure_ascii=False))
    else:
        Console().print(as_table(names, rows))
    if more:
        print(f"more than {limit} rows; --limit shows more of them", file=sys.stderr)


def fetch(project: Project, sql: str, limit: int) -> tuple[list[str], Rows, bool]:
    """The column names and at most `limit` rows of a query, and whether there are more."""
    name = default_connection_name("duckdb", project.pipeline.default_connections)
    connection = project.connections.get(name)
    path = connection.duckdb(variables_for(project.connections.path)).path
    with open_warehouse(path, read_only=True, on_wait=lambda m: print(m, file=sys.stderr)) as duck:
        try:
            cursor = duck.execute(sql)
            rows = cursor.fetchmany(limit + 1) if cursor.description else []
        except duckdb.Error as error:
            raise QueryError(str(error)) from None
        names = [str(column[0]) for column in cursor.description or []]
    return names, rows[:limit], len(rows) > limit


def as_table(names: list[str], rows: Rows, title: str | None = None) -> Table:
    """Rows for a terminal, numbers to the right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for position, name in enumerate(names):
        numeric = any(
            isinstance(row[position], int | float) or _is_decimal(row[position]) for row in rows
        )
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row))
    return table


def _is_decimal(value: Any) -> bool:
    return type(value).__name__ == "Decimal"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        return value
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
