"""The rules that policies can name without writing them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.yaml.located import Position

_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_CAMEL_CASE = re.compile(r"[a-z][a-z0-9]*([A-Z][a-z0-9]*)*")
_PLACEHOLDER = re.compile(
    r"\W*(todo|tbd|tba|fixme|placeholder|description|n/?a|none|null|test|xxx+|\.+|-+)?\W*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Judged:
    """What a rule looks at. `returned` has the columns of each query that is known to return
    these and no others."""

    project: Project
    returned: Mapping[str, Collection[str]] = field(default_factory=dict)


Violation = tuple[Position, str]
AssetRule = Callable[[Asset, Judged], Iterator[Violation]]
PipelineRule = Callable[[Project], Iterator[Violation]]


def _asset(holds: Callable[[Asset], bool], key: str, message: str) -> AssetRule:
    def violations(asset: Asset, judged: Judged) -> Iterator[Violation]:
        if not holds(asset):
            yield asset.at(key), message.format(asset.name)

    return violations


def _columns(holds: Callable[[Column], bool], message: str) -> AssetRule:
    def violations(asset: Asset, judged: Judged) -> Iterator[Violation]:
        for column in asset.columns:
            if column.name and not holds(column):
                at = column.at()
                at = at if at.path == asset.path else asset.at("columns")
                yield at, message.format(column.name)

    return violations


def _pipeline(key: str, message: str) -> PipelineRule:
    def violations(project: Project) -> Iterator[Violation]:
        if not project.pipeline.written(key):
            yield project.pipeline.at(key), message

    return violations


def _describes(text: str) -> bool:
    """Whether a description, if there is one, says anything."""
    return not text.strip() or _PLACEHOLDER.fullmatch(text.strip()) is None


def _placeholders(asset: Asset, judged: Judged) -> Iterator[Violation]:
    if not _describes(asset.description):
        yield asset.at("description"), f"the description of '{asset.name}' says nothing"
    yield from _columns(
        lambda column: _describes(column.description), "the description of '{}' says nothing"
    )(asset, judged)


def _matches_query(asset: Asset, judged: Judged) -> Iterator[Violation]:
    returned = judged.returned.get(asset.name)
    if returned is None:
        return
    declared = {column.name.lower(): column for column in asset.columns if column.name}
    for name in returned:
        if name.lower() not in declared:
            message = f"the query returns the column '{name}', which is not in `columns`"
            yield asset.at("columns"), message
    names = {name.lower() for name in returned}
    for name, column in declared.items():
        if name not in names:
            at = column.at() if column.at().path == asset.path else asset.at("columns")
            yield at, f"the query does not return the column '{column.name}'"


def _nothing(asset: Asset, judged: Judged) -> Iterator[Violation]:
    """For rules about other platforms."""
    return iter(())


def _is_checked(asset: Asset) -> bool:
    return bool(asset.custom_checks) or any(column.checks for column in asset.columns)


ASSET_RULES: dict[str, AssetRule] = {
    "asset-name-is-lowercase": _asset(
        lambda asset: asset.name == asset.name.lower(), "name", "the name '{}' is not in lower case"
    ),
    "asset-name-is-schema-dot-table": _asset(
        lambda asset: re.fullmatch(r"[^.]+\.[^.]+", asset.name) is not None,
        "name",
        "the name '{}' is not of the form schema.table",
    ),
    "asset-has-description": _asset(
        lambda asset: bool(asset.description.strip()), "description", "'{}' has no description"
    ),
    "asset-has-owner": _asset(lambda asset: bool(asset.owner), "owner", "'{}' has no owner"),
    "asset-has-columns": _asset(
        lambda asset: bool(asset.columns), "columns", "'{}' has no columns"
    ),
    "asset-has-primary-key": _asset(
        lambda asset: bool(asset.primary_key),
        "columns",
        "'{}' has no column with primary_key: true",
    ),
    "asset-has-checks": _asset(_is_checked, "columns", "'{}' has no checks"),
    "asset-has-tags": _asset(lambda asset: bool(asset.tags), "tags", "'{}' has no tags"),
    "asset-has-no-cross-pipeline-dependencies": _asset(
        lambda asset: not any(each.uri for each in asset.depends),
        "depends",
        "'{}' depends on an asset of another pipeline",
    ),
    "column-has-description": _columns(
        lambda column: bool(column.description.strip()), "the column '{}' has no description"
    ),
    "column-has-type": _columns(lambda column: bool(column.type), "the column '{}' has no type"),
    "column-name-is-snake-case": _columns(
        lambda column: _SNAKE_CASE.fullmatch(column.name) is not None,
        "the column '{}' is not in snake_case",
    ),
    "column-name-is-camel-case": _columns(
        lambda column: _CAMEL_CASE.fullmatch(column.name) is not None,
        "the column '{}' is not in camelCase",
    ),
    "column-type-is-valid-for-platform": _nothing,
    "description-must-not-be-placeholder": _placeholders,
    "query-matches-columns": _matches_query,
}
PIPELINE_RULES: dict[str, PipelineRule] = {
    "pipeline-has-notifications": _pipeline("notifications", "the pipeline has no notifications"),
    "pipeline-has-retries": _pipeline("retries", "the pipeline has no retries"),
    "pipeline-has-start-date": _pipeline("start_date", "the pipeline has no start_date"),
    "pipeline-has-metadata-push": _pipeline("metadata_push", "the pipeline has no metadata_push"),
}
