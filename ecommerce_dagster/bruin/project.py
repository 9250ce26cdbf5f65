"""A whole pipeline from disk: every file read, every reference resolved, every error collected."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ecommerce_dagster.bruin.asset_files import (
    asset_paths,
    possible_names,
    read_asset,
)
from ecommerce_dagster.bruin.config_file import (
    CONFIG_CONTENT,
    Connections,
    default_connection_name,
    read_connections,
)
from ecommerce_dagster.bruin.discovery import PIPELINE_FILES, other_pipelines
from ecommerce_dagster.bruin.glossary import apply_glossary, inherits_checks, read_glossary
from ecommerce_dagster.bruin.graph import Neighbours
from ecommerce_dagster.bruin.lint.project import (
    lint_assets,
    lint_pipeline,
    lint_templates,
    ordered,
    without_duplicates,
)
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.glossary import Glossary
from ecommerce_dagster.bruin.model.pipeline import Pipeline
from ecommerce_dagster.bruin.model.platforms import PLATFORM_ALIASES
from ecommerce_dagster.bruin.on_off import switched
from ecommerce_dagster.bruin.problems import Problem, ProblemLog
from ecommerce_dagster.bruin.templates.definition_templates import (
    is_enabled,
    named_asset,
    named_pipeline,
)
from ecommerce_dagster.bruin.templates.render import (
    RenderError,
    RunContext,
    check_syntax,
    render,
)
from ecommerce_dagster.bruin.templates.variables import variables_of, variant_of
from ecommerce_dagster.bruin.uris import with_owners
from ecommerce_dagster.bruin.yaml.located import Position, YamlMapping
from ecommerce_dagster.bruin.yaml.parsing import parse_file, read_text

# The connections of other platforms, where they are called otherwise than the types of assets.
_FOREIGN_KINDS = {
    "bigquery": "google_cloud_platform",
    "bq": "google_cloud_platform",
    "ms": "mssql",
    "rs": "redshift",
    "sf": "snowflake",
}
_NO_PIPELINE = "this file does not exist; a pipeline is a folder with a pipeline.yml and assets/"


@dataclass(frozen=True, eq=False)
class Project:
    """One pipeline, resolved: assets in dependency order, glossary applied, nothing run.

    `disabled` are the names of assets with `enabled: false`. Others may depend on them.
    `key_prefix` tells copies of the pipeline apart that are in one code location of Dagster, and
    `keys` are the parts of the keys by which it knows assets, these and those of pipelines that are
    loaded together with this one; without them they are those of their names. `tried` are tables
    that hold what the queries of assets return, and are copied in place of running them.
    """

    directory: Path
    pipeline: Pipeline
    assets: tuple[Asset, ...]
    glossary: Glossary
    connections: Connections
    macros: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    disabled: frozenset[str] = frozenset()
    key_prefix: tuple[str, ...] = ()
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tried: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> dict[str, Asset]:
        """The assets by their names."""
        return {asset.name: asset for asset in self.assets}

    @cached_property
    def neighbours(self) -> Neighbours:
        """What stands above and below each asset."""
        return Neighbours.of(self.assets)

    @cached_property
    def root(self) -> Path:
        """The folder that paths are shown relative to: that of .bruin.yml, where the pipeline lies
        in it, else the checkout."""
        config = self.connections.path
        if config is not None and self.directory.is_relative_to(config.parent):
            return config.parent
        return self.checkout

    @cached_property
    def checkout(self) -> Path:
        """The git repository that the pipeline lies in; without one the folder of its .bruin.yml,
        else its own."""
        return _checkout_of(self.directory, self.connections)

    def shows_rows(self, asset: Asset) -> bool:
        """Whether rows of an asset may be shown; `meta: {preview: false}`, of the asset or of the
        pipeline, says no."""
        said = asset.meta.get("preview", self.pipeline.meta.get("preview", True))
        return switched(said) is True

    def connection_name(self, asset: Asset) -> str:
        """The name of the connection that holds the table of `asset`."""
        own = asset.connection
        if asset.type == "ingestr":
            own = asset.parameter("destination_connection") or own
        defaults = self.pipeline.default_connections
        return own or default_connection_name(self._platform_said(asset), defaults)

    def platform(self, asset: Asset) -> str:
        """The kind of database that holds the table of `asset`: duckdb, postgres, ..."""
        found = self.connections.by_name.get(self.connection_name(asset))
        return found.platform if found is not None else self._platform_said(asset)

    def _platform_said(self, asset: Asset) -> str:
        return self.main_platform if asset.type == "python" else platform_said(asset)

    @cached_property
    def main_platform(self) -> str:
        """The kind of database that most assets with SQL are for, and with them the Python assets
        that name no connection. Without any it is that of the only default connection, else
        duckdb."""
        said = Counter(
            platform_said(asset)
            for asset in self.assets
            if asset.type.endswith(".sql") or asset.parameter("destination")
        )
        defaults = [_kind_of_connection(key) for key in self.pipeline.default_connections]
        return next((kind for kind, _ in said.most_common(1)), "") or (
            defaults[0] if len(defaults) == 1 else "duckdb"
        )

    def render(self, template: str, context: RunContext, asset: Asset) -> str:
        """A template of `asset`, with the project's macros and variables. Raises RenderError."""
        return render(template, context, asset.name, self.macros)


