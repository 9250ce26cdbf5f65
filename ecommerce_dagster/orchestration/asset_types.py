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
from ecommerce_dagster.bruin.neighbours import reached
from ecommerce_dagster.bruin.platforms import PLATFORMS, TYPES
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project, platform_said
from ecommerce_dagster.ingestion.parameters import lint_ingestion, unmaskable
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
from ecommerce_dagster.orchestration.names import slug
from ecommerce_dagster.orchestration.readers import READERS, reading
from ecommerce_dagster.orchestration.warehouses import WAREHOUSES
from ecommerce_dagster.warehouse.checks import Check
from ecommerce_dagster.warehouse.interface import Fill, Published, nothing
from ecommerce_dagster.warehouse.loaded import Loaded
from ecommerce_dagster.warehouse.sql_asset import AssetError, SqlBuild
from ecommerce_dagster.warehouse.time_limit import TimeLimitError

if TYPE_CHECKING:
    # It needs Dagster, which those who only read the files do without.
    from ecommerce_dagster.orchestration.asset_run import AssetRun

Sources = Mapping[str, frozenset[str]]
Build = Callable[["AssetRun", Sequence[Check]], Published]
Lint = Callable[[Asset, Path, ProblemLog], None]

_ALL = frozenset(PLATFORMS)

# The beginnings of Bruin's types for warehouses, runners and dashboards that are none of ours.
_ELSEWHERE = {
    "agent", "athena", "bq", "clickhouse", "couchbase", "databricks", "dataproc_serverless",
    "dremio", "emr_serverless", "fabric", "gcs", "grafana", "looker", "metabase", "ms", "mysql",
    "oracle", "powerbi", "qlik", "qlik_sense", "qlik_view", "quicksight", "r", "rs", "s3",
    "sf",
    "snowflake", "starrocks", "superset", "synapse", "tableau", "trino", "vertica",
}  # fmt: skip


@dataclass(frozen=True)
class AssetType:
    """A kind of asset, and `kind` the word for it in the graph.

    `build` makes and checks its table, in one run. `has_table` tells whether there is one, on a
    connection of one of the `platforms`. `sources` names the other connections that it reads.
    """

    build: Build
    kind: str
    platforms: frozenset[str] = _ALL
    has_table: Callable[[Asset], bool] = lambda asset: True
    sources: Callable[[Asset], Sources] = lambda asset: {}
    lint: Lint = lambda asset, root, log: None


@contextmanager
def in_time(run: AssetRun) -> Iterator[None]:
    """An asset whose time is over fails with a message of its own."""
    try:
        yield
    except TimeLimitError:
        asset = run.asset
        message = f'asset "{asset.name}" timed out after {asset.timeout}'
        raise AssetError(f"{asset.path}:{asset.line}: {message}") from None


def _publish(run: AssetRun, fill: Fill, checks: Sequence[Check]) -> Published:
    """Fill and check within the asset's time."""
    with in_time(run):
        return run.warehouse.publish(run.asset, fill, checks, run.render, run.timeout)


def _build_nothing(run: AssetRun, checks: Sequence[Check]) -> Published:
    """For assets that somebody else makes, or that are nothing but a name: check them."""
    if not checks:
        return Published(True, (), Loaded(), None, {}, 0.0, 0.0)
    return _publish(run, nothing, checks)


def sql_build(run: AssetRun) -> SqlBuild:
    """How a SQL asset is built in a run."""
    rebuild = run.full_refresh or run.rebuilds
    return SqlBuild(run.asset, run.render, run.window, rebuild, strict_window=run.fills_partitions)


def _build_sql(run: AssetRun, checks: Sequence[Check]) -> Published:
    return _publish(run, sql_build(run), checks)


def _build_seed(run: AssetRun, checks: Sequence[Check]) -> Published:
    return _publish(run, Seed(run.asset, run.project.root), checks)


def _build_ingestr(run: AssetRun, checks: Sequence[Check]) -> Published:
    return _publish(run, reading(run), checks)


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
    above = set(reached([run.declared.name], run.project.neighbours.above)) - {run.declared.name}
    states = last_known(run.context.instance, [a for a in assets if a.name in above])
    with TemporaryDirectory(prefix="python-asset-") as name:
        upstream, summary = Path(name, "upstream.json"), Path(name, "summary.md")
        upstream.write_text(json.dumps([asdict(s) for s in states.values()]), encoding="utf-8")
        yield {"ECOMMERCE_UPSTREAM": str(upstream), "ECOMMERCE_SUMMARY": str(summary)}, summary


