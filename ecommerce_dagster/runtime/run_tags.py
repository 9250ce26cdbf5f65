"""Tags of a Dagster run that say which time it covers and how its assets are built."""

from __future__ import annotations

from collections.abc import Mapping

from ecommerce_dagster.bruin.model.interval import Interval, interval_between

# Run tags by which a run without partitions gets its dates, and by which anyone asks for a rebuild.
START_TAG = "bruin/start"
END_TAG = "bruin/end"
FULL_REFRESH_TAG = "bruin/full_refresh"
# "true" makes merges drop what is gone from the source, and take what a watermark missed.
RECONCILE_TAG = "bruin/reconcile"
# Which rows `relationships` checks of a run over partitions look at: `written` (what the run can
# have written) while other runs of the same change follow, `all` in the last of them. Without this
# tag all, when the table that they refer to is built in the run.
RELATIONSHIPS_TAG = "bruin/relationships"
# `once`, `wait` or `skip`: what assets do that wait for something. Dagster's own runs wait.
SENSOR_MODE_TAG = "bruin/sensor_mode"
# "false" keeps `interval_modifiers` of the files from widening windows.
MODIFIERS_TAG = "bruin/interval_modifiers"
# What a run was started by in a terminal: `ecommerce: run --tag mart`.
COMMAND_TAG = "ecommerce"
# What changed in the files that such a run is about: `changed since main: mart.sales_daily`.
CHANGES_TAG = "ecommerce/changes"

# Dagster's own tags for the partitions of a run.
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
_PARTITION = "dagster/partition"


def dates_of(tags: Mapping[str, str]) -> Interval | None:
    """The interval that the dates of a run say."""
    return interval_between(tags.get(START_TAG), tags.get(END_TAG))


def keys_of(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """The keys of the first and the last partition that a run is about."""
    if key := tags.get(_PARTITION):
        return key, key
    first = tags.get(RANGE_START_TAG)
    return (first, tags.get(RANGE_END_TAG) or first) if first else None


def has_partition(tags: Mapping[str, str]) -> bool:
    """Whether a run is about partitions."""
    return keys_of(tags) is not None
