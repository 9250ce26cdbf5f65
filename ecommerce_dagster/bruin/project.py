"""A whole pipeline from disk: every file read, every reference resolved, every error collected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from ecommerce_dagster.bruin.asset_files import asset_paths, read_asset
from ecommerce_dagster.bruin.connections import (
    Connections,
    default_connection_name,
    read_connections,
)
from ecommerce_dagster.bruin.glossary import apply_glossary, read_glossary
from ecommerce_dagster.bruin.models import Asset, Glossary, Pipeline
from ecommerce_dagster.bruin.parsing import parse_file, read_text
from ecommerce_dagster.bruin.problems import Problem, ProblemLog, did_you_mean
from ecommerce_dagster.bruin.templates import RenderError, RunContext, render

_NAME = re.compile(r"^[\w.-]+$")
_PIPELINE_FILES = ("pipeline.yml", "pipeline.yaml")


@dataclass(frozen=True)
class Project:
    """One pipeline, resolved: assets in dependency order, glossary applied, nothing run."""

    directory: Path
    pipeline: Pipeline
    assets: tuple[Asset, ...]
    glossary: Glossary
    connections: Connections
    macros: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Asset]:
        return {asset.name: asset for asset in self.assets}

    @property
    def root(self) -> Path:
        """The folder that paths are shown relative to: the checkout, else the pipeline's own."""
        config = self.connections.path
        return config.parent if config is not None else self.directory

    def connection_name(self, asset: Asset) -> str:
        """The name of the connection that holds the table of `asset`."""
        if asset.type == "ingestr":
            own = asset.parameter("destination_connection") or asset.connection
            platform = asset.parameter("destination") or "duckdb"
        else:
            own, platform = asset.connection, asset.type.split(".")[0]
        platform = {"pg": "postgres", "python": "duckdb"}.get(platform, platform)
        return own or default_connection_name(platform, self.pipeline.default_connections)

    def render(self, template: str, context: RunContext, asset: Asset) -> str:
        """A template of `asset`, with the project's macros and variables. Raises RenderError."""
        return render(template, context, asset.name, self.macros)


def find_upwards(start: Path, names: Iterable[str]) -> Path | None:
    """The nearest file of one of these names in `start` or a folder above it."""
    for folder in (start, *start.parents):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return None


