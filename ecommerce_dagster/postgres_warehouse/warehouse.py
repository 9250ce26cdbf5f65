"""Build, check, then publish in PostgreSQL: one transaction, so that nothing unchecked is ever
seen. Until it is committed, all other sessions see the table as it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import psycopg

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.ingestion.postgres import SourceError
from ecommerce_dagster.postgres_warehouse.catalog import Catalog, Table
from ecommerce_dagster.postgres_warehouse.checks import evaluate, sample
from ecommerce_dagster.postgres_warehouse.dependents import Dependents
from ecommerce_dagster.postgres_warehouse.session import ask, opened, said, take_turn
from ecommerce_dagster.postgres_warehouse.target import PostgresTarget
from ecommerce_dagster.warehouse.checks import Check, CheckResult, without_table
from ecommerce_dagster.warehouse.identifiers import actual, literal, quoted
from ecommerce_dagster.warehouse.interface import Cancellable, Fill, Published, Render, nothing
from ecommerce_dagster.warehouse.loaded import Loaded, LoadError
from ecommerce_dagster.warehouse.sql_asset import AssetError, OutsideError
from ecommerce_dagster.warehouse.table_facts import TableFacts


@dataclass(frozen=True)
class PostgresWarehouse:
    """The PostgreSQL database of a connection. `on_wait` is told what a run waits for; `views` are
    those that the pipeline makes there."""

    connection: PostgresConnection
    on_wait: Callable[[str], None] = lambda message: None
    views: Collection[str] = ()

    def publish(
        self,
        asset: Asset,
        fill: Fill,
        checks: Sequence[Check],
        render: Render,
        timeout: float | None = None,
    ) -> Published:
        """With `meta: {publish: always}` the table is committed before it is checked, as Bruin
        does."""
        only_checked = fill is nothing
        cancel = fill.cancel if isinstance(fill, Cancellable) else lambda: None
        with self._working(asset, timeout, cancel, read_only=only_checked) as catalog:
            if not only_checked:
                take_turn(catalog.session, asset.name, self.on_wait)
            rows_before = None
            # A name that cannot be is told by the fill, with its line.
            with suppress(LoadError):
                rows_before = _count(catalog, catalog.find(asset.name))
            started = time.perf_counter()
            loaded = fill(PostgresTarget(catalog, self._dependents(catalog)))
            seconds = time.perf_counter() - started - (loaded.source_seconds or 0.0)
            if asset.is_always_published:
                catalog.session.commit()
            built = _checked(catalog, asset, loaded, checks, render, seconds)
            return replace(built, rows_before=rows_before)

    def check(
        self, asset: Asset, checks: Sequence[Check], render: Render, timeout: float | None = None
    ) -> tuple[CheckResult, ...]:
        with self._working(asset, timeout, read_only=True) as catalog:
            missing = catalog.find(asset.name).kind is None
            if missing and any(check.column for check in checks):
                return without_table(asset, checks)
            return _checked(catalog, asset, Loaded(), checks, render, 0.0).results

    def moments(self, table: str, column: str, unit: str) -> list[float]:
        with opened(self.connection, read_only=True) as session:
            catalog = Catalog.of(session, self.connection.schema)
            found = catalog.find(table)
            name = quoted(actual(column, catalog.columns(found.sql)))
            rows = ask(
                session,
                f"SELECT DISTINCT extract(epoch FROM date_trunc({literal(unit)}, {name}))"
                f" FROM {found.sql} WHERE isfinite({name})",
            )
        return [float(row[0]) for row in rows]

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
            raise OutsideError(f"{at}: {said(error)}") from error
        except psycopg.Error as error:
            raise AssetError(f"{at}: {said(error)}") from error
        except SourceError as error:
            raise OutsideError(f"{at}: {error}") from error
        except LoadError as error:
            raise AssetError(f"{at}: {error}") from error


def _checked(
    catalog: Catalog,
    asset: Asset,
    loaded: Loaded,
    checks: Sequence[Check],
    render: Render,
    build_seconds: float,
) -> Published:
    """Check what was built, then commit, or leave everything as it was."""
    table = catalog.find(asset.name)
    columns = catalog.columns(table.sql)
    rows = _count(catalog, table)
    started = time.perf_counter()
    results = evaluate(catalog, table, checks, render)
    rejected = any(result.rejects for result in results) and not asset.is_always_published
    # The rows of a view may take long.
    facts = _facts(catalog, table) if rows is not None and not rejected else TableFacts()
    if rejected:
        catalog.session.rollback()
    else:
        catalog.session.commit()
    check_seconds = time.perf_counter() - started
    return Published(
        not rejected,
        results,
        loaded,
        rows,
        columns,
        build_seconds,
        check_seconds,
        facts=facts,
    )


def _count(catalog: Catalog, table: Table) -> int | None:
    """The rows of a table; None when there is none, or a view."""
    if table.kind in {None, "view"}:
        return None
    return int(ask(catalog.session, f"SELECT count(*) FROM {table.sql}")[0][0])


def _facts(catalog: Catalog, table: Table) -> TableFacts:
    """What is worth knowing besides. Nothing here fails a build."""
    preview = sample(catalog, f"SELECT * FROM {table.sql}")
    ((size,),) = ask(catalog.session, "SELECT pg_total_relation_size(to_regclass(%s))", table.sql)
    return TableFacts(size, preview)
