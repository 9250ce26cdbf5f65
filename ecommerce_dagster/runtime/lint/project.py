"""What the files of one pipeline ask for, and the warehouse, the sources or Dagster cannot do."""

from __future__ import annotations

from collections.abc import Sequence

from ecommerce_dagster.bruin.config_file import Connections
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.connections import Connection
from ecommerce_dagster.bruin.model.interval import yesterday
from ecommerce_dagster.bruin.model.interval_modifiers import shift_of
from ecommerce_dagster.bruin.model.pipeline import Pipeline
from ecommerce_dagster.bruin.model.platforms import PLATFORMS
from ecommerce_dagster.bruin.on_off import switched
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean, from_here, listed
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates.render import RenderError, RunContext
from ecommerce_dagster.runtime.asset_types import ASSET_TYPES, connections_of, unsupported
from ecommerce_dagster.runtime.lint.anomalies import lint_anomalies
from ecommerce_dagster.runtime.lint.catalogue import lint_catalogue
from ecommerce_dagster.runtime.lint.database_names import database_names, lint_database
from ecommerce_dagster.runtime.lint.executor import lint_executor
from ecommerce_dagster.runtime.lint.extensions import lint_extensions
from ecommerce_dagster.runtime.lint.freshness import lint_automation
from ecommerce_dagster.runtime.lint.receivers import lint_receivers
from ecommerce_dagster.runtime.lint.schedule import lint_schedule
from ecommerce_dagster.runtime.lint.watched import lint_watched
from ecommerce_dagster.runtime.lint.without_effect import lint_not_done
from ecommerce_dagster.runtime.plain_names import asset_key_parts, check_name, resource_key
from ecommerce_dagster.sources.parameters import unmaskable
from ecommerce_dagster.sql.checks import checks_of
from ecommerce_dagster.sql.rules import lint_checks

_LISTED = 3  # assets that are left out for one reason, each with a line of its own


def lint(project: Project, log: ProblemLog) -> None:
    """Report what the files ask for and the warehouse, the sources or Dagster cannot do."""
    lint_schedule(project.pipeline, log)
    _lint_switches(project.pipeline, log)
    lint_catalogue(project, log)
    lint_executor(project, log)
    lint_keys([project], log)
    _lint_resource_keys(project.connections, log)
    databases = database_names(project.connections)
    left_out = _lint_left_out(project, log)
    for asset in project.assets:
        if asset.name in left_out:
            continue
        _lint_type(asset, log)
        _lint_switches(asset, log)
        _lint_modifiers(project, asset, log)
        lint_checks(asset, log)
        lint_anomalies(asset, log)
        lint_automation(asset, log)
        if asset.type in ASSET_TYPES:
            ASSET_TYPES[asset.type].lint(asset, project, log)
        _lint_connections(project, asset, log)
        lint_database(project, asset, databases, log)
        _lint_check_names(asset, log)
    lint_extensions(project, log)
    lint_watched(project, log)
    lint_not_done(project, log)
    lint_receivers(project, log)


def _lint_left_out(project: Project, log: ProblemLog) -> set[str]:
    """Report the assets that cannot run here: each in a line, many with one reason in one. Their
    names."""
    by_reason: dict[str, list[Asset]] = {}
    for asset in project.assets:
        reason = unsupported(project, asset)
        if reason is not None:
            by_reason.setdefault(reason, []).append(asset)
    for reason, assets in by_reason.items():
        if len(assets) > _LISTED:
            names = listed([asset.name for asset in assets], _LISTED)
            message = f"{len(assets)} assets are left out ({names}): {reason}"
            log.warning(*assets[0].at("type"), "valid-task-type", message)
            continue
        for asset in assets:
            mask = unmaskable(asset)
            on_connection = asset.connection if asset.type in ASSET_TYPES else None
            at = asset.at("connection" if on_connection and not mask else "type")
            at = mask.at if mask and mask.message == reason else at
            log.warning(*at, "valid-task-type", f"'{asset.name}' is left out: {reason}")
    return {asset.name for assets in by_reason.values() for asset in assets}


def _lint_switches(node: Asset | Pipeline, log: ProblemLog) -> None:
    for name in ("preview", "checks_by_partition"):
        if switched(node.meta.get(name, True)) is None:
            log.error(*node.at("meta", name), "valid-meta", f"'{name}' must be true or false")


