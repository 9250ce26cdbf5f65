"""A folder of Bruin files as Dagster definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.discovery import pipeline_folders
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.policy.policy_file import lint_policy
from ecommerce_dagster.bruin.problems import ProblemLog, ProjectError, from_here
from ecommerce_dagster.bruin.project import Project, read_project
from ecommerce_dagster.bruin.templates.variables import require_variant
from ecommerce_dagster.orchestration.alerts import alerts_of
from ecommerce_dagster.orchestration.executors import backfill_policy, executor_for
from ecommerce_dagster.orchestration.factory import build_asset, build_checks
from ecommerce_dagster.orchestration.maintenance import maintenance_of
from ecommerce_dagster.orchestration.reconcile import reconciliation_of
from ecommerce_dagster.orchestration.resource_overrides import require_replacements
from ecommerce_dagster.orchestration.resources import resources_of
from ecommerce_dagster.orchestration.schedules import job_of, schedules_of
from ecommerce_dagster.orchestration.sensors import sensors_of
from ecommerce_dagster.orchestration.shared_partitions import shared_partitions
from ecommerce_dagster.orchestration.translator import BruinTranslator
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.runtime.lint.code_location import lint_together, used_databases
from ecommerce_dagster.runtime.lint.project import lint
from ecommerce_dagster.runtime.plain_names import in_copy, resource_key


def build_defs(  # noqa: PLR0913 - users write each of them, by its name
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
    executor: dg.ExecutorDefinition | None = None,
    key_prefix: str | Sequence[str] = (),
) -> dg.Definitions:
    """One Dagster asset for each file of a pipeline, one asset check for each rule in it.

    Reads and checks the files. No database is opened before an asset runs.

    Args:
        pipeline_dir: A folder with a pipeline.yml, or one with several such folders in it.
        glossary: The file of the glossary. Default: the nearest glossary.yml, from the folder of
            the pipeline upwards.
        config_file: The file of the connections. Default: the nearest .bruin.yml, likewise.
        environment: The environment of .bruin.yml. Default: the one that it calls its default.
        variables: Values for variables of pipeline.yml, by name, in place of their defaults.
        variant: The variant of pipeline.yml to build. Default: none.
        translator: What an asset or a check looks like in Dagster. Default: `BruinTranslator()`.
        resources: Resources in place of connections, by resource key: the connection pg-default is
            the resource pg_default. The other connections become resources by themselves.
        watch: Start the schedule and the sensors on source data together with Dagster. Default:
            they are started in its UI.
        executor: What executes the steps of the pipeline's jobs. Default: all in the process of the
            run, or what ECOMMERCE_EXECUTOR says. Runs of other jobs, and those that
            are started by clicks on assets, have the executor of the code location.
        key_prefix: What tells this copy of the pipeline from others in the code location, as "dev"
            or "tenants/acme". Keys of assets begin with it, and so do the names of jobs, schedules
            and sensors and the keys of resources. Default: no prefix.

    Returns:
        Assets, checks, resources, schedule, sensors and jobs.

    Raises:
        ProjectError: The files have errors; it lists each of them with file and line.
        dagster.DagsterInvalidDefinitionError: A resource or the translator does not fit them, or
            two pipelines have jobs, schedules or sensors of one name.
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
            require_variant(project.pipeline, variant)
            projects.append(project)
        except ProjectError as error:
            log.problems += error.problems
    translator = translator or BruinTranslator()
    prefix = key_prefix.split("/") if isinstance(key_prefix, str) else key_prefix
    projects = with_keys(projects, translator, tuple(filter(None, prefix)))
    lint_together(projects, log, replaced=resources or {})
    log.raise_errors()
    shared = _shared_resources(projects)
    require_replacements(projects, resources or {})
    shared.update(resources or {})
    found = [
        definitions_of(
            project, translator=translator, resources=shared, watch=watch, executor=executor
        )
        for project in projects
    ]
    _require_distinct_names(projects, found)
    return dg.Definitions.merge(*found)


