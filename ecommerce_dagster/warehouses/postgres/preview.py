"""The statements that a build would run in PostgreSQL, without running any of them.

They come from the code that makes them for a run. What that code asks a database, a `SchemaSource`
answers: PostgreSQL itself, which tells the columns of a query without running it, or, where it
cannot be asked, the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NoReturn, Protocol

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.errors import UnlocatedError
from ecommerce_dagster.sql.checks import Check
from ecommerce_dagster.sql.dialect import POSTGRES
from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.load_result import LoadResult
from ecommerce_dagster.sql.parser_log import without_remarks
from ecommerce_dagster.sql.plan import Job, WriteOptions
from ecommerce_dagster.sql.postgres_types import PostgresTypes, supposed_types
from ecommerce_dagster.sql.statements import only_query, runnable
from ecommerce_dagster.sql.strategies import ddl
from ecommerce_dagster.warehouses.base import Watermark
from ecommerce_dagster.warehouses.postgres.bind_errors import BindError, columns_or_error
from ecommerce_dagster.warehouses.postgres.catalog import (
    STAGE,
    STAGED,
    Catalog,
    Names,
    Table,
    parts,
)
from ecommerce_dagster.warehouses.postgres.check_sql import ColumnRules
from ecommerce_dagster.warehouses.postgres.script import DIALECT
from ecommerce_dagster.warehouses.postgres.session import opened
from ecommerce_dagster.warehouses.sql_asset import SqlBuild

# As long as one likes to wait for something that is only looked at.
_PATIENCE = 2


class SchemaSource(Names, Protocol):
    """Who knows the tables, and the columns of a query."""

    def has_schema(self, name: str) -> bool: ...

    def types(self, written: Iterable[str]) -> PostgresTypes:
        """PostgreSQL's types, with those that a file has `written` so."""
        ...

    def returned(self, asset: Asset, query: str) -> dict[str, str]:
        """The columns of a query and their types. Raises UnknownColumns."""
        ...


class UnknownColumns(UnlocatedError):
    """The columns of a query are unknown; the text says why."""


@dataclass(frozen=True)
class Server:
    """A database that answers."""

    catalog: Catalog

    def find(self, name: str) -> Table:
        return self.catalog.find(name)

    def columns(self, relation: str) -> dict[str, str]:
        return self.catalog.columns(relation)

    def has_schema(self, name: str) -> bool:
        return self.catalog.has_schema(name)

    def types(self, written: Iterable[str]) -> PostgresTypes:
        return self.catalog.types(written)

    def returned(self, asset: Asset, query: str) -> dict[str, str]:
        """The columns of a query by name, with their types. Raises UnknownColumns."""
        found = columns_or_error(self.catalog.session, query)
        if isinstance(found, BindError):
            raise UnknownColumns(f"PostgreSQL: {found.message}")
        return dict(found)


@dataclass(frozen=True)
class Files:
    """What stands in the files, where no database can be asked. `schema` is that of names without
    one; a type that no file says is an empty text."""

    schema: str

    def find(self, name: str) -> Table:
        schema, table = parts(name, self.schema)
        return Table(schema.lower(), table.lower())

    def columns(self, relation: str) -> dict[str, str]:
        return {}

    def has_schema(self, name: str) -> bool:
        return False

    def types(self, written: Iterable[str]) -> PostgresTypes:
        return PostgresTypes(supposed_types(written))

    def returned(self, asset: Asset, query: str) -> dict[str, str]:
        """The columns of a query by name, with their types as far as the file says them. Raises
        UnknownColumns."""
        names = _names_in(query) or [column.name for column in asset.columns]
        if not names:
            raise UnknownColumns("neither the query nor the file names the columns")
        types = self.types(column.type for column in asset.columns)
        known = {c.name.lower(): types.known(c.type) or "" for c in asset.columns}
        key = asset.materialization.incremental_key or ""
        known.setdefault(key.lower(), "timestamp without time zone")
        return {name: known.get(name.lower(), "") for name in names}


@contextmanager
def asked(connection: PostgresConnection) -> Iterator[SchemaSource]:
    """A database as a witness. Raises SourceError when it cannot be reached."""
    with opened(connection, read_only=True, patience=_PATIENCE) as session:
        yield Server(Catalog.of(session, connection.schema))


