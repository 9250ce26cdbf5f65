"""What each `type` of asset does when it runs. To add a type: write an entry of ASSET_TYPES."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ecommerce_dagster.bruin.asset_lint import lint_query
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.neighbours import Neighbours, reached
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.ingestion.ingest import Ingestion, is_reconcilable, lint_ingestion
from ecommerce_dagster.ingestion.python_asset import (
    PythonLoad,
    environment_of,
    lint_python,
    run_python,
)
from ecommerce_dagster.ingestion.seed import Seed, lint_seed
from ecommerce_dagster.ingestion.sensor import (
    Mode,
    duckdb_says_yes,
    lint_sensor,
    postgres_has_table,
    postgres_says_yes,
    wait,
)
from ecommerce_dagster.orchestration.environment import variables_for
from ecommerce_dagster.orchestration.last_known import last_known
from ecommerce_dagster.warehouse.checks import Check
from ecommerce_dagster.warehouse.load import Loaded
from ecommerce_dagster.warehouse.publish import Fill, Published, publish
from ecommerce_dagster.warehouse.sql_asset import AssetError, SqlBuild
from ecommerce_dagster.warehouse.strategies import lint_materialization
from ecommerce_dagster.warehouse.time_limit import TimeLimitError, time_limit

if TYPE_CHECKING:
    # It needs Dagster, which those who only read the files do without.
    from ecommerce_dagster.orchestration.asset_run import AssetRun

Sources = Mapping[str, frozenset[str]]
Build = Callable[["AssetRun", Sequence[Check]], Published]

_DUCKDB = frozenset({"duckdb"})
_POSTGRES = frozenset({"postgres"})


# The beginnings of Bruin's types for warehouses, runners and dashboards that are not DuckDB's.
_ELSEWHERE = {
    "agent", "athena", "bq", "clickhouse", "couchbase", "databricks", "dataproc_serverless",
    "dremio", "emr_serverless", "fabric", "gcs", "grafana", "looker", "metabase", "ms", "mysql",
    "oracle", "pg", "powerbi", "qlik", "qlik_sense", "qlik_view", "quicksight", "r", "rs", "s3",
    "sf",
    "snowflake", "starrocks", "superset", "synapse", "tableau", "trino", "vertica",
}  # fmt: skip


@dataclass(frozen=True)
class AssetType:
    """A kind of asset.

    `build` makes and checks its table, in one run. `has_table` tells whether there is one, on a
    connection of one of the `platforms`. `sources` names the other connections that it reads.
    """

    build: Build
    kinds: frozenset[str]
    platforms: frozenset[str] = _DUCKDB
    has_table: Callable[[Asset], bool] = lambda asset: True
    sources: Callable[[Asset], Sources] = lambda asset: {}
    lint: Callable[[Asset, Path, ProblemLog], None] = lambda asset, root, log: None


def _publish(run: AssetRun, fill: Fill, checks: Sequence[Check]) -> Published:
    """Fill and check within the asset's time."""
    asset = run.asset
    with run.warehouse.get_connection() as connection:
        if isinstance(fill, Ingestion):
            fill.prepare(connection)
        try:
            with time_limit(connection, run.timeout):
                return publish(connection, asset, fill, checks, run.render)
        except TimeLimitError:
            message = f'asset "{asset.name}" timed out after {asset.timeout}'
            raise AssetError(f"{asset.path}:{asset.line}: {message}") from None


def _build_nothing(run: AssetRun, checks: Sequence[Check]) -> Published:
    """For assets that somebody else makes, or that are nothing but a name: check them."""
    if not checks:
        return Published(True, (), Loaded(), None, {}, 0.0, 0.0)
    return _publish(run, lambda connection: Loaded(), checks)


def sql_build(run: AssetRun) -> SqlBuild:
    """How a SQL asset is built in a run."""
    rebuild = run.full_refresh or run.rebuilds
    return SqlBuild(run.asset, run.render, run.window, rebuild, strict_window=run.fills_partitions)


def _build_sql(run: AssetRun, checks: Sequence[Check]) -> Published:
    return _publish(run, sql_build(run), checks)


def _build_seed(run: AssetRun, checks: Sequence[Check]) -> Published:
    return _publish(run, Seed(run.asset, run.project.root), checks)


def _build_ingestr(run: AssetRun, checks: Sequence[Check]) -> Published:
    asset = run.asset
    source = run.resource(asset.parameter("source_connection"))
    reconcile = is_reconcilable(asset) and run.reconcile
    fill = Ingestion(asset, source.settings(), run.source_window, run.full_refresh, reconcile)
    return _publish(run, fill, checks)