def with_keys(
    projects: Sequence[Project], translator: BruinTranslator, prefix: tuple[str, ...]
) -> list[Project]:
    """The projects, as copies with this prefix that know the keys which the translator gives to the
    assets of all of them."""
    copies = [replace(project, key_prefix=prefix) for project in projects]
    given = [{each.name: _key(each, copy, translator) for each in copy.assets} for copy in copies]
    every = {name: key for keys in given for name, key in keys.items()}
    return [replace(copy, keys={**every, **keys}) for copy, keys in zip(copies, given, strict=True)]


def _key(asset: Asset, project: Project, translator: BruinTranslator) -> tuple[str, ...]:
    if asset.external_key:
        return asset.external_key
    # Only a subclass that makes the whole spec has to be asked for it.
    is_own = type(translator).get_asset_spec is not BruinTranslator.get_asset_spec
    spec = translator.get_asset_spec(asset, project) if is_own else None
    key = translator.get_asset_key(asset, project) if spec is None else spec.key
    return tuple(key.path)


def _require_distinct_names(
    projects: Sequence[Project], definitions: Sequence[dg.Definitions]
) -> None:
    """Refuse jobs, and schedules and sensors, of one name in two pipelines.

    Raises DagsterInvalidDefinitionError.
    """
    owners: dict[tuple[str, str], Project] = {}
    for project, found in zip(projects, definitions, strict=True):
        ticking = [*(found.schedules or ()), *(found.sensors or ())]
        names = [("job", job.name) for job in found.jobs or ()]
        names += [("schedule or sensor", one.name) for one in ticking]
        for kind, name in names:
            first, own = owners.setdefault((kind, name), project).pipeline, project.pipeline
            if first is not own:
                at = own.at("name")
                raise dg.DagsterInvalidDefinitionError(
                    f"{at.path}:{at.line}: '{own.name}' has a {kind} {name}, as '{first.name}' in "
                    f"{from_here(first.path)}; give one pipeline another name"
                )


def _shared_resources(projects: Sequence[Project]) -> dict[str, Any]:
    """A connection that several pipelines use is one resource; what none of them uses is that of
    the first."""
    shared: dict[str, Any] = {}
    for project in projects:
        used = {resource_key(connection.name) for connection in used_databases(project)}
        found = resources_of(project)
        shared = {**found, **shared, **{key: found[key] for key in used & found.keys()}}
    return shared


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
        lint_policy(project, log)
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
    executor: dg.ExecutorDefinition | None = None,
) -> dg.Definitions:
    """The Dagster definitions of a project that has been read. `resources` are all that its assets
    use; without them they are those of its connections."""
    translator = translator or BruinTranslator()
    resources = resources_of(project) if resources is None else resources
    variables = variables_for(project.connections.path)
    policy = backfill_policy(variables)
    built = {
        asset.name: build_asset(
            project, asset, translator, partitioned=partitioned, backfill_policy=policy
        )
        for asset in project.assets
        if unsupported(project, asset) is None and not asset.external_key
    }
    shared = shared_partitions(
        (project.by_name[name], asset.partitions_def) for name, asset in built.items()
    )
    assets = dg.Definitions(
        assets=[
            built.get(asset.name) or translator.get_asset_spec(asset, project)
            for asset in project.assets
            if not asset.external_key
        ],
        asset_checks=[
            checks
            for asset in project.assets
            if asset.external_key and (checks := build_checks(project, asset, translator))
        ],
        resources={in_copy(key, project): found for key, found in resources.items()},
    )
    executor = executor or executor_for(variables)
    job = job_of(project, executor)
    if job is None:
        return assets
    status = dg.DefaultSensorStatus.RUNNING if watch else dg.DefaultSensorStatus.STOPPED
    return dg.Definitions.merge(
        assets,
        dg.Definitions(
            jobs=[job],
            schedules=schedules_of(project, shared, dg.DefaultScheduleStatus(status.value), job),
            sensors=[*sensors_of(project, shared, status, job), *alerts_of(project, status)],
        ),
        reconciliation_of(project, executor),
        maintenance_of(project),
    )
