"""How a run makes and checks the table of an asset: a function for each kind of assets."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ecommerce_dagster.bruin.graph import reached
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.python_assets.asset import PythonLoad, environment_of, run_python
from ecommerce_dagster.runtime.asset_run import AssetRun
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.runtime.readers import reading
from ecommerce_dagster.runtime.sensor import Mode, wait
from ecommerce_dagster.runtime.sensor_questions import (
    duckdb_says_yes,
    postgres_has_table,
    postgres_says_yes,
)
from ecommerce_dagster.sources.seeds.seed import Seed
from ecommerce_dagster.sql.checks import Check
from ecommerce_dagster.sql.load_result import LoadResult
from ecommerce_dagster.warehouses.base import BuildResult, Writer, nothing
from ecommerce_dagster.warehouses.postgres.connect import SourceError
from ecommerce_dagster.warehouses.sql_asset import AssetError, OutsideError, SqlBuild
from ecommerce_dagster.warehouses.time_limit import TimeLimitError


@contextmanager
def in_time(run: AssetRun) -> Iterator[None]:
    """Inside, `timeout` of the asset holds. Raises AssetError when the time is over."""
    try:
        yield
    except TimeLimitError:
        asset = run.asset
        message = f'asset "{asset.name}" timed out after {asset.timeout}'
        raise AssetError(f"{asset.path}:{asset.line}: {message}") from None


def _publish(run: AssetRun, fill: Writer, checks: Sequence[Check]) -> BuildResult:
    """Fill and check within the asset's time."""
    with in_time(run):
        return run.warehouse.publish(run.asset, fill, checks, run.render, run.timeout)


def build_nothing(run: AssetRun, checks: Sequence[Check]) -> BuildResult:
    """Check an asset that another program makes, or that is only a name."""
    if not checks:
        return BuildResult(True, (), LoadResult(), None, {}, 0.0, 0.0)
    return _publish(run, nothing, checks)


def sql_build(run: AssetRun) -> SqlBuild:
    """How a SQL asset is built in a run: by its query, or as it was tried."""
    rebuild, asset = run.full_refresh or run.rebuilds, run.asset
    if tried := run.project.tried.get(run.declared.name):
        asset = asset.model_copy(update={"body": f"SELECT * FROM {tried}"})
    return SqlBuild(asset, run.render, run.window, rebuild, strict_window=run.fills_partitions)


def build_sql(run: AssetRun, checks: Sequence[Check]) -> BuildResult:
    return _publish(run, sql_build(run), checks)


def build_seed(run: AssetRun, checks: Sequence[Check]) -> BuildResult:
    return _publish(run, Seed(run.asset, run.project.checkout), checks)


def build_ingestr(run: AssetRun, checks: Sequence[Check]) -> BuildResult:
    """ingestr fetches its rows before the warehouse is locked."""
    with ExitStack() as until:
        return _publish(run, reading(run, until), checks)


def build_python(run: AssetRun, checks: Sequence[Check]) -> BuildResult:
    """The file runs before the warehouse is locked; only its rows are loaded under the lock."""
    asset, project = run.asset, run.project
    secrets, platforms = _secrets(project, asset)
    environment = environment_of(
        asset,
        run.template_context,
        schemas=project.pipeline.variables,
        connection=project.connection_name(asset),
        connection_types=platforms,
        secrets=secrets,
    )
    began = time.perf_counter()
    with _variables_of_the_run(run) as (variables, summary):
        folder = run_python(
            asset,
            project.checkout,
            environment | variables,
            on_output=run.info.log.info,
            timeout=run.timeout,
        )
        text = summary.read_text(encoding="utf-8", errors="replace") if summary.is_file() else ""
    source_seconds = time.perf_counter() - began
    if folder is None:
        return replace(build_nothing(run, checks), summary=text)
    try:
        built = _publish(run, PythonLoad(asset, folder, run.full_refresh), checks)
        loaded = replace(built.loaded, source_seconds=source_seconds)
        return replace(built, loaded=loaded, summary=text)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _variables_of_the_run(run: AssetRun) -> Iterator[tuple[dict[str, str], Path]]:
    """What a Python asset finds in its environment beside what Bruin gives it: a file that says in
    which state its upstream assets are, and the name of one for its summary."""
    assets = run.project.assets
    names = set(reached([run.declared.name], run.project.neighbours.upstream)) - {run.declared.name}
    states = run.info.latest_states([a for a in assets if a.name in names])
    with TemporaryDirectory(prefix="python-asset-") as name:
        upstream, summary = Path(name, "upstream.json"), Path(name, "summary.md")
        upstream.write_text(json.dumps([asdict(s) for s in states.values()]), encoding="utf-8")
        yield {"ECOMMERCE_UPSTREAM": str(upstream), "ECOMMERCE_SUMMARY": str(summary)}, summary


def _secrets(project: Project, asset: Asset) -> tuple[dict[str, str], dict[str, str]]:
    """The connections that a Python asset asks for, by the variables it finds them in: as JSON, of
    a `generic` one its value alone; and the kind of database of each.

    A connection is there under its own name too, by which the SDK of Bruin looks up that of the
    asset.
    """
    values: dict[str, str] = {}
    platforms: dict[str, str] = {}
    for secret in asset.secrets:
        connection = project.connections.get(secret.key)
        known = variables_for(connection.path)
        settings = connection.expanded(known)
        if connection.platform == "duckdb" and "path" in settings and not connection.is_motherduck:
            # A relative one counts from .bruin.yml, wherever the asset works.
            settings |= {"path": connection.duckdb(known).path}
        plain = connection.platform == "generic" and settings.get("value") is not None
        value = str(settings["value"]) if plain else json.dumps(settings, default=str)
        names = (secret.key, secret.inject_as or secret.key)
        values |= dict.fromkeys(names, value)
        platforms |= dict.fromkeys(names, connection.type)
    return values, platforms


def build_sensor(run: AssetRun, checks: Sequence[Check]) -> BuildResult:
    """Wait without holding the warehouse: each question opens it and lets it go again. Raises
    OutsideError when the database cannot be asked."""
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

    try:
        wait(asset, ask, mode, run.info.log.info)
    except SourceError as error:
        raise OutsideError(f"{asset.path}:{asset.line}: {error}") from None
    return build_nothing(run, checks)