def _lint_modifiers(project: Project, asset: Asset, log: ProblemLog) -> None:
    """Report modifiers of the interval that cannot be rendered, or leave nothing of a day."""
    how, day = asset.interval_modifiers, yesterday()
    context = RunContext(pipeline=project.pipeline.name, variables=project.variables)
    shifts = []
    for key, text in (("start", how.start), ("end", how.end)):
        try:
            rendered = project.render(text, context, asset)
            shifts.append(shift_of(rendered)(day.start))
        except (RenderError, ValueError) as error:
            if "{" in text:  # others are reported already
                log.error(*how.at(key), "valid-time-interval", f"'{key}': {error}")
            return
        except OverflowError:
            return
    if shifts[0] - shifts[1] >= day.end - day.start:
        message = "nothing is left of a day: the interval ends before it starts; make `end` later"
        log.error(*asset.at("interval_modifiers"), "valid-time-interval", message)


def lint_keys(projects: Sequence[Project], log: ProblemLog) -> None:
    """Different assets need different keys, in all pipelines together. Sources may name one asset
    of other code."""
    keys: dict[tuple[str, ...], Asset] = {}
    found = [(asset, project) for project in projects for asset in project.by_name.values()]
    for asset, project in found:
        parts = asset_key_parts(asset.name, project)
        first = keys.setdefault(parts, asset)
        if first is asset:
            continue
        key = "/".join(parts)
        if first.external_key and asset.external_key:
            if checks_of(first) and checks_of(asset):
                message = (
                    f"'{asset.name}' has checks of {key}, as '{first.name}' in "
                    f"{from_here(first.path)}; keep them in one file"
                )
                log.error(*asset.at("meta"), "asset-key-unique", message)
            continue
        message = (
            f"'{asset.name}' has the asset key {key}, as '{first.name}' in "
            f"{from_here(first.path)}; rename one"
        )
        log.error(*asset.at("name"), "asset-key-unique", message)


def _lint_resource_keys(connections: Connections, log: ProblemLog) -> None:
    """Different databases need different keys, or one would be opened for the other."""
    keys: dict[str, Connection] = {}
    for connection in connections.by_name.values():
        if connection.platform not in PLATFORMS:
            continue
        key = resource_key(connection.name)
        first = keys.setdefault(key, connection)
        if first is not connection:
            message = (
                f"the connections '{first.name}' and '{connection.name}' are both the resource "
                f"{key}; rename one"
            )
            log.error(connection.path, connection.line, "connection-key-unique", message)


def _lint_type(asset: Asset, log: ProblemLog) -> None:
    if asset.type and asset.type not in ASSET_TYPES:
        hint = did_you_mean(asset.type, ASSET_TYPES)
        log.error(*asset.at("type"), "valid-task-type", f"unknown type '{asset.type}'; {hint}")


def _lint_connections(project: Project, asset: Asset, log: ProblemLog) -> None:
    if asset.type not in ASSET_TYPES:
        return
    secrets = {secret.key: secret.at("key") for secret in asset.secrets}
    places = {
        **secrets,
        str(asset.connection): asset.at("connection"),
        asset.parameter("source_connection"): asset.at("parameters", "source_connection"),
    }
    needed = connections_of(project, asset)
    for name in {**needed, **secrets}:
        at = places.get(name, asset.at())
        found = project.connections.by_name.get(name)
        if found is None:
            where = project.connections.path
            known = did_you_mean(name, project.connections.by_name)
            message = (
                f"the connection '{name}' is not in {where.name} "
                f"(environment '{project.connections.environment}'); {known}"
                if where
                else f"the connection '{name}' is needed, and there is no .bruin.yml; add one"
            )
            log.warning(*at, "valid-connection", message)
        elif name in needed and found.platform not in needed[name]:
            expected = " or ".join(sorted(needed[name]))
            message = f"the connection '{name}' is of type {found.platform}; expected {expected}"
            log.error(*at, "valid-connection", message)
        elif name in needed and found.lacks:
            log.error(found.path, found.line, "valid-connection", found.lacks)


def _lint_check_names(asset: Asset, log: ProblemLog) -> None:
    """Dagster wants plain, distinct names; a collision would drop a check without a word."""
    names: dict[str, str] = {}
    for check in checks_of(asset):
        first = names.setdefault(check_name(check), check.label)
        if first != check.label:
            both = f"'{first}' and '{check.label}'"
            message = f"the checks {both} have the same name in Dagster; rename one"
            log.error(check.rule.path, check.rule.line, "duplicate-checks", message)
