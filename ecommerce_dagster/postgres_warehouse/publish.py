"""Build, check, then publish in PostgreSQL: one transaction, so that nothing unchecked is ever
seen. Until it is committed, all other sessions see the table as it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.ingestion.postgres import SourceError
from ecommerce_dagster.postgres_warehouse.build import SqlBuild
from ecommerce_dagster.postgres_warehouse.catalog import Catalog
from ecommerce_dagster.postgres_warehouse.checks import evaluate
from ecommerce_dagster.postgres_warehouse.seed import SeedBuild
from ecommerce_dagster.postgres_warehouse.session import ask, opened, said, take_turn
from ecommerce_dagster.warehouse.checks import Check, CheckResult, failed_to_run
from ecommerce_dagster.warehouse.load import Loaded, LoadError
from ecommerce_dagster.warehouse.publish import Published
from ecommerce_dagster.warehouse.sql_asset import AssetError

Render = Callable[[str], str]
Fill = Callable[[Catalog], Loaded]


def publish_in_postgres(
    connection: PostgresConnection,
    asset: Asset,
    checks: Sequence[Check],
    render: Render,
    *,
    window: Interval | None = None,
    full_refresh: bool = False,
    strict_window: bool = False,
    root: Path = Path(),
    timeout: float | None = None,
) -> Published:
    """Build the table of a pg.sql or pg.seed asset, and check it; commit unless a blocking check
    fails. Of a pg.source only the checks run.

    `root` is the project's folder, in which the files of seeds are; `timeout` is in seconds. With
    `meta: {publish: always}` the table is committed before it is checked, as Bruin does. Raises
    AssetError, TimeLimitError.
    """
    fills: dict[str, Fill] = {
        "pg.sql": SqlBuild(asset, render, window, full_refresh, strict_window),
        "pg.seed": SeedBuild(asset, root),
    }
    fill = fills.get(asset.type)
    if fill is None:
        if not checks:
            return Published(True, (), Loaded(), None, {}, 0.0, 0.0)
        with _working(connection, asset, read_only=True, timeout=timeout) as catalog:
            return _checked(catalog, asset, Loaded(), checks, render, 0.0)
    with _working(connection, asset, timeout=timeout) as catalog:
        take_turn(catalog.session, asset.name)
        started = time.perf_counter()
        loaded = fill(catalog)
        seconds = time.perf_counter() - started
        if asset.meta.get("publish") == "always":
            catalog.session.commit()
        return _checked(catalog, asset, loaded, checks, render, seconds)


def check_in_postgres(
    connection: PostgresConnection,
    asset: Asset,
    checks: Sequence[Check],
    render: Render,
    *,
    timeout: float | None = None,
) -> tuple[CheckResult, ...]:
    """Run checks on the table as it stands. Raises AssetError, TimeLimitError."""
    with _working(connection, asset, read_only=True, timeout=timeout) as catalog:
        missing = catalog.find(asset.name).kind is None
        if missing and any(check.column for check in checks):
            message = f"{asset.name} does not exist yet; materialize it first"
            return tuple(failed_to_run(check, message) for check in checks)
        return _checked(catalog, asset, Loaded(), checks, render, 0.0).results


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
    rows = None
    if table.kind not in {None, "view"}:
        ((rows,),) = ask(catalog.session, f"SELECT count(*) FROM {table.sql}")
    started = time.perf_counter()
    results = evaluate(catalog, table, checks, render)
    rejected = any(result.rejects for result in results) and asset.meta.get("publish") != "always"
    if rejected:
        catalog.session.rollback()
    else:
        catalog.session.commit()
    check_seconds = time.perf_counter() - started
    return Published(not rejected, results, loaded, rows, columns, build_seconds, check_seconds)


@contextmanager
def _working(
    connection: PostgresConnection,
    asset: Asset,
    *,
    read_only: bool = False,
    timeout: float | None = None,
) -> Iterator[Catalog]:
    """A session for the asset. What PostgreSQL refuses is an error of the asset."""
    at = f"{asset.path}:{asset.line}"
    try:
        with opened(connection, read_only=read_only, timeout=timeout) as session:
            try:
                yield Catalog.of(session, connection.schema)
            except psycopg.Error as error:
                raise AssetError(f"{at}: {said(error)}") from error
    except (LoadError, SourceError) as error:
        raise AssetError(f"{at}: {error}") from error