def check_sql(witness: Names, asset: Asset, check: Check) -> str:
    """The query for the rows that break a column check."""
    table = witness.find(asset.name)
    return ColumnRules(witness, table, witness.columns(table.sql)).bad_rows(check)


def runs_of(build: SqlBuild, witness: SchemaSource) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a run does while there is no such table, and what one does when it is there. Raises
    AssetError, and UnknownColumns."""
    first, later = (build(_Preview(witness, is_first=is_first)) for is_first in (True, False))
    return first.statements, later.statements


@dataclass(frozen=True)
class _Preview:
    """A place for a table that writes down what would be done there, as a Target."""

    witness: SchemaSource
    is_first: bool
    errors: tuple[type[Exception], ...] = ()

    def error_message(self, error: Exception) -> str:
        return str(error)

    def run_script(self, text: str) -> list[str]:
        return [each.text for each in runnable(text, DIALECT)]

    def ensure_schema(self, table: str) -> None:
        """Nothing: what makes the table says it."""

    def create_view(self, asset: Asset, query: str) -> LoadResult:
        table = self._table(asset)
        gives_way = table.kind not in {None, "view"}
        drop = [f"DROP {table.kind.upper()} {table.sql}"] if table.kind and gives_way else []
        text = only_query(query, DIALECT).text
        create = f"CREATE OR REPLACE VIEW {table.sql} AS\n{text}"
        return LoadResult(statements=(*self._schema_for(table), *drop, create))

    def declare_table(self, asset: Asset) -> LoadResult:
        table, types = self._table(asset), self.witness.types(ddl.declared_types(asset))
        existing = None if self.is_first else self._existing(table)
        if not self.is_first and existing is None:
            return LoadResult()
        plan = ddl.declaration(table.sql, asset, existing, types)
        return LoadResult(statements=(*self._schema_for(table), *plan.statements))

    def fill_from_query(self, asset: Asset, query: str, how: WriteOptions) -> LoadResult:
        text = only_query(query, DIALECT).text
        incoming = self.witness.returned(asset, text)
        table, types = self._table(asset), self.witness.types(c.type for c in asset.columns)
        existing = None if self.is_first else self._existing(table)
        if not self.is_first and existing is None:
            first = Job(asset, how, table.sql, None, None, STAGED, POSTGRES, types)
            fills = dict.fromkeys(first.strategy.fills, "")
            existing = {c.name: c.type for c in first.plan(incoming).columns} | fills
            table = Table(table.schema, table.name, "table")
        job = Job(asset, how, table.sql, table.kind, existing, STAGED, POSTGRES, types)
        plan = job.plan(incoming)
        steps = (
            *self._schema_for(table),
            f"{STAGE}\n{text}",
            *plan.statements,
        )
        return LoadResult(statements=steps)

    def fill_from_rows(
        self, asset: Asset, reader: duckdb.DuckDBPyConnection, rows: str, how: WriteOptions
    ) -> NoReturn:
        raise NotImplementedError

    def reader(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        raise NotImplementedError

    def columns(self, table: str) -> dict[str, str]:
        return self.witness.columns(self.witness.find(table).sql)

    def watermark(
        self, table: str, key: str, infinities: Sequence[str], until: str | None = None
    ) -> Watermark | None:
        return None

    def _table(self, asset: Asset) -> Table:
        found = self.witness.find(asset.name)
        return Table(found.schema, found.name) if self.is_first else found

    def _existing(self, table: Table) -> Mapping[str, str] | None:
        return self.witness.columns(table.sql) if table.kind == "table" else None

    def _schema_for(self, table: Table) -> list[str]:
        if not self.is_first or self.witness.has_schema(table.schema):
            return []
        return [f"CREATE SCHEMA IF NOT EXISTS {quoted(table.schema)}"]


@without_remarks()
def _names_in(query: str) -> list[str] | None:
    """The names of the columns of a query; None when its text does not tell."""
    import sqlglot
    from sqlglot import exp

    try:
        parsed = sqlglot.parse_one(query, read=DIALECT)
    except sqlglot.errors.SqlglotError:
        return None
    if not isinstance(parsed, exp.Query) or parsed.is_star:
        return None
    names = parsed.named_selects
    return names if names and all(names) else None