def _secrets(project: Project, asset: Asset) -> dict[str, str]:
    """The connections that a Python asset asks for, by the variable it finds them in: as JSON, of a
    `generic` one its value alone."""
    found: dict[str, str] = {}
    for secret in asset.secrets:
        connection = project.connections.get(secret.key)
        settings = connection.expanded(variables_for(connection.path))
        plain = connection.platform == "generic" and settings.get("value") is not None
        found[secret.inject_as or secret.key] = (
            str(settings["value"]) if plain else json.dumps(settings, default=str)
        )
    return found


def _build_sensor(run: AssetRun, checks: Sequence[Check]) -> Published:
    """Wait without holding the warehouse: each question opens it and lets it go again."""
    asset, query = run.asset, run.render(run.asset.parameter("query"))
    mode: Mode = run.sensor_mode
    database = run.resource(run.project.connection_name(asset))

    def ask() -> bool:
        if asset.type == "pg.sensor.table":
            return postgres_has_table(database.settings(), asset.parameter("table"))
        if asset.type == "pg.sensor.query":
            return postgres_says_yes(database.settings(), asset, query)
        with database.get_connection() as connection:
            return duckdb_says_yes(connection, asset, query)

    wait(asset, ask, mode, run.context.log.info)
    return _build_nothing(run, checks)


def _ingestr_sources(asset: Asset) -> Sources:
    name = asset.parameter("source_connection")
    return {name: frozenset(READERS)} if name else {}


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
        if source is not None and readable is not None and source.platform not in readable:
            return f"it reads from {source.platform}; supported: {', '.join(sorted(readable))}"
        if asset.type == "ingestr" and platform_said(asset) not in _ALL:
            written = asset.parameter("destination")
            return f"its destination is {written}; supported: {', '.join(sorted(_ALL))}"
        unmasked = unmaskable(asset) if asset.type == "ingestr" else None
        return unmasked.message if unmasked else None
    if asset.type.split(".")[0] in _ELSEWHERE:
        return (
            f"the type {asset.type} is for another platform; supported: {', '.join(sorted(_ALL))}"
        )
    return None


def connections_of(project: Project, asset: Asset) -> dict[str, frozenset[str]]:
    """The connections that an asset needs, by name, with the platforms that will do for each."""
    known = ASSET_TYPES[asset.type]
    is_said = asset.type == "ingestr" and asset.parameter("destination")
    platforms = frozenset({platform_said(asset)}) if is_said else known.platforms
    own = {project.connection_name(asset): platforms} if known.has_table(asset) else {}
    # Where the two are the same connection, it must do for both.
    return {**known.sources(asset), **own}


def has_table(asset: Asset) -> bool:
    """Whether the asset stands for a table: not a script, not a sensor, though it may need a
    connection. One that cannot run here is thought to, where it can."""
    known = ASSET_TYPES.get(asset.type)
    return known is None or (known.has_table(asset) and known.kind != "sensor")


def kinds_of(project: Project, asset: Asset) -> set[str]:
    """What the asset is made with, for the icons in the graph."""
    known = ASSET_TYPES.get(asset.type)
    if known is None:
        return {slug(asset.type.split(".")[0])}
    connections = (project.connections.by_name.get(name) for name in known.sources(asset))
    kinds = {connection.platform for connection in connections if connection is not None}
    own = {project.platform(asset)} if known.has_table(asset) else set()
    return {known.kind, *kinds, *own} - {""}


def _lint_sql(asset: Asset, root: Path, log: ProblemLog) -> None:
    lint_query(asset, log)
    WAREHOUSES[TYPES[asset.type]].lint(asset, log)


def _no_root(lint: Callable[[Asset, ProblemLog], None]) -> Lint:
    return lambda asset, root, log: lint(asset, log)


def _of_platform(kind: str, platform: str) -> AssetType:
    """What a type of assets does that is for one platform."""
    return replace(_OF_PLATFORMS[kind.partition(".")[2]], platforms=frozenset({platform}))


# Of assets that are for one platform, by what follows its prefix.
_OF_PLATFORMS = {
    "sql": AssetType(_build_sql, "sql", lint=_lint_sql),
    "seed": AssetType(_build_seed, "csv", lint=lint_seed),
    "source": AssetType(_build_nothing, "source"),
    "sensor.query": AssetType(_build_sensor, "sensor", lint=_no_root(lint_sensor)),
    "sensor.table": AssetType(_build_sensor, "sensor", lint=_no_root(lint_sensor)),
}
ASSET_TYPES: dict[str, AssetType] = {
    **{kind: _of_platform(kind, name) for kind, name in TYPES.items()},
    "ingestr": AssetType(
        _build_ingestr, "", sources=_ingestr_sources, lint=_no_root(lint_ingestion)
    ),
    "python": AssetType(_build_python, "python", has_table=_has_rows, lint=_no_root(lint_python)),
    "empty": AssetType(_build_nothing, "empty", has_table=_is_checked),
}
