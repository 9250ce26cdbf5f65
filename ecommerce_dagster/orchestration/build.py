"""A folder of Bruin files as Dagster definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.discovery import pipeline_folders
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.problems import ProblemLog, ProjectError, did_you_mean
from ecommerce_dagster.bruin.project import Project, read_project
from ecommerce_dagster.orchestration.asset_types import ASSET_TYPES, connections_of, unsupported
from ecommerce_dagster.orchestration.factory import build_asset
from ecommerce_dagster.orchestration.names import asset_key, check_name
from ecommerce_dagster.orchestration.partitions import lint_schedule
from ecommerce_dagster.orchestration.resources import resources_of
from ecommerce_dagster.orchestration.schedules import automation_of
from ecommerce_dagster.orchestration.sensors import sensors_of
from ecommerce_dagster.orchestration.translator import BruinTranslator
from ecommerce_dagster.warehouse.checks import checks_of
from ecommerce_dagster.warehouse.rules import lint_checks


def build_defs(
    pipeline_dir: str | Path,
    *,
    glossary: str | Path | None = None,
    config_file: str | Path | None = None,
    environment: str | None = None,
    variables: Mapping[str, Any] | None = None,
    variant: str | None = None,
    translator: BruinTranslator | None = None,
    resources: Mapping[str, Any] | None = None,
    watch: bool = False,
) -> dg.Definitions:
    """One Dagster asset for each file of the pipeline, one asset check for each rule.

    `pipeline_dir` holds a pipeline.yml, or several pipelines below it. `glossary` and `config_file`
    default to the nearest `glossary.yml` and `.bruin.yml` above a pipeline; `environment` to the
    default one of `.bruin.yml`. `variables` replace defaults of pipeline.yml, as a
    `variant` of it does. `resources` replace
    connections by resource key (pg-default is pg_default). `watch` starts the sensors on source
    data together with Dagster; else somebody starts them in its UI. Raises ProjectError with every
    error of every file.
    """
    folders = pipeline_folders(Path(pipeline_dir)) or [Path(pipeline_dir)]
    log = ProblemLog()
    projects: list[Project] = []
    for folder in folders:
        try:
            project = load_project(
                folder,
                glossary=glossary,
                config_file=config_file,
                environment=environment,
                variables=variables,
                variant=variant,
            )
            projects.append(project)
        except ProjectError as error:
            log.problems += error.problems
    _lint_keys([asset for project in projects for asset in project.assets], log)
    log.raise_errors()
    # A connection that several pipelines use is one resource.
    shared = {key: value for p in projects for key, value in resources_of(p).items()}
    shared.update(resources or {})
    return dg.Definitions.merge(
        *(
            definitions_of(project, translator=translator, resources=shared, watch=watch)
            for project in projects
        )
    )


def load_project(
    pipeline_dir: str | Path,
    *,
    glossary: str | Path | None = None,
    config_file: str | Path | None = None,
    environment: str | None = None,
    variables: Mapping[str, Any] | None = None,
    variant: str | None = None,
) -> Project:
    """The pipeline in `pipeline_dir`, read and proven. Raises ProjectError with all errors."""
    log = ProblemLog()
    project = read_project(
        Path(pipeline_dir),
        log,
        glossary=Path(glossary) if glossary else None,
        config_file=Path(config_file) if config_file else None,
        environment=environment,
        variables=variables,
        variant=variant,
    )
    if project is not None:
        lint(project, log)
    log.raise_errors()
    assert project is not None
    return replace(project, warnings=log.warnings)


def definitions_of(
    project: Project,
    *,
    translator: BruinTranslator | None = None,
    resources: Mapping[str, Any] | None = None,
    partitioned: bool = True,
    watch: bool = False,
) -> dg.Definitions:
    """The Dagster definitions of a project that has been read."""
    translator = translator or BruinTranslator()
    supported = [asset for asset in project.assets if unsupported(project, asset) is None]
    others = [asset for asset in project.assets if asset not in supported]
    assets = dg.Definitions(
        assets=[
            *(build_asset(project, a, translator, partitioned=partitioned) for a in supported),
            *(translator.get_asset_spec(asset, project) for asset in others),
        ],
        resources={**resources_of(project), **(resources or {})},
        # One DuckDB file has one writer; a process for each step would cost 1.4 s a step as well.
        executor=dg.in_process_executor,
    )
    running, stopped = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED
    sensors = dg.Definitions(sensors=sensors_of(project, running if watch else stopped))
    return dg.Definitions.merge(assets, automation_of(project), sensors)


def lint(project: Project, log: ProblemLog) -> None:
    """Report what the files ask for and the warehouse, the sources or Dagster cannot do."""
    lint_schedule(project.pipeline, log)
    _lint_keys(tuple(project.by_name.values()), log)
    for asset in project.assets:
        reason = unsupported(project, asset)
        if reason is not None:
            message = f"'{asset.name}' is left out: {reason}"
            log.warning(asset.path, asset.line, "valid-task-type", message)
            continue
        _lint_type(asset, log)
        lint_checks(asset, log)
        if asset.type in ASSET_TYPES:
            ASSET_TYPES[asset.type].lint(asset, project.root, log)
        _lint_connections(project, asset, log)
        _lint_check_names(asset, log)


def _lint_keys(assets: Sequence[Asset], log: ProblemLog) -> None:
    """Different assets need different keys, in all pipelines together."""
    keys: dict[dg.AssetKey, Asset] = {}
    for asset in assets:
        first = keys.setdefault(asset_key(asset.name), asset)
        if first is asset:
            continue
        key = asset_key(asset.name).to_user_string()
        message = (
            f"'{asset.name}' has the asset key {key}, as '{first.name}' in {first.path}; rename one"
        )
        log.error(asset.path, asset.line, "asset-key-unique", message)


def _lint_type(asset: Asset, log: ProblemLog) -> None:
    if asset.type and asset.type not in ASSET_TYPES:
        hint = did_you_mean(asset.type, ASSET_TYPES)
        log.error(asset.path, asset.line, "valid-task-type", f"unknown type '{asset.type}'; {hint}")


def _lint_connections(project: Project, asset: Asset, log: ProblemLog) -> None:
    if asset.type not in ASSET_TYPES:
        return
    for name, platforms in connections_of(project, asset).items():
        found = project.connections.by_name.get(name)
        if found is None:
            where = project.connections.path
            known = did_you_mean(name, project.connections.by_name)
            message = (
                f"the connection '{name}' is not in {where.name} "
                f"(environment '{project.connections.environment}'); {known}"
                if where
                else f"the connection '{name}' is needed, and there is no .bruin.yml"
            )
            log.warning(asset.path, asset.line, "valid-connection", message)
        elif found.platform not in platforms:
            expected = " or ".join(sorted(platforms))
            message = f"the connection '{name}' is of type {found.platform}; expected {expected}"
            log.error(asset.path, asset.line, "valid-connection", message)


def _lint_check_names(asset: Asset, log: ProblemLog) -> None:
    """Dagster wants plain, distinct names; a collision would drop a check without a word."""
    names: dict[str, str] = {}
    for check in checks_of(asset):
        first = names.setdefault(check_name(check), check.label)
        if first != check.label:
            message = f"the checks '{first}' and '{check.label}' have the same name in Dagster"
            log.error(check.rule.path, check.rule.line, "duplicate-checks", message)
