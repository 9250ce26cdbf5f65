"""Mistakes in one asset, found without looking at the others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from ecommerce_dagster.bruin.lint.notifications import lint_notifications
from ecommerce_dagster.bruin.model.asset import EXTERNAL_KEY, Asset
from ecommerce_dagster.bruin.model.durations import seconds_in
from ecommerce_dagster.bruin.model.interval_modifiers import shift_of
from ecommerce_dagster.bruin.model.platforms import has_prefix
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.located import Position

# database.schema.table
_MOST_PARTS = 3


def lint_asset(asset: Asset, log: ProblemLog) -> None:
    """Report what is wrong in `asset`."""
    for lint in (
        _lint_name,
        _lint_columns,
        _lint_custom_checks,
        _lint_times,
        _lint_tags,
        _lint_hooks,
        _lint_external_key,
    ):
        lint(asset, log)
    for node in (asset, *asset.rules):
        lint_notifications(node, "valid-asset-notifications", log)


def _lint_name(asset: Asset, log: ProblemLog) -> None:
    parts = asset.name.count(".") + 1
    if _makes_table(asset) and parts > _MOST_PARTS:
        message = f"the name '{asset.name}' of a table has {parts} parts; expected schema.table"
        log.error(*asset.at("name"), "asset-name-component-count", message)


def _lint_external_key(asset: Asset, log: ProblemLog) -> None:
    if EXTERNAL_KEY not in asset.meta or asset.external_key:
        return
    message = (
        f"'{EXTERNAL_KEY}' is empty; expected a key of Dagster, as ext/rates"
        if asset.type.endswith(".source")
        else f"'{EXTERNAL_KEY}' says which asset of other code makes a table, and this file makes "
        "its own; only a source has it, as `type: duckdb.source`"
    )
    log.error(*asset.at("meta", EXTERNAL_KEY), "valid-meta", message)


def _makes_table(asset: Asset) -> bool:
    if asset.type != "ingestr" and not has_prefix(asset.type):
        return False
    is_script = asset.type.endswith(".sql") and asset.materialization.type == "none"
    return not (is_script or ".sensor." in asset.type)


def lint_query(asset: Asset, log: ProblemLog) -> None:
    """Report a SQL asset without SQL. A file that `run:` names in vain is reported already."""
    is_unread = asset.run and asset.body_path == asset.path
    if asset.body.strip() or asset.materialization.strategy == "ddl" or is_unread:
        return
    message = (
        "the file has no query below its header; a SQL asset needs one"
        if asset.body_path.suffix == ".sql"
        else "a SQL asset needs a query: in a .sql file, or in one that `run:` names"
    )
    log.error(asset.body_path, asset.body_line, "valid-executable-file", message)


def _lint_columns(asset: Asset, log: ProblemLog) -> None:
    seen: dict[str, Position] = {}
    for column in asset.columns:
        at = column.at()
        if not column.name:
            if not column.extends:
                message = "a column needs a 'name', or 'extends' with a glossary attribute"
                log.error(*at, "valid-column-metadata", message)
            continue
        first = seen.setdefault(column.name.lower(), at)
        if first is not at:
            message = f"the column '{column.name}' stands here and in line {first.line}; remove one"
            log.error(*at, "duplicate-column-names", message)


def _lint_custom_checks(asset: Asset, log: ProblemLog) -> None:
    seen: dict[str, Position] = {}
    for check in asset.custom_checks:
        if not check.query.strip():
            message = f"the custom check '{check.name}' has no query; write one in `query:`"
            log.error(*check.at("query"), "custom-check-query-exists", message)
        at = check.at()
        first = seen.setdefault(check.name, at)
        if first is not at:
            message = (
                f"the custom check '{check.name}' stands here and in line {first.line}; remove one"
            )
            log.error(*at, "duplicate-checks", message)


def _lint_times(asset: Asset, log: ProblemLog) -> None:
    """Report what means no time. Templates are judged later."""
    how = asset.interval_modifiers
    written: list[tuple[str | None, Callable[[str], object], Position, str]] = [
        (asset.timeout, _at_least_a_second, asset.at("timeout"), "valid-timeout"),
        (how.start, shift_of, how.at("start"), "valid-time-interval"),
        (how.end, shift_of, how.at("end"), "valid-time-interval"),
        (asset.start_date, _day, asset.at("start_date"), "valid-asset-start-date"),
    ]
    for text, meaning, at, rule in written:
        try:
            if text and "{" not in text:
                meaning(text)
        except ValueError as error:
            log.error(*at, rule, str(error))


def _at_least_a_second(text: str) -> None:
    if seconds_in(text) < 1:
        raise ValueError(f"the timeout '{text}' is shorter than a second; write 1s or more")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"the start_date '{text}' is not a date; write 2026-01-31") from None


def _lint_tags(asset: Asset, log: ProblemLog) -> None:
    for index, tag in enumerate(asset.tags):
        if tag in asset.tags[:index]:
            message = f"the tag '{tag}' stands twice; remove one"
            log.warning(*asset.at("tags", index), "duplicate-tags", message)


def _lint_hooks(asset: Asset, log: ProblemLog) -> None:
    hooks = [*asset.hooks.pre, *asset.hooks.post]
    own = [hook for hook in hooks if hook.path == asset.path]
    if own and not asset.type.endswith(".sql"):
        message = f"hooks are for SQL assets and do not run for the type {asset.type}; remove them"
        report = log.error if asset.type == "python" else log.warning
        report(*asset.at("hooks"), "script-hooks-unsupported", message)
    for hook in own:
        if hook.applicable_type:
            message = "`applicable_type` counts in `default` of pipeline.yml only; remove it here"
            log.warning(*hook.at("applicable_type"), "asset-hooks-applicable-type-ignored", message)