def _build_python(run: AssetRun, checks: Sequence[Check]) -> Published:
    """The file runs while nobody holds the warehouse; only its rows are loaded under the lock."""
    asset, project = run.asset, run.project
    connections = project.connections.by_name
    environment = environment_of(
        asset,
        run.template_context,
        schemas=project.pipeline.variables,
        connection=project.connection_name(asset),
        connection_types={name: found.platform for name, found in connections.items()},
        secrets=_secrets(project, asset),
    )
    began = time.perf_counter()
    with _told_by_dagster(run) as (variables, summary):
        folder = run_python(
            asset,
            project.root,
            environment | variables,
            on_output=run.context.log.info,
            timeout=run.timeout,
        )
        told = summary.read_text(encoding="utf-8", errors="replace") if summary.is_file() else ""
    source_seconds = time.perf_counter() - began
    if folder is None:
        return replace(_build_nothing(run, checks), summary=told)
    try:
        built = _publish(run, PythonLoad(asset, folder, run.full_refresh), checks)
        loaded = replace(built.loaded, source_seconds=source_seconds)
        return replace(built, loaded=loaded, summary=told)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _told_by_dagster(run: AssetRun) -> Iterator[tuple[dict[str, str], Path]]:
    """What a Python asset finds in its environment beside what Bruin gives it: a file that says in
    which state the assets above it are, and the name of one for its summary."""
    assets = run.project.assets
    above = set(reached([run.declared.name], Neighbours.of(assets).above)) - {run.declared.name}
    states = last_known(run.context.instance, [a for a in assets if a.name in above])
    with TemporaryDirectory(prefix="python-asset-") as name:
        upstream, summary = Path(name, "upstream.json"), Path(name, "summary.md")
        upstream.write_text(json.dumps([asdict(s) for s in states.values()]), encoding="utf-8")
        yield {"ECOMMERCE_UPSTREAM": str(upstream), "ECOMMERCE_SUMMARY": str(summary)}, summary


def _secrets(project: Project, asset: Asset) -> dict[str, str]:
    """The connections that a Python asset asks for, as JSON, by the variable it finds them in."""
    found: dict[str, str] = {}
    for secret in asset.secrets:
        connection = project.connections.get(secret.key)
        settings = connection.expanded(variables_for(connection.path))
        found[secret.inject_as or secret.key] = json.dumps(settings, default=str)
    return found


def _build_sensor(run: AssetRun, checks: Sequence[Check]) -> Published:
    """Wait without holding the warehouse: each question opens it and lets it go again."""
    asset, query = run.asset, run.render(run.asset.parameter("query"))
    mode: Mode = run.sensor_mode

    def ask() -> bool:
        if asset.type == "pg.sensor.table":
            return postgres_has_table(run.warehouse.settings(), asset.parameter("table"))
        if asset.type == "pg.sensor.query":
            return postgres_says_yes(run.warehouse.settings(), asset, query)
        with run.warehouse.get_connection() as connection:
            return duckdb_says_yes(connection, asset, query)

    wait(asset, ask, mode, run.context.log.info)
    return _build_nothing(run, checks)


def _ingestr_sources(asset: Asset) -> Sources:
    name = asset.parameter("source_connection")
    return {name: _POSTGRES} if name else {}


def _is_checked(asset: Asset) -> bool:
    return bool(asset.custom_checks or any(column.checks for column in asset.columns))


def _has_rows(asset: Asset) -> bool:
    return asset.materialization.type == "table" or _is_checked(asset)


def unsupported(project: Project, asset: Asset) -> str | None:
    """Why an asset that Bruin can run cannot run here; None when it can.

    Such an asset is shown in the graph and left out of runs; the others load without it.
    """
    if asset.type in ASSET_TYPES:
        source = project.connections.by_name.get(asset.parameter("source_connection"))
        readable = ASSET_TYPES[asset.type].sources(asset).get(source.name) if source else None
        if source is None or readable is None or source.platform in readable:
            return None
        return f"it reads from {source.platform}; supported: {', '.join(sorted(readable))}"
    if asset.type.split(".")[0] in _ELSEWHERE:
        return f"the type {asset.type} is for another platform"
    return None


def connections_of(project: Project, asset: Asset) -> dict[str, frozenset[str]]:
    """The connections that an asset needs, by name, with the platforms that will do for each."""
    kind = ASSET_TYPES[asset.type]
    own = {project.connection_name(asset): kind.platforms} if kind.has_table(asset) else {}
    return {**own, **kind.sources(asset)}


def _python_lint(asset: Asset, root: Path, log: ProblemLog) -> None:
    lint_python(asset, log)


def _sql_lint(asset: Asset, root: Path, log: ProblemLog) -> None:
    lint_query(asset, log)
    lint_materialization(asset, log)


def _kinds(*kinds: str) -> frozenset[str]:
    return frozenset(kinds)


ASSET_TYPES: dict[str, AssetType] = {
    "duckdb.sql": AssetType(_build_sql, _kinds("duckdb", "sql"), lint=_sql_lint),
    "duckdb.seed": AssetType(_build_seed, _kinds("duckdb", "csv"), lint=lint_seed),
    "duckdb.source": AssetType(_build_nothing, _kinds("duckdb", "source")),
    "duckdb.sensor.query": AssetType(
        _build_sensor, _kinds("duckdb", "sensor"), lint=lambda a, _, log: lint_sensor(a, log)
    ),
    "pg.sensor.query": AssetType(
        _build_sensor,
        _kinds("postgres", "sensor"),
        _POSTGRES,
        lint=lambda a, _, log: lint_sensor(a, log),
    ),
    "pg.sensor.table": AssetType(
        _build_sensor,
        _kinds("postgres", "sensor"),
        _POSTGRES,
        lint=lambda a, _, log: lint_sensor(a, log),
    ),
    "ingestr": AssetType(
        _build_ingestr,
        _kinds("postgres", "duckdb"),
        sources=_ingestr_sources,
        lint=lambda a, _, log: lint_ingestion(a, log),
    ),
    "python": AssetType(_build_python, _kinds("python"), has_table=_has_rows, lint=_python_lint),
    "empty": AssetType(_build_nothing, _kinds("empty"), has_table=_is_checked),
}
