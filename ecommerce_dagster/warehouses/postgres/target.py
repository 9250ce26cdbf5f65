"""PostgreSQL as the place where the table of an asset is made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace

import duckdb
import psycopg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.identifiers import actual
from ecommerce_dagster.sql.load_result import LoadResult
from ecommerce_dagster.sql.plan import WriteOptions
from ecommerce_dagster.sql.statements import ScriptError
from ecommerce_dagster.warehouses.base import Watermark, watermark_query
from ecommerce_dagster.warehouses.duckdb.scratch import scratch
from ecommerce_dagster.warehouses.postgres import script
from ecommerce_dagster.warehouses.postgres.catalog import STAGE, Catalog, Table
from ecommerce_dagster.warehouses.postgres.copy_from_duckdb import stage
from ecommerce_dagster.warehouses.postgres.ddl import declare_table
from ecommerce_dagster.warehouses.postgres.dependent_views import Dependents
from ecommerce_dagster.warehouses.postgres.load import (
    load_table,
    place_for,
    refuse_outside,
)
from ecommerce_dagster.warehouses.postgres.session import Session, ask, error_message, run


@dataclass(frozen=True)
class PostgresTarget:
    """A session of PostgreSQL inside a transaction, as a Target."""

    catalog: Catalog
    dependents: Dependents
    # Not those that come from outside, like a lost connection.
    errors = (
        psycopg.DataError,
        psycopg.IntegrityError,
        psycopg.InternalError,
        psycopg.NotSupportedError,
        psycopg.ProgrammingError,
    )

    def error_message(self, error: Exception) -> str:
        return error_message(error) if isinstance(error, psycopg.Error) else str(error)

    def run_script(self, text: str) -> list[str]:
        return script.run(self.catalog.session, text)

    def ensure_schema(self, table: str) -> None:
        self.catalog.ensure_schema(self.catalog.find(table))

    def create_view(self, asset: Asset, query: str) -> LoadResult:
        """Readers of a view wait while it is replaced, so one that is the same is left alone."""
        view, session = self.catalog.find(asset.name), self.catalog.session
        if view.kind is None:
            self.catalog.ensure_schema(view)
        script.create(session, 'CREATE TEMP VIEW "_query" AS', query)
        ((same,),) = ask(
            session,
            "SELECT pg_get_viewdef(to_regclass('pg_temp._query'))"
            " = pg_get_viewdef(to_regclass(%s))",
            view.sql,
        )
        run(session, "DROP VIEW pg_temp._query")
        if view.kind == "view" and same:
            return LoadResult()
        return self._replace_view(view, query)

    def declare_table(self, asset: Asset) -> LoadResult:
        table, changes = place_for(self.catalog, asset), list[str]()
        if table.kind != "view":
            return declare_table(
                self.catalog, asset, self.columns(asset.name) if table.kind else None
            )
        with self.dependents.recreating_dependent_views(table, changes):
            run(self.catalog.session, f"DROP VIEW {table.sql}")
            declared = declare_table(self.catalog, asset, None)
        return replace(declared, schema_changes=(*declared.schema_changes, *changes))

    def fill_from_query(self, asset: Asset, query: str, how: WriteOptions) -> LoadResult:
        staged = script.create(self.catalog.session, STAGE, query)
        loaded = self.load_staged(asset, how)
        if how.only_window and how.window is not None:
            refuse_outside(self.catalog, asset, how.window)
        return replace(loaded, statements=(staged, *loaded.statements))

    def fill_from_rows(
        self, asset: Asset, reader: duckdb.DuckDBPyConnection, rows: str, how: WriteOptions
    ) -> LoadResult:
        stage(self.catalog.session, reader, asset, rows)
        return self.load_staged(asset, how)

    def load_staged(self, asset: Asset, how: WriteOptions) -> LoadResult:
        """Fill the table from the rows that were staged."""
        return load_table(self.catalog, asset, how, self.dependents)

    def reader(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return scratch()

    def columns(self, table: str) -> dict[str, str]:
        found = self.catalog.find(table)
        return self.catalog.columns(found.sql) if found.kind == "table" else {}

    def watermark(
        self, table: str, key: str, infinities: Sequence[str], until: str | None = None
    ) -> Watermark | None:
        columns = self.columns(table)
        name = actual(key, columns)
        if name not in columns:
            return None
        kind = columns[name]
        is_text = kind == "text" or kind.startswith("character")
        # In the order of bytes, as in DuckDB, whatever the collation of the database.
        order = ' COLLATE "C"' if is_text else ""
        query = watermark_query(self.catalog.find(table).sql, name, infinities, until, order)
        (found,) = ask(self.catalog.session, query)
        return Watermark(kind, is_text, *found)

    def _replace_view(self, view: Table, query: str) -> LoadResult:
        create, session = f"CREATE OR REPLACE VIEW {view.sql} AS", self.catalog.session
        if view.kind == "view":
            # What depends on a view stays as long as its columns do.
            with suppress(_OtherColumns), session.transaction():
                return LoadResult(statements=(_create_or_replace(session, create, query),))
        if view.kind is None:
            return LoadResult(statements=(script.create(session, create, query),))
        drop, changes = f"DROP {view.kind.upper()} {view.sql}", list[str]()
        with self.dependents.recreating_dependent_views(view, changes):
            run(session, drop)
            created = script.create(session, create, query)
        return LoadResult(statements=(drop, created), schema_changes=tuple(changes))


class _OtherColumns(Exception):
    """A view cannot be replaced by one that lacks a column of it, or has it in another type."""


def _create_or_replace(session: Session, create: str, query: str) -> str:
    try:
        return script.create(session, create, query)
    except ScriptError as error:
        if isinstance(error.__cause__, psycopg.errors.InvalidTableDefinition):
            raise _OtherColumns from error
        raise
