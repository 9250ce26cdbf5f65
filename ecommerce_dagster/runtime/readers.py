"""Who reads the rows of an ingestr asset, by the platform of its source.

To add a source: write a `Request` in ingestion/ (see docs/extending.md), and an entry of READERS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ecommerce_dagster.bruin.model.connections import Connection
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.runtime.asset_run import AssetRun
from ecommerce_dagster.sources.duckdb_file import DuckDBIngestion
from ecommerce_dagster.sources.parameters import is_reconcilable
from ecommerce_dagster.sources.postgres.ingest import Ingestion, ViaDuckDB
from ecommerce_dagster.sources.postgres.into_postgres import CopyIngestion
from ecommerce_dagster.warehouses.base import Writer

Reader = Callable[[AssetRun, Connection], Writer]


def reading(run: AssetRun) -> Writer:
    """What reads the source of an ingestr asset in this run."""
    source = run.project.connections.get(run.asset.parameter("source_connection"))
    return READERS[source.platform](run, source)


def _how(run: AssetRun) -> tuple[Interval | None, bool, bool]:
    """Which rows a request takes."""
    return run.source_window, run.full_refresh, is_reconcilable(run.asset) and run.reconcile


def _from_duckdb(run: AssetRun, source: Connection) -> Writer:
    return DuckDBIngestion(run.asset, run.place_called(source.name), *_how(run))


def _from_postgres(run: AssetRun, source: Connection) -> Writer:
    settings = run.resource(source.name).settings()
    match run.project.platform(run.asset):
        case "duckdb":
            return Ingestion(run.asset, settings, *_how(run), run.has_one_source)
        case "postgres":
            return CopyIngestion(run.asset, settings, *_how(run), run.has_one_source)
    return ViaDuckDB(run.asset, settings, *_how(run))


READERS: Mapping[str, Reader] = {"duckdb": _from_duckdb, "postgres": _from_postgres}
