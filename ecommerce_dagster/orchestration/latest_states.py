"""What a Dagster instance last recorded of assets and of their checks, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from ecommerce_dagster._compat import AssetCheckExecutionRecordStatus as Status
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key, check_key
from ecommerce_dagster.orchestration.unfinished_runs import moment
from ecommerce_dagster.runtime.asset_state import AssetState, CheckState
from ecommerce_dagster.sql.checks import Check, checks_of


def latest_states(
    instance: dg.DagsterInstance | None, assets: Sequence[Asset], project: Project
) -> dict[str, AssetState]:
    """The state of each of these assets of `project`, by its name. Without an instance nothing is
    known."""
    if instance is None or not assets:
        return {asset.name: _state(asset, project, None, {}) for asset in assets}
    keys = {asset.name: asset_key(asset.name, project) for asset in assets}
    built = {
        record.asset_entry.asset_key: record.asset_entry.last_materialization_record
        for record in instance.get_asset_records(list(keys.values()))
    }
    checks = [check for asset in assets for check in checks_of(asset)]
    wanted = {check.id: check_key(check, project) for check in checks}
    found = latest_results(instance, list(wanted.values()))
    results = {id: found[key] for id, key in wanted.items() if key in found}
    return {
        asset.name: _state(asset, project, built.get(keys[asset.name]), results) for asset in assets
    }


def latest_results(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey]
) -> dict[dg.AssetCheckKey, Any]:
    """The latest record with a result of each check: a run may have planned it and never come to
    it, as when something upstream failed."""
    storage, done = instance.event_log_storage, {Status.SUCCEEDED, Status.FAILED}
    found: dict[dg.AssetCheckKey, Any] = {}
    for key, record in storage.get_latest_asset_check_execution_by_key(keys).items():
        if record.status in done:
            found[key] = record
        elif earlier := storage.get_asset_check_execution_history(key, limit=1, status=done):
            found[key] = earlier[0]
    return found


def _state(asset: Asset, project: Project, built: Any, results: Mapping[str, Any]) -> AssetState:
    rows = built.asset_materialization.metadata.get("dagster/row_count") if built else None
    return AssetState(
        name=asset.name,
        built_at=moment(built.timestamp) if built else "",
        rows=None if rows is None else int(rows.value),
        code_version=_code_version(built) if built else "",
        checks=tuple(_check_state(check, results.get(check.id)) for check in checks_of(asset)),
        depends=tuple(project.neighbours.upstream.get(asset.name, ())),
    )


def _code_version(built: Any) -> str:
    tags = built.asset_materialization.tags or {}
    return str(tags.get("dagster/code_version", ""))


def _check_state(check: Check, record: Any) -> CheckState:
    state = CheckState(check.label, check.words, check.blocking)
    if record is None:
        return state
    evaluation = record.evaluation
    return replace(
        state,
        status="passed" if evaluation.passed else "failed",
        at=moment(record.event.timestamp),
        message=str(evaluation.description or ""),
    )


def number_in(metadata: Mapping[str, Any], name: str) -> float | None:
    """A number that was recorded under a name; None when none was."""
    value = getattr(metadata.get(name), "value", None)
    return float(value) if isinstance(value, int | float) else None
