"""The state of a pipeline in a few sentences: what is stale, what failed last, what is running."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import op_name
from ecommerce_dagster.orchestration.freshness import oldest_allowed
from ecommerce_dagster.orchestration.latest_states import latest_states
from ecommerce_dagster.orchestration.translator import code_version_of
from ecommerce_dagster.orchestration.unfinished_runs import LivingRun, living_runs, moment
from ecommerce_dagster.runtime.asset_state import AssetState
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.sql.checks import checks_of

_MOST_RUNS = 20  # that failed, of which the failures are looked up


@dataclass(frozen=True)
class Stale:
    """An asset whose table is not what a run would make it now, and why. `built_at` is empty for
    one that was never built."""

    asset: str
    built_at: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """What ended badly and has not succeeded since: a check, or an asset (no `check`). `file` and
    `line` are where it is declared."""

    asset: str
    check: str
    at: str
    file: Path
    line: int
    message: str
    blocking: bool = True


@dataclass(frozen=True)
class PipelineStatus:
    """The state of a pipeline's assets, and the runs of its Dagster instance."""

    assets: Sequence[str]
    failed: Sequence[Failure]
    stale: Sequence[Stale]
    running: Sequence[LivingRun]


def status_of(project: Project, instance: dg.DagsterInstance | None) -> PipelineStatus:
    """The status of the assets that can run here. Without an instance none was ever built."""
    assets = [
        asset
        for asset in project.assets
        if unsupported(project, asset) is None and not asset.external_key
    ]
    states = latest_states(instance, assets, project)
    failed = [failure for asset in assets for failure in _failed_checks(asset, states[asset.name])]
    if instance is not None:
        known = {failure.asset for failure in failed if failure.blocking}
        failed += _failed_steps(instance, assets, project, states, known)
    return PipelineStatus(
        assets=[asset.name for asset in assets],
        failed=sorted(failed, key=lambda failure: failure.at, reverse=True),
        stale=[found for asset in assets if (found := _stale(asset, project, states))],
        running=living_runs(instance) if instance is not None else [],
    )


def reason_of(error: Any) -> str:
    """The message at the root of a chain of wrapped errors, without class names."""
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return "unknown error"
    text = str(error.message).strip()
    return text.removeprefix(f"{dg.Failure.__module__}.{dg.Failure.__qualname__}: ").strip()


def _stale(asset: Asset, project: Project, states: Mapping[str, AssetState]) -> Stale | None:
    state = states[asset.name]
    if not state.built_at:
        return Stale(asset.name, "", ("never built",))
    reasons = tuple(_reasons(asset, project, states))
    return Stale(asset.name, state.built_at, reasons) if reasons else None


def _reasons(asset: Asset, project: Project, states: Mapping[str, AssetState]) -> Iterator[str]:
    state = states[asset.name]
    newer = [
        d.asset for d in asset.depends
        if d.asset in states and d.mode == "full" and states[d.asset].built_at > state.built_at
    ]  # fmt: skip
    if newer:
        yield f"older than {', '.join(dict.fromkeys(newer))}"
    if state.code_version and state.code_version != code_version_of(asset):
        yield "its definition has changed since"
    allowed = oldest_allowed(asset, project)
    age = datetime.now(UTC) - datetime.fromisoformat(state.built_at)
    if allowed is not None and age > allowed:
        yield f"built {_hours(age)} h ago, {_hours(allowed)} h are allowed"


def _hours(time: timedelta) -> int:
    return round(time.total_seconds() / 3600)


def _failed_checks(asset: Asset, state: AssetState) -> Iterator[Failure]:
    for check, found in zip(checks_of(asset), state.checks, strict=True):
        if found.status == "failed":
            rule = check.rule
            yield Failure(
                asset.name, check.label, found.at, rule.path, rule.line, found.message,
                found.blocking,
            )  # fmt: skip


def _failed_steps(
    instance: dg.DagsterInstance,
    assets: Sequence[Asset],
    project: Project,
    states: Mapping[str, AssetState],
    known: set[str],
) -> Iterator[Failure]:
    """The assets that failed last and were not built since, but for those of which it is `known`
    which check they failed."""
    by_step = {op_name(asset.name, project): asset for asset in assets if asset.name not in known}
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
    for record in instance.get_run_records(filters, limit=_MOST_RUNS):
        run_id = record.dagster_run.run_id
        for entry in instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE):
            event = entry.get_dagster_event()
            # The latest run comes first.
            asset = by_step.pop(event.step_key or "", None)
            at = moment(entry.timestamp)
            if asset is not None and at > states[asset.name].built_at:
                message = reason_of(event.step_failure_data.error)
                yield Failure(asset.name, "", at, asset.path, asset.line, message)