def _checkout_of(directory: Path, connections: Connections) -> Path:
    found = find_upwards(directory, (".git",), Path.exists)
    if found is not None:
        return found.parent
    config = connections.path
    inside = config is not None and directory.is_relative_to(config.parent)
    return config.parent if config is not None and inside else directory


def platform_said(asset: Asset) -> str:
    """The kind of database that a file asks for, as far as it does: else duckdb."""
    is_ingested = asset.type == "ingestr"
    written = asset.parameter("destination") if is_ingested else asset.type.split(".")[0]
    platform = _kind_of_connection(written)
    return "duckdb" if platform in {"", "python", "empty"} else platform


def _kind_of_connection(name: str) -> str:
    """What `.bruin.yml` calls the connections of a platform, or of a type of assets."""
    return PLATFORM_ALIASES.get(name, _FOREIGN_KINDS.get(name, name))


def find_upwards(
    start: Path, names: Iterable[str], is_there: Callable[[Path], bool] = Path.is_file
) -> Path | None:
    """The nearest file of one of these names in `start` or a folder above it."""
    for folder in (start, *start.parents):
        for name in names:
            if is_there(folder / name):
                return folder / name
    return None


def connections_file_of(folder: Path) -> Path | None:
    """The nearest `.bruin.yml`, from a folder upwards."""
    return find_upwards(folder, (".bruin.yml", ".bruin.yaml"))


def read_project(
    directory: Path,
    log: ProblemLog,
    *,
    glossary: Path | None = None,
    config_file: Path | None = None,
    environment: str | None = None,
    variables: Mapping[str, Any] | None = None,
    variant: str | None = None,
) -> Project | None:
    """Read the pipeline in `directory`; what is wrong goes to `log`.

    `glossary` and `config_file` default to the nearest `glossary.yml` and `.bruin.yml` above the
    pipeline, unless the environment says where the latter is. `variables` go before those of the
    `variant`, and those before the defaults. None when there is no readable pipeline.yml.
    """
    directory = directory.resolve()
    path = next((directory / f for f in PIPELINE_FILES if (directory / f).is_file()), None)
    if path is None:
        log.error(directory / "pipeline.yml", 1, "valid-pipeline", _NO_PIPELINE)
        return None
    pipeline = parse_file(Pipeline, path, log)
    words = read_glossary(_glossary_paths(directory, glossary), log)
    config = config_file or _config_path(directory)
    connections = read_connections(config, environment, log)
    if pipeline is None:
        # What a file says on its own can be judged all the same.
        _read_files(directory, YamlMapping(Position(path, 1)), log)
        return None
    given = {**variant_of(pipeline, variant, log), **(variables or {})}
    values = variables_of(pipeline, given, log)
    pipeline = named_pipeline(pipeline, RunContext(variables=values), log)
    lint_pipeline(pipeline, log)
    macros = _read_macros(directory, log)
    files = _read_files(directory, pipeline.defaults, log)
    if not files.assets and not files.unreadable:
        message = "this pipeline has no assets; they are expected in a folder assets/ beside it"
        log.warning(*pipeline.at(), "assets-directory-exist", message)
    context = RunContext(pipeline=pipeline.name, variables=values)
    named = [named_asset(asset, context, log) for asset in files.assets]
    enabled = [asset for asset in named if is_enabled(asset, context, log)]
    disabled = {asset.name for asset in named} - {asset.name for asset in enabled}
    if words is not None:
        inherit = inherits_checks(pipeline, log)
        enabled = [apply_glossary(a, words, log, inherit_checks=inherit) for a in enabled]
    assets = [_sized(without_duplicates(asset, log)) for asset in enabled]
    assets = [_of_duckdb(asset, pipeline.default_connections) for asset in assets]
    known = disabled | files.unreadable
    own = known | {asset.name for asset in assets}
    others = other_pipelines(directory, _checkout_of(directory, connections))
    assets = with_owners(assets, own, others)
    lint_assets(assets, known, log)
    lint_templates(assets, macros, log)
    return Project(
        directory=directory,
        pipeline=pipeline,
        assets=ordered(assets, log),
        glossary=words or Glossary(),
        connections=connections,
        macros=macros,
        variables=values,
        warnings=log.warnings,
        disabled=frozenset(disabled),
    )


