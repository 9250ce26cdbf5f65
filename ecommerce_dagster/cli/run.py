"""`ecommerce run`: one Dagster run in this process, told line by line, with a summary."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster import DagsterEventType
from rich.console import Console

from ecommerce_dagster import local
from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.progress import Reporter
from ecommerce_dagster.cli.workspace import resources_for
from ecommerce_dagster.orchestration.build import definitions_of
from ecommerce_dagster.orchestration.names import asset_key, op_name
from ecommerce_dagster.orchestration.partitions import (
    FULL_REFRESH_TAG,
    has_partition,
    is_partitioned,
    partitions_of,
    tags_for,
)

_SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class SelectionError(Exception):
    """A selection that names nothing."""


@dataclass
class CheckOutcome:
    """A check as the run recorded it."""

    name: str
    passed: bool
    blocking: bool
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class AssetOutcome:
    """An asset as the run left it: success, failed, skipped."""

    name: str
    status: str = "skipped"
    rows: int | None = None
    seconds: float = 0.0
    error: str = ""
    checks: list[CheckOutcome] = field(default_factory=list)

    @property
    def failed_checks(self) -> list[CheckOutcome]:
        return [check for check in self.checks if not check.passed]


def select(project: Project, names: Sequence[str], tag: str | None) -> list[str]:
    """The names of the assets to run. Raises SelectionError when there is none."""
    for name in names:
        if name not in project.by_name:
            hint = did_you_mean(name, project.by_name)
            raise SelectionError(f"there is no asset '{name}'; {hint}")
    chosen = [a for a in project.assets if not names or a.name in names]
    if tag is not None:
        tags = {tag for asset in project.assets for tag in asset.tags}
        if tag not in tags:
            raise SelectionError(f"no asset has the tag '{tag}'; {did_you_mean(tag, tags)}")
        chosen = [asset for asset in chosen if tag in asset.tags]
    if not chosen:
        raise SelectionError(f"no asset is named so and has the tag '{tag}'")
    return [asset.name for asset in chosen]


def run_and_report(
    project: Project,
    names: Sequence[str] = (),
    tag: str | None = None,
    interval: Interval | None = None,
    *,
    full_refresh: bool = False,
) -> int:
    """Run a selection and print what happened. The exit code: 0 when everything succeeded."""
    selected = select(project, names, tag)
    reporter = Reporter(Console(), selected, interval)
    outcomes = run(project, selected, interval, reporter, full_refresh=full_refresh)
    reporter.finish(outcomes)
    failed = any(outcome.status != "success" or outcome.failed_checks for outcome in outcomes)
    return 1 if failed else 0


def run(
    project: Project,
    selected: Sequence[str],
    interval: Interval | None,
    reporter: Reporter,
    *,
    full_refresh: bool = False,
) -> list[AssetOutcome]:
    """One Dagster run over the selected assets, recorded in the local instance."""
    local.dagster_home()
    tags = _tags(project, selected, interval, full_refresh)
    definitions = definitions_of(
        project, resources=resources_for(project), partitioned=has_partition(tags)
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    outcomes = {name: AssetOutcome(name) for name in selected}
    listener = _Listener(project, outcomes, reporter)
    with dg.DagsterInstance.get() as instance, reporter:
        run_id = str(uuid.uuid4())
        instance.add_event_listener(run_id, listener)
        job.execute_in_process(
            run_config=_SILENT,
            instance=instance,
            run_id=run_id,
            tags=tags,
            asset_selection=[asset_key(name) for name in selected],
            raise_on_error=False,
        )
    return list(outcomes.values())


def _tags(
    project: Project, selected: Sequence[str], interval: Interval | None, full_refresh: bool
) -> dict[str, str]:
    tags: dict[str, str] = {}
    if interval is not None:
        partitioned = any(is_partitioned(project.by_name[name]) for name in selected)
        partitions = partitions_of(project.pipeline) if partitioned else None
        tags |= tags_for(interval, partitions)
    if full_refresh:
        tags[FULL_REFRESH_TAG] = "true"
    return tags


class _Listener:
    """Turns Dagster's events into outcomes as they happen."""

    def __init__(
        self, project: Project, outcomes: dict[str, AssetOutcome], reporter: Reporter
    ) -> None:
        self._by_step = {op_name(asset_key(name)): outcome for name, outcome in outcomes.items()}
        self._reporter = reporter
        self._started: dict[str, float] = {}

    def __call__(self, entry: Any) -> None:
        event = entry.dagster_event
        if event is None or event.step_key not in self._by_step:
            return
        outcome = self._by_step[event.step_key]
        match event.event_type:
            case DagsterEventType.STEP_START:
                self._started[event.step_key] = entry.timestamp
                self._reporter.started(outcome.name)
            case DagsterEventType.ASSET_MATERIALIZATION:
                self._materialized(outcome, event.step_materialization_data.materialization)
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                self._checked(outcome, event.asset_check_evaluation_data)
            case DagsterEventType.STEP_UP_FOR_RETRY:
                self._reporter.retrying(outcome.name, _reason(event.step_retry_data.error))
            case DagsterEventType.STEP_SUCCESS | DagsterEventType.STEP_FAILURE:
                outcome.seconds = entry.timestamp - self._started.get(
                    event.step_key, entry.timestamp
                )
                failed = event.event_type == DagsterEventType.STEP_FAILURE
                outcome.status = "failed" if failed else "success"
                if failed:
                    outcome.error = _reason(event.step_failure_data.error)
                self._reporter.ended(outcome)

    @staticmethod
    def _materialized(outcome: AssetOutcome, materialization: Any) -> None:
        rows = materialization.metadata.get("dagster/row_count")
        if rows is not None:
            outcome.rows = int(rows.value)

    @staticmethod
    def _checked(outcome: AssetOutcome, evaluation: Any) -> None:
        outcome.checks.append(
            CheckOutcome(
                evaluation.check_name,
                evaluation.passed,
                evaluation.severity == dg.AssetCheckSeverity.ERROR,
                {key: value.value for key, value in evaluation.metadata.items()},
            )
        )


def _reason(error: Any) -> str:
    """The message at the root of a chain of wrapped errors, without class names."""
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return "unknown error"
    text = str(error.message).strip()
    return text.removeprefix("dagster._core.definitions.events.Failure: ").strip()
