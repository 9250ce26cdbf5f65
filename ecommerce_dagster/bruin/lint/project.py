"""Mistakes across files that are each readable: names, references, circles, templates."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from ecommerce_dagster.bruin.lint.asset import lint_asset
from ecommerce_dagster.bruin.lint.notifications import lint_notifications
from ecommerce_dagster.bruin.model.asset import DAGSTER, Asset, Column, ColumnCheck, Dependency
from ecommerce_dagster.bruin.model.pipeline import Pipeline
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean, from_here
from ecommerce_dagster.bruin.templates.render import RenderError, check_syntax
from ecommerce_dagster.bruin.yaml.located import Position, WrittenInt, YamlList, YamlMapping

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_NAME_RULE = "expected letters, digits, _ and -, in parts with a . between"


def lint_pipeline(pipeline: Pipeline, log: ProblemLog) -> None:
    """Report a pipeline without a usable name, and settings of Bruin Cloud that mean nothing."""
    if not pipeline.name:
        message = "a pipeline needs a 'name'"
        log.error(*pipeline.at("name"), "valid-pipeline-name", message)
    elif not _NAME.fullmatch(pipeline.name):
        message = f"the pipeline's name is '{pipeline.name}'; {_NAME_RULE}"
        log.error(*pipeline.at("name"), "valid-pipeline-name", message)
    for key in ("concurrency", "max_active_steps"):
        value = pipeline.written(key)
        if value is not None and not (type(value) in {int, WrittenInt} and value > 0):
            message = f"'{key}' of a pipeline is {value!r:.60}; expected at least 1"
            rule = f"valid-pipeline-{key.replace('_', '-')}"
            log.error(*pipeline.at(key), rule, message)
    lint_notifications(pipeline, "valid-pipeline-notifications", log)
    _lint_default_hooks(pipeline.defaults, log)


def _lint_default_hooks(defaults: YamlMapping, log: ProblemLog) -> None:
    """Report hooks for types of assets that have none."""
    hooks = defaults.get("hooks")
    sides = hooks.values() if isinstance(hooks, YamlMapping) else ()
    for hook in (hook for side in sides if isinstance(side, YamlList) for hook in side):
        kinds = hook.get("applicable_type") if isinstance(hook, YamlMapping) else None
        for index, kind in enumerate(kinds if isinstance(kinds, YamlList) else ()):
            if not str(kind).endswith(".sql"):
                message = f"'{kind}' has no hooks; expected a type of SQL assets, as duckdb.sql"
                at = hook.position(("applicable_type", index))
                log.error(at.path, at.line, "default-hooks-applicable-types", message)


def lint_assets(assets: Sequence[Asset], others: Collection[str], log: ProblemLog) -> None:
    """Report what is wrong in `assets`.

    `others` are names that one may depend on although there is no such asset to run: of disabled
    ones, and of files that cannot be read, which is reported already.
    """
    _lint_names(assets, log)
    for asset in assets:
        lint_asset(asset, log)
        _lint_blocking_references(asset, assets, log)
    known = {asset.name for asset in assets} | set(others)
    for asset in assets:
        for dependency in asset.depends:
            _lint_dependency(dependency, known, log)


def without_duplicates(asset: Asset, log: ProblemLog) -> Asset:
    """`asset` with each dependency once, and each check once on its column."""
    columns = tuple(_distinct_checks(column, log) for column in asset.columns)
    return asset.model_copy(
        update={"columns": columns, "depends": _distinct_dependencies(asset.depends, log)}
    )


def ordered(assets: Sequence[Asset], log: ProblemLog) -> tuple[Asset, ...]:
    """Dependencies first. Reports every circle; what is part of one comes last."""
    by_name = {asset.name: asset for asset in assets}
    graph = {
        asset.name: [d.asset for d in asset.depends if d.mode == "full" and d.asset in by_name]
        for asset in assets
    }
    circular: list[str] = []
    while True:
        try:
            names = [*TopologicalSorter(graph).static_order(), *circular]
            return tuple(by_name[name] for name in names)
        except CycleError as error:
            circle = list(reversed(error.args[1]))
            _report_circle(circle, by_name, log)
            circular += circle[1:]
            graph = {
                name: [upstream for upstream in upstreams if upstream not in circle]
                for name, upstreams in graph.items()
                if name not in circle
            }


def lint_templates(assets: Iterable[Asset], macros: str, log: ProblemLog) -> None:
    """Report the Jinja of `assets` that does not parse."""
    for asset in assets:
        for text, at in _templates(asset):
            try:
                check_syntax(text, macros)
            except RenderError as error:
                log.error(at.path, at.line + error.line - 1, "valid-template", str(error))


def _templates(asset: Asset) -> Iterator[tuple[str, Position]]:
    """The templates of an asset and where each begins. Code in Python or R is none."""
    if asset.path.suffix not in {".py", ".r"} and asset.type != "python":
        yield asset.body, Position(asset.body_path, asset.body_line)
    for check in asset.custom_checks:
        yield check.query, check.text_at("query")
    for hook in (*asset.hooks.pre, *asset.hooks.post):
        yield hook.query, hook.text_at("query")


def _lint_names(assets: Iterable[Asset], log: ProblemLog) -> None:
    seen: dict[str, Asset] = {}
    for asset in assets:
        if not _NAME.fullmatch(asset.name):
            message = f"'{asset.name}' is not an asset name; {_NAME_RULE}"
            log.error(*asset.at("name"), "task-name-valid", message)
        if not asset.type:
            message = "'type' is missing; for example `type: duckdb.sql` or `type: ingestr`"
            log.error(*asset.at("type"), "valid-task-type", message)
        # DuckDB's names do not tell upper from lower case.
        first = seen.setdefault(asset.name.lower(), asset)
        if first is not asset:
            where = f"{from_here(first.path)}:{first.at('name').line}"
            message = (
                f"the asset '{asset.name}' is defined twice, first in {where}; rename one"
                if first.name == asset.name
                else f"'{asset.name}' is the same table as '{first.name}' in {where}; rename one"
            )
            log.error(*asset.at("name"), "task-name-unique", message)


def _lint_blocking_references(asset: Asset, assets: Sequence[Asset], log: ProblemLog) -> None:
    """Report a check on a table that does not come before this one: a blocking one on a table that
    is made of it, for which the first run has none, and one on a table that is not upstream."""
    for column in asset.columns:
        key, found = column.foreign_key, [c for c in column.checks if c.name == "relationships"]
        if key is None or not found or key.table in {asset.name, *(d.asset for d in asset.depends)}:
            continue
        if key.table in upstream_of(asset.name, assets):
            continue
        checks = [check for check in found if check.blocking]
        if asset.name not in upstream_of(key.table, assets):
            if any(other.name == key.table for other in assets):
                message = (
                    f"the check asks '{key.table}', which is not in 'depends': it may be built "
                    "after this table, and the check is not run again when rows of it are gone; "
                    "add it"
                )
                log.warning(*found[0].at(), "relationships-check-depends", message)
            continue
        if not checks:
            continue
        message = (
            f"the check asks '{key.table}', which is made of this table and waits for it; add "
            "`blocking: false`"
        )
        rule = "blocking-relationships-check-references-downstream"
        log.warning(*checks[0].at(), rule, message)


def upstream_of(name: str, assets: Iterable[Asset]) -> set[str]:
    """The names of all assets that the one of this name depends on, directly or not."""
    by_name = {asset.name: asset for asset in assets}
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = by_name.get(waiting.pop())
        for dependency in current.depends if current else ():
            if dependency.asset and dependency.asset not in found:
                found.add(dependency.asset)
                waiting.append(dependency.asset)
    return found


def _lint_dependency(dependency: Dependency, known: Collection[str], log: ProblemLog) -> None:
    name = dependency.asset
    if not name and not dependency.uri:
        message = "a dependency needs an 'asset', or the 'uri' of one in another pipeline"
        log.error(*dependency.at(), "dependency-exists", message)
    elif name and name not in known and dependency.owner:
        message = (
            f"'{name}' is of another pipeline: Dagster knows the edge, `ecommerce run` waits for "
            "nothing there, and Bruin wants its `uri:` here"
        )
        log.warning(*dependency.at("asset"), "cross-pipeline-dependencies", message)
    elif name and name not in known:
        message = f"the dependency '{name}' does not exist; {did_you_mean(name, known)}"
        log.error(*dependency.at("asset"), "dependency-exists", message)
    elif dependency.uri.startswith(f"{DAGSTER}://") and not dependency.external_key:
        message = f"'{dependency.uri}' has no key; expected one of Dagster, as dagster://ext/rates"
        log.error(*dependency.at("uri"), "dependency-exists", message)
    elif not name and not dependency.owner and not dependency.external_key:
        message = (
            f"'{dependency.uri}' belongs to another pipeline: nothing here waits for it; "
            "name an 'asset' of this one to wait"
        )
        log.warning(*dependency.at("uri"), "cross-pipeline-uri-dependencies", message)


def _distinct_checks(column: Column, log: ProblemLog) -> Column:
    if len(column.checks) < 2:
        return column
    kept: dict[str, ColumnCheck] = {}
    for check in column.checks:
        first = kept.setdefault(check.model_dump_json(), check)
        if first is not check:
            message = f"the check '{check.name}' stands here and in line {first.line}; remove one"
            log.warning(*check.at(), "duplicate-checks", message)
    return column.model_copy(update={"checks": tuple(kept.values())})


def _distinct_dependencies(
    dependencies: Iterable[Dependency], log: ProblemLog
) -> tuple[Dependency, ...]:
    kept: dict[tuple[str, str], Dependency] = {}
    for dependency in dependencies:
        key = (dependency.asset, dependency.uri)
        first = kept.setdefault(key, dependency)
        if first is dependency:
            continue
        name = first.asset or first.uri
        message = f"the dependency '{name}' stands here and in line {first.line}; remove one"
        log.warning(*dependency.at(), "duplicate-dependencies", message)
        if dependency.mode == "full":
            kept[key] = dependency
    return tuple(kept.values())


def _report_circle(found: Sequence[str], by_name: Mapping[str, Asset], log: ProblemLog) -> None:
    """`found` ends where it begins; it is shown from its first name in the alphabet."""
    names = list(found[1:])
    start = names.index(min(names))
    names = [*names[start:], *names[:start]]
    asset = by_name[names[0]]
    upstream = names[1] if len(names) > 1 else names[0]
    at = next(d.at("asset") for d in asset.depends if d.asset == upstream)
    circle = f"in a circle: {' -> '.join([*names, names[0]])}"
    message = f"the assets depend on each other {circle}; remove one of these dependencies"
    log.error(*at, "acyclic-pipeline", message)
