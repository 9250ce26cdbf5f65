"""How old a table may be, and whether it is rebuilt as soon as something upstream is.

Both can stand in the asset's `meta`: `freshness: 26h` (or `off`) and `automation: eager`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.lint.freshness import SHORTEST, freshness_seconds
from ecommerce_dagster.runtime.schedule import cron_of

# A run may take a twelfth of the time between two runs: two hours of a day.
_GRACE = 1 / 12
# The months of a year may be those of a schedule, and the next year is like it.
_TICKS = 12


def freshness_policy_of(asset: Asset, project: Project) -> dg.FreshnessPolicy | None:
    """When Dagster calls the asset stale."""
    allowed = oldest_allowed(asset, project)
    return dg.FreshnessPolicy.time_window(allowed) if allowed else None


def oldest_allowed(asset: Asset, project: Project) -> timedelta | None:
    """How old the asset may become: as its file says, else what people read by the schedule.

    That is each mart (by its tag), and each table that no other asset reads.
    """
    written = asset.meta.get("freshness")
    if written is not None:
        seconds = freshness_seconds(str(written))
    elif "mart" in asset.tags or not project.neighbours.downstream.get(asset.name):
        cron = cron_of(project.pipeline)
        seconds = _seconds_by_schedule(cron) if cron is not None else None
    else:
        seconds = None
    return timedelta(seconds=seconds) if seconds else None


def automation_condition_of(asset: Asset) -> dg.AutomationCondition[dg.AssetKey] | None:
    """With `automation: eager`, the asset is rebuilt when something that it reads has been."""
    if asset.meta.get("automation") != "eager":
        return None
    # Upstream there may be partitions that are never filled: do not wait for all of them.
    missing = dg.AutomationCondition.any_deps_missing()
    return dg.AutomationCondition.eager().without(~missing)


# Every table that no other reads asks for it: 0.8 ms each time.
@lru_cache
def _seconds_by_schedule(cron: str) -> float:
    """The longest time between two ticks of a schedule, and some more."""
    end = start = datetime(2024, 1, 1, tzinfo=UTC)
    windows = dg.TimeWindowPartitionsDefinition(
        cron_schedule=cron, start=start, fmt="%Y-%m-%d-%H:%M", timezone="UTC"
    )
    longest = 0.0
    for _ in range(_TICKS):
        window = windows.get_next_partition_window(end, respect_bounds=False)
        assert window is not None
        longest = max(longest, (window.end - window.start).total_seconds())
        end = window.end
    return max(longest * (1 + _GRACE), SHORTEST)
