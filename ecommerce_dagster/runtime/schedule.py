"""When a pipeline runs, and which of its assets are rebuilt one interval at a time."""

from __future__ import annotations

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.pipeline import Pipeline
from ecommerce_dagster.sources.parameters import is_windowed

_CRONS = {
    "hourly": "0 * * * *",
    "daily": "0 0 * * *",
    "weekly": "0 0 * * 0",
    "monthly": "0 0 1 * *",
    "yearly": "0 0 1 1 *",
}


def cron_of(pipeline: Pipeline) -> str | None:
    """The schedule as a cron expression; None when there is none (`continuous` is none)."""
    schedule = (pipeline.schedule or "").strip()
    if not schedule or schedule.lower() == "continuous":
        return None
    return _CRONS.get(schedule.lower().removeprefix("@"), schedule)


def is_partitioned(asset: Asset) -> bool:
    """Whether the file says how one interval of the asset is rebuilt."""
    if asset.type == "ingestr":
        return is_windowed(asset)
    return (
        asset.materialization.type == "table" and asset.materialization.strategy == "time_interval"
    )
