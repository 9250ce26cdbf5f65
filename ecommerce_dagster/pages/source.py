"""What a report reads: tables of the warehouse, and what Dagster knows of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from ecommerce_dagster.bruin.model.connections import Connection
from ecommerce_dagster.bruin.schema_prefix import own_tables, prefixed_sql
from ecommerce_dagster.runtime.asset_state import AssetState
from ecommerce_dagster.sql.used_tables import key_of, used_tables
from ecommerce_dagster.warehouses.place import open_place
from ecommerce_dagster.warehouses.query import ALL_TABLES

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """The rows of a query, or why there are none, and the assets whose tables it reads."""

    rows: Sequence[Row] = ()
    missing: str = ""
    tables: Sequence[str] = ()

    @property
    def first(self) -> Row:
        """The only row; empty without one."""
        return self.rows[0] if self.rows else {}


@dataclass(frozen=True)
class Source:
    """An open warehouse, the pipeline's variables, and the state of the assets above the report.

    Without Dagster, as under Bruin's own command, nothing is known of the assets.
    """

    connection: duckdb.DuckDBPyConnection
    assets: Sequence[AssetState] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    schema_prefix: str = ""

    def ask(self, sql: str) -> Answer:
        """What a query returns. A table or column that is not there is an answer as well."""
        known = [asset.name for asset in self.assets]
        used = {use.key for use in used_tables(self.connection, sql) or ()}
        tables = [name for name in known if key_of(name) in used]
        try:
            cursor = self.connection.execute(self._here(sql, known))
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            return Answer(missing=str(error).splitlines()[0], tables=tables)
        names = [str(column[0]) for column in cursor.description or []]
        return Answer([dict(zip(names, row, strict=True)) for row in cursor.fetchall()], "", tables)

    def _here(self, sql: str, known: Sequence[str]) -> str:
        """A query over the tables of the environment: where it has its own, over those."""
        if not self.schema_prefix:
            return sql
        there = [str(name) for (name,) in self.connection.execute(ALL_TABLES).fetchall()]
        own = own_tables(known, self.schema_prefix, there)
        return prefixed_sql(sql, self.schema_prefix, own)


@contextmanager
def source_from_environment(connection: str) -> Iterator[Source]:
    """The source of a report that runs as a Python asset.

    `connection` is the variable that its header injects the warehouse as
    (`secrets: [{key: duckdb-default, inject_as: WAREHOUSE}]`). Raises WarehouseError,
    UnusableConnection.
    """
    settings = json.loads(os.environ[connection])
    # Its paths count from the folder of .bruin.yml, in which the file runs.
    declared = Connection(connection, "duckdb", settings, Path.cwd() / ".bruin.yml", 1)
    told = os.environ.get("ECOMMERCE_UPSTREAM")
    states = json.loads(Path(told).read_text(encoding="utf-8")) if told else []
    with open_place(declared.duckdb(None), read_only=True, on_wait=print) as warehouse:
        yield Source(
            warehouse,
            [AssetState.from_plain(state) for state in states],
            json.loads(os.environ.get("BRUIN_VARS") or "{}"),
            os.environ.get("BRUIN_SCHEMA_PREFIX", ""),
        )
