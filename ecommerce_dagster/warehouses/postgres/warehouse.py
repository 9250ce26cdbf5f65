"""Build, check, then publish in PostgreSQL: one transaction, so that nothing unchecked is ever
seen. Until it is committed, all other sessions see the table as it was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sql.checks import Check, CheckResult, without_table
from ecommerce_dagster.sql.column_names import meant
from ecommerce_dagster.sql.comments import Comments, comment_statements
from ecommerce_dagster.sql.dialect import POSTGRES
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.warehouses.base import (
    BuildResult,
    Cancellable,
    Render,
    Writer,
    despite,
    nothing,
)
from ecommerce_dagster.warehouses.postgres.catalog import Catalog, Table
from ecommerce_dagster.warehouses.postgres.checks import PostgresTable
from ecommerce_dagster.warehouses.postgres.connect import SourceError
from ecommerce_dagster.warehouses.postgres.dependent_views import Dependents
from ecommerce_dagster.warehouses.postgres.rows_by_time import moments_in
from ecommerce_dagster.warehouses.postgres.session import (
    ask,
    briefly_waiting,
    error_message,
    lock_table,
    opened,
    run,
    was_committed,
)
from ecommerce_dagster.warehouses.postgres.target import PostgresTarget
from ecommerce_dagster.warehouses.publish import publish
from ecommerce_dagster.warehouses.query import ALL_TABLES
from ecommerce_dagster.warehouses.run_checks import run_checks, sample
from ecommerce_dagster.warehouses.sql_asset import AssetError, OutsideError
from ecommerce_dagster.warehouses.table_facts import TableFacts


@dataclass(frozen=True)
class PostgresWarehouse:
    """The PostgreSQL database of a connection. `on_wait` is called with what a run waits for;
    `views` are those that the pipeline makes there."""

    connection: PostgresConnection
    on_wait: Callable[[str], None] = lambda message: None
    views: Collection[str] = ()

    def publish(
        self,
        asset: Asset,
        fill: Writer,
        checks: Sequence[Check],
        render: Render,
        timeout: float | None = None,
    ) -> BuildResult:
        only_checked = fill is nothing
        cancel = fill.cancel if isinstance(fill, Cancellable) else lambda: None
        done: list[BuildResult] = []
        try:
            with self._working(asset, timeout, cancel, read_only=only_checked) as catalog:
                if not only_checked:
                    lock_table(catalog.session, asset.name, self.on_wait)
                dependents = self._dependents(catalog)
                transaction = _Transaction(self.connection, catalog, asset, dependents)
                done += [publish(transaction, asset, fill, checks, render)]
        except Exception as error:
            return despite(error, done)
        return done[0]

    def check(
        self, asset: Asset, checks: Sequence[Check], render: Render, timeout: float | None = None
    ) -> tuple[CheckResult, ...]:
        with self._working(asset, timeout, read_only=True) as catalog:
            missing = catalog.find(asset.name).kind is None
            if missing and any(check.reads_rows for check in checks):
                return without_table(asset, checks)
            transaction = _Transaction(self.connection, catalog, asset, Dependents(catalog))
            return transaction.results(checks, render)

    def moments(
        self, table: str, column: str, unit: str, window: Interval | None = None
    ) -> dict[float, int]:
        with opened(self.connection, read_only=True) as session:
            catalog = Catalog.of(session, self.connection.schema)
            found = catalog.find(table)
            columns = catalog.columns(found.sql)
            name = meant(column, columns) or column
            is_time = POSTGRES.is_time(columns[name])
            return moments_in(session, found.sql, name, unit, window, is_time=is_time)

    def tables(self) -> set[str]:
        with opened(self.connection, read_only=True) as session:
            return {str(row[0]) for row in ask(session, ALL_TABLES)}

    def columns_of(self, names: Iterable[str]) -> dict[str, list[str]]:
        with opened(self.connection, read_only=True) as session:
            catalog = Catalog.of(session, self.connection.schema)
            found = {name: list(catalog.columns(catalog.find(name).sql)) for name in names}
        return {name: columns for name, columns in found.items() if columns}

    def _dependents(self, catalog: Catalog) -> Dependents:
        """Those of the database of `catalog`, where names without a schema are in its schema."""
        names = (v if "." in v else f"{catalog.schema}.{v}" for v in self.views)
        return Dependents(catalog, frozenset(name.lower() for name in names))

    @contextmanager
    def _working(
        self,
        asset: Asset,
        timeout: float | None,
        cancel: Callable[[], None] = lambda: None,
        *,
        read_only: bool,
    ) -> Iterator[Catalog]:
        """A session for the asset. What PostgreSQL refuses is an error of the asset."""
        at = f"{asset.path}:{asset.line}"
        try:
            with opened(
                self.connection, read_only=read_only, timeout=timeout, cancel=cancel
            ) as session:
                yield Catalog.of(session, self.connection.schema)
        except psycopg.OperationalError as error:
            raise OutsideError(f"{at}: {error_message(error)}") from error
        except psycopg.Error as error:
            raise AssetError(f"{at}: {error_message(error)}") from error
        except SourceError as error:
            raise OutsideError(f"{at}: {error}") from error
        except LoadError as error:
            raise AssetError(f"{at}: {error}") from error


@dataclass(frozen=True)
class _Transaction:
    """The transaction of a session that a connection has opened."""

    connection: PostgresConnection
    catalog: Catalog
    asset: Asset
    dependents: Dependents
    autocommits = False

    @property
    def target(self) -> PostgresTarget:
        return PostgresTarget(self.catalog, self.dependents)

    @property
    def _table(self) -> Table:
        return self.catalog.find(self.asset.name)

    def begin(self) -> None:
        # The session is in a transaction already.
        pass

    def shape(self) -> tuple[int | None, dict[str, str]]:
        table, session = self._table, self.catalog.session
        columns = self.catalog.columns(table.sql)
        if table.kind in {None, "view"}:
            return None, columns
        ((rows,),) = ask(session, f"SELECT count(*) FROM {table.sql}")
        return int(rows), columns

    def comments(self) -> Comments:
        return self.catalog.comments(self._table.sql)

    def comment(self, comments: Comments) -> None:
        """Only the owner of a table may. Others, a VACUUM for one, are not waited for."""
        table, session = self._table, self.catalog.session
        statements = comment_statements((table.kind or "table").upper(), table.sql, comments)
        try:
            with session.transaction(), briefly_waiting(session):
                for statement in statements:
                    run(session, statement)
        except psycopg.Error as error:
            if session.closed:
                raise
            raise LoadError(error_message(error)) from error

    def results(self, checks: Sequence[Check], render: Render) -> tuple[CheckResult, ...]:
        # All rows are looked at.
        checks = [replace(check, among=None) for check in checks]
        return run_checks(PostgresTable(self.catalog, self._table), checks, render)

    def commit(self, *, is_table: bool) -> TableFacts:
        """The facts come first: afterwards they would wait for others who change the table."""
        facts = self._facts() if is_table else TableFacts()
        number = self.number()
        try:
            self.catalog.session.commit()
        except psycopg.OperationalError as error:
            if number is None or not self._is_committed(number, error):
                raise
        return facts

    def _is_committed(self, number: int, error: psycopg.Error) -> bool:
        """Whether this transaction was committed although its session was lost. Raises AssetError
        when that cannot be known: another try could add the rows once more."""
        try:
            return was_committed(self.connection, number)
        except SourceError as unknown:
            raise AssetError(
                f"{self.asset.path}:{self.asset.line}: the connection was lost in the commit; it"
                f" is not known whether the new rows of {self.asset.name} are public: {unknown}"
            ) from error

    def roll_back(self) -> None:
        self.catalog.session.rollback()

    def recovers(self, error: BaseException) -> bool:
        # Who ends the session undoes all of it.
        return False

    def _facts(self) -> TableFacts:
        table, session = self._table, self.catalog.session
        try:
            with session.transaction():
                preview = sample(PostgresTable(self.catalog, table), f"SELECT * FROM {table.sql}")
                size = "SELECT pg_total_relation_size(to_regclass(%s))"
                ((found,),) = ask(session, size, table.sql)
                return TableFacts(found, preview)
        except Exception:
            if session.closed:
                raise
            return TableFacts()

    def number(self) -> int | None:
        # One that only reads has none: it is refused all else.
        if self.catalog.session.read_only:
            return None
        ((number,),) = ask(self.catalog.session, "SELECT txid_current()")
        return int(number)