def read_project(
    directory: Path,
    log: ProblemLog,
    *,
    glossary: Path | None = None,
    config_file: Path | None = None,
    environment: str | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Project | None:
    """Read the pipeline in `directory`; what is wrong goes to `log`.

    `glossary` and `config_file` default to the nearest `glossary.yml` and `.bruin.yml` above the
    pipeline. None when there is no readable pipeline.yml.
    """
    directory = directory.resolve()
    path = next((directory / f for f in _PIPELINE_FILES if (directory / f).is_file()), None)
    if path is None:
        log.error(directory / "pipeline.yml", 1, "valid-pipeline", "this file does not exist")
        return None
    pipeline = parse_file(Pipeline, path, log)
    if pipeline is None:
        return None
    _lint_pipeline(pipeline, log)
    words = read_glossary(_glossary_paths(directory, glossary), log)
    config = config_file or find_upwards(directory, (".bruin.yml", ".bruin.yaml"))
    values = _variables(pipeline, variables or {}, log)
    context = RunContext(pipeline=pipeline.name, variables=values)
    inherit = pipeline.meta.get("glossary_checks", True) is not False
    assets = []
    for file in asset_paths(directory):
        asset = read_asset(file, directory, pipeline.default, log)
        if asset is not None and _enabled(asset, context, log):
            assets.append(apply_glossary(asset, words, log, inherit_checks=inherit))
    _lint_assets(assets, log)
    return Project(
        directory=directory,
        pipeline=pipeline,
        assets=_ordered(assets, log),
        glossary=words,
        connections=read_connections(config, environment, log),
        macros=_macros(directory, log),
        variables=values,
        warnings=log.warnings,
    )


def _glossary_paths(directory: Path, given: Path | None) -> list[Path]:
    if given is not None:
        return [given]
    found = find_upwards(directory, ("glossary.yml", "glossary.yaml"))
    if found is None:
        return []
    files = (found.parent / "glossary.yml", found.parent / "glossary.yaml")
    return [file for file in files if file.is_file()]


def _variables(pipeline: Pipeline, overrides: Mapping[str, Any], log: ProblemLog) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, schema in pipeline.variables.items():
        if not isinstance(schema, dict) or "default" not in schema:
            message = (
                f"the variable '{name}' needs a default: `{name}: {{type: ..., default: ...}}`"
            )
            log.error(pipeline.path, pipeline.line, "valid-variables", message)
            continue
        values[name] = schema["default"]
    for name, value in overrides.items():
        if name not in pipeline.variables:
            message = f'no such variable "{name}"; {did_you_mean(name, pipeline.variables)}'
            log.error(pipeline.path, pipeline.line, "valid-variables", message)
        values[name] = value
    return values


def _macros(directory: Path, log: ProblemLog) -> str:
    files = sorted((directory / "macros").glob("*.sql"))
    return "\n".join(filter(None, (read_text(file, log) for file in files)))


def _enabled(asset: Asset, context: RunContext, log: ProblemLog) -> bool:
    if isinstance(asset.enabled, bool):
        return asset.enabled
    try:
        text = render(asset.enabled, context, asset.name).strip().lower()
    except RenderError as error:
        log.error(asset.path, asset.line, "valid-enabled", f"'enabled': {error}")
        return True
    if text not in {"true", "false", "1", "0", ""}:
        message = f"'enabled' is '{text}'; expected true or false"
        log.error(asset.path, asset.line, "valid-enabled", message)
    return text in {"true", "1"}


def _lint_pipeline(pipeline: Pipeline, log: ProblemLog) -> None:
    if not _NAME.match(pipeline.name):
        message = f"the pipeline's name is '{pipeline.name}'; expected letters, digits, _ . and -"
        log.error(pipeline.path, pipeline.line, "valid-pipeline-name", message)


def _lint_assets(assets: list[Asset], log: ProblemLog) -> None:
    seen: dict[str, Asset] = {}
    for asset in assets:
        if not _NAME.match(asset.name):
            message = f"'{asset.name}' is no asset name; expected letters, digits, _ . and -"
            log.error(asset.path, asset.line, "task-name-valid", message)
        first = seen.setdefault(asset.name, asset)
        if first is not asset:
            message = f"the asset '{asset.name}' is defined twice; first in {first.path.name}"
            log.error(asset.path, asset.line, "task-name-unique", message)
        if not asset.type:
            message = "'type' is missing; for example duckdb.sql or ingestr"
            log.error(asset.path, asset.line, "valid-task-type", message)
        _lint_columns(asset, log)
        _lint_checks(asset, log)
    for asset in assets:
        _lint_dependencies(asset, seen, log)


def _lint_columns(asset: Asset, log: ProblemLog) -> None:
    seen: dict[str, int] = {}
    for column in asset.columns:
        if not column.name:
            if not column.extends:
                message = "a column needs a 'name', or 'extends' with a glossary attribute"
                log.error(asset.path, column.line, "valid-column-metadata", message)
            continue
        if column.name.lower() in seen:
            message = (
                f"the column '{column.name}' stands here and in line {seen[column.name.lower()]}"
            )
            log.error(asset.path, column.line, "duplicate-column-names", message)
        seen.setdefault(column.name.lower(), column.line)


def _lint_checks(asset: Asset, log: ProblemLog) -> None:
    names: dict[str, int] = {}
    for check in asset.custom_checks:
        if not check.query.strip():
            message = f"the custom check '{check.name}' has no query"
            log.error(check.path, check.line, "custom-check-query-exists", message)
        if check.name in names:
            message = f"the custom check '{check.name}' stands here and in line {names[check.name]}"
            log.error(check.path, check.line, "duplicate-checks", message)
        names.setdefault(check.name, check.line)


def _lint_dependencies(asset: Asset, known: Mapping[str, Asset], log: ProblemLog) -> None:
    for dependency in asset.depends:
        if dependency.asset and dependency.asset not in known:
            hint = did_you_mean(dependency.asset, known)
            message = f"the dependency '{dependency.asset}' does not exist; {hint}"
            log.error(asset.path, dependency.line, "dependency-exists", message)


def _ordered(assets: list[Asset], log: ProblemLog) -> tuple[Asset, ...]:
    """Dependencies first; files in their order where it does not matter."""
    by_name = {asset.name: asset for asset in assets}
    graph = {
        asset.name: [d.asset for d in asset.depends if d.mode == "full" and d.asset in by_name]
        for asset in assets
    }
    try:
        return tuple(by_name[name] for name in TopologicalSorter(graph).static_order())
    except CycleError as error:
        names = list(reversed(error.args[1]))
        asset = by_name[names[0]]
        message = f"the assets depend on each other in a circle: {' -> '.join(names)}"
        log.error(asset.path, asset.line, "acyclic-pipeline", message)
        return tuple(assets)
