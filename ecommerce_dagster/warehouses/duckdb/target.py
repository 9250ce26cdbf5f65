"""DuckDB as the place where the table of an asset is made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.identifiers import relation
from ecommerce_dagster.sql.load_result import LoadResult
from ecommerce_dagster.sql.plan import WriteOptions
from ecommerce_dagster.warehouses.base import Watermark, watermark_query
from ecommerce_dagster.warehouses.duckdb import script
from ecommerce_dagster.warehouses.duckdb.database import described, kind_of, roll_back
from ecommerce_dagster.warehouses.duckdb.load import (
    declare_table,
    ensure_schema,
    load_table,
    refuse_outside,
)
from ecommerce_dagster.warehouses.duckdb.match_by_position import by_position
from ecommerce_dagster.warehouses.duckdb.stored_types import nothing_lost

QUERY = "_query"
_PICTURE = re.compile(r"\n+LINE \d+: [^\n]*\n *\^")


@dataclass(frozen=True)
class DuckDBTarget:
    """A DuckDB connection inside a transaction, as a Target.

    `autocommit`: scripts and hooks are no part of the transaction. What came before them is
    committed.
    """

    connection: duckdb.DuckDBPyConnection
    autocommit: bool = False
    errors = (duckdb.Error,)

    def error_message(self, error: Exception) -> str:
        """Without DuckDB's picture of the line, unless the error is one of binding or syntax: for
        others, of a value for one, it shows a line of ours and not of the file."""
        is_written = isinstance(error, duckdb.BinderException | duckdb.ParserException)
        return (str(error) if is_written else _PICTURE.sub("", str(error))).strip()

    def run_script(self, text: str) -> list[str]:
        guarded = partial(nothing_lost, self.connection)
        if not self.autocommit:
            return script.run(self.connection, text, guarded=guarded)
        self.connection.execute("COMMIT")
        done = script.run(self.connection, text, outside=True, guarded=guarded)
        roll_back(self.connection)  # of a transaction that the script left open
        self.connection.execute("BEGIN")
        return done

    def ensure_schema(self, table: str) -> None:
        ensure_schema(self.connection, table)

    def create_view(self, asset: Asset, query: str) -> LoadResult:
        ensure_schema(self.connection, asset.name)
        name = relation(asset.name)
        steps: list[str] = []
        if kind_of(self.connection, asset.name) == "table":
            steps.append(f"DROP TABLE {name}")
            self.connection.execute(steps[0])
        steps.append(script.create(self.connection, f"CREATE OR REPLACE VIEW {name} AS", query))
        return LoadResult(statements=tuple(steps), is_new=True)

    def declare_table(self, asset: Asset) -> LoadResult:
        return declare_table(self.connection, asset)

    def fill_from_query(self, asset: Asset, query: str, how: WriteOptions) -> LoadResult:
        rows, staged = self.stage(query)
        if asset.is_refresh_restricted or not how.full_refresh:
            rows = by_position(self.connection, asset, rows, how.strategy)
        loaded = self.fill_from_rows(asset, self.connection, rows, how)
        if how.only_window and how.window is not None:
            written = loaded.rows_written or 0
            refuse_outside(self.connection, asset, rows, how.window, written)
        return replace(loaded, statements=(staged, *loaded.statements))

    def stage(self, query: str) -> tuple[str, str]:
        """Give a query a name to read it by: that name as SQL, and the statement."""
        return script.stage_with_statement(self.connection, QUERY, query)

    def fill_from_rows(
        self, asset: Asset, reader: duckdb.DuckDBPyConnection, rows: str, how: WriteOptions
    ) -> LoadResult:
        return load_table(reader, asset, rows, how)

    def reader(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return nullcontext(self.connection)

    def columns(self, table: str) -> dict[str, str]:
        is_table = kind_of(self.connection, table) == "table"
        return described(self.connection, relation(table)) if is_table else {}

    def watermark(
        self, table: str, key: str, infinities: Sequence[str], until: str | None = None
    ) -> Watermark | None:
        kinds = {name.lower(): kind for name, kind in self.columns(table).items()}
        kind = kinds.get(key.lower())
        if kind is None:
            return None
        query = watermark_query(relation(table), key, infinities, until)
        (found,) = self.connection.execute(query).fetchall()
        return Watermark(kind, kind == "VARCHAR", *found)