def _of_duckdb(asset: Asset, defaults: Mapping[str, Any]) -> Asset:
    """`asset` as one of DuckDB that says its connection, where its type is MotherDuck's."""
    start, dot, kind = asset.type.partition(".")
    if start != "motherduck":
        return asset
    name = asset.connection or default_connection_name("motherduck", defaults)
    return asset.model_copy(update={"type": f"duckdb{dot}{kind}", "connection": name})


def _sized(asset: Asset) -> Asset:
    """`asset` whose columns have the digits and lengths that stand beside their types in these."""
    columns = tuple(
        column
        if column.sized_type == column.type
        else column.model_copy(
            update={"type": column.sized_type, "precision": None, "scale": None, "length": None}
        )
        for column in asset.columns
    )
    return asset.model_copy(update={"columns": columns}) if columns != asset.columns else asset


@dataclass
class _Files:
    assets: list[Asset] = field(default_factory=list)
    # What the assets may be called whose files cannot be read.
    unreadable: set[str] = field(default_factory=set)


def _read_files(directory: Path, defaults: YamlMapping, log: ProblemLog) -> _Files:
    files = _Files()
    for path in asset_paths(directory, log):
        errors = len(log.errors)
        asset = read_asset(path, directory, defaults, log)
        if asset is not None:
            files.assets.append(asset)
        elif len(log.errors) > errors:
            files.unreadable |= possible_names(path, directory)
    # A file that an asset names with `run:` needs no header.
    log.withdraw("asset-header", {asset.body_path for asset in files.assets if asset.run})
    return files


def _glossary_paths(directory: Path, given: Path | None) -> list[Path]:
    if given is not None:
        return [given]
    found = find_upwards(directory, ("glossary.yml", "glossary.yaml"))
    if found is None:
        return []
    files = (found.parent / "glossary.yml", found.parent / "glossary.yaml")
    return [file for file in files if file.is_file()]


def _config_path(directory: Path) -> Path | None:
    """Where the connections stand: in a variable or the file that another one names, as for Bruin,
    else in the nearest `.bruin.yml`. Paths in the variable count from where that would be."""
    found = connections_file_of(directory)
    if os.environ.get(CONFIG_CONTENT):
        checkout = find_upwards(directory, (".git",), Path.exists)
        return (found or checkout or directory / "pipeline.yml").parent / CONFIG_CONTENT
    named = os.environ.get("BRUIN_CONFIG_FILE")
    return Path(named).absolute() if named else found


def _read_macros(directory: Path, log: ProblemLog) -> str:
    """The files of `macros/` that parse, one after the other."""
    texts: list[str] = []
    for path in sorted((directory / "macros").glob("*.sql")):
        text = read_text(path, log)
        if text is None:
            continue
        try:
            check_syntax(text)
            texts.append(text)
        except RenderError as error:
            log.error(path, error.line, "valid-template", str(error))
    return "\n".join(texts)
