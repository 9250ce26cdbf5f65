"""What a Dagster instance last recorded of assets and of their checks, as plain data.

Python assets and the pages are told by it what they can trust. Imports Dagster only to ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.orchestration.names import asset_key, check_name
from ecommerce_dagster.warehouse.checks import Check, checks_of

if TYPE_CHECKING:
    import dagster as dg

Status = Literal["passed", "failed", "unknown"]


@dataclass(frozen=True)
class CheckState:
    """A check and its latest result. `at` is a moment in ISO 8601, UTC; empty when it never ran."""

    label: str
    words: str
    blocking: bool
    status: Status = "unknown"
    at: str = ""
    message: str = ""


@dataclass(frozen=True)
class AssetState:
    """An asset, when its table was last published, with how many rows, and its checks."""

    name: str
    built_at: str = ""
    rows: int | None = None
    checks: tuple[CheckState, ...] = ()

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> AssetState:
        """The inverse of dataclasses.asdict."""
        checks = tuple(CheckState(**check) for check in values["checks"])
        return cls(**{**values, "checks": checks})


def last_known(
    instance: dg.DagsterInstance | None, assets: Sequence[Asset]
) -> dict[str, AssetState]:
    """The state of each asset by its name, in two queries. Without an instance nothing is known."""
    if instance is None:
        return {asset.name: _state(asset, None, {}) for asset in assets}
    import dagster as dg

    keys = {asset.name: asset_key(asset.name) for asset in assets}
    built = {
        record.asset_entry.asset_key: record.asset_entry.last_materialization_record
        for record in instance.get_asset_records(list(keys.values()))
    }
    results = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [
            dg.AssetCheckKey(keys[asset.name], check_name(check))
            for asset in assets
            for check in checks_of(asset)
        ]
    )
    by_name = {(key.asset_key, key.name): record for key, record in results.items()}
    return {
        asset.name: _state(
            asset,
            built.get(keys[asset.name]),
            {c: by_name.get((keys[asset.name], c)) for c in map(check_name, checks_of(asset))},
        )
        for asset in assets
    }


def _state(asset: Asset, built: Any, results: dict[str, Any]) -> AssetState:
    rows = built.asset_materialization.metadata.get("dagster/row_count") if built else None
    return AssetState(
        name=asset.name,
        built_at=_moment(built.timestamp if built else None),
        rows=None if rows is None else int(rows.value),
        checks=tuple(_check_state(c, results.get(check_name(c))) for c in checks_of(asset)),
    )


def _check_state(check: Check, record: Any) -> CheckState:
    """The state by the latest record of a check; one that was planned and never ran has none."""
    state = CheckState(check.label, check.words, check.blocking)
    evaluation = record.evaluation if record is not None else None
    if evaluation is None:
        return state
    return replace(
        state,
        status="passed" if evaluation.passed else "failed",
        at=_moment(record.create_timestamp),
        message=str(evaluation.description or ""),
    )


def _moment(seconds: float | None) -> str:
    """The time of an event as text, exact to the second."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()
