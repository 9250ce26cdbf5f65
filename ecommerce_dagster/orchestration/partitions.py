"""Time: the partitions of a pipeline, and the interval that a run is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from itertools import product
from zoneinfo import ZoneInfo

import dagster as dg

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.pipeline import Pipeline
from ecommerce_dagster.runtime.run_tags import (
    END_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    START_TAG,
    dates_of,
    keys_of,
)
from ecommerce_dagster.runtime.schedule import cron_of

# Metadata of the event that a partition was filled: how many rows its table then has of it.
PARTITION_ROWS = "dagster/partition_row_count"

# The latest partition is the current one: data of today can be loaded today.
_END_OFFSET = 1

Partitions = dg.PartitionsDefinition[str]


def partitions_of(pipeline: Pipeline) -> dg.TimeWindowPartitionsDefinition | None:
    """One partition for each tick of the schedule since `start_date`, in UTC."""
    cron = cron_of(pipeline)
    if cron is None or not pipeline.start_date:
        return None
    start = datetime.fromisoformat(pipeline.start_date)
    if start.tzinfo is not None:
        start = start.astimezone(UTC).replace(tzinfo=None)
    # The classes for common schedules have keys that people can read: 2026-01-31.
    match cron:
        case "0 0 * * *":
            return dg.DailyPartitionsDefinition(start, timezone="UTC", end_offset=_END_OFFSET)
        case "0 * * * *":
            return dg.HourlyPartitionsDefinition(start, timezone="UTC", end_offset=_END_OFFSET)
        case "0 0 * * 0":
            return dg.WeeklyPartitionsDefinition(start, timezone="UTC", end_offset=_END_OFFSET)
        case "0 0 1 * *":
            return dg.MonthlyPartitionsDefinition(start, timezone="UTC", end_offset=_END_OFFSET)
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule=cron,
        start=start,
        fmt="%Y-%m-%d-%H:%M",
        timezone="UTC",
        end_offset=_END_OFFSET,
    )


def unit_of(windows: dg.TimeWindowPartitionsDefinition) -> str:
    """The largest unit (minute, hour or day), in UTC, that is whole in every partition."""
    minute, hour = [*windows.cron_schedule.split(), "*", "*"][:2]
    zone = ZoneInfo(windows.timezone)
    years = range(windows.start.year, datetime.now(UTC).year + 1)
    moments = [datetime(year, month, 1, tzinfo=zone) for year in years for month in (1, 7)]
    offsets = {moment.utcoffset() for moment in [windows.start, *moments]}
    seconds = {offset.total_seconds() for offset in offsets if offset is not None}
    if minute != "0" or any(offset % 3600 for offset in seconds):
        return "minute"
    return "hour" if hour != "0" or any(seconds) else "day"


def time_windows(partitions: Partitions | None) -> dg.TimeWindowPartitionsDefinition | None:
    """The windows of time that partitions are, or have as one of two dimensions."""
    if isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        return partitions
    found = [windows for _, windows in _time_dimensions(partitions)]
    return found[0] if len(found) == 1 else None


def _time_dimensions(
    partitions: Partitions | None,
) -> Iterator[tuple[str, dg.TimeWindowPartitionsDefinition]]:
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        for dimension in partitions.partitions_defs:
            if isinstance(dimension.partitions_def, dg.TimeWindowPartitionsDefinition):
                yield dimension.name, dimension.partitions_def


def interval_of(
    tags: Mapping[str, str], partitions: dg.TimeWindowPartitionsDefinition | None
) -> Interval | None:
    """The interval of a run with these tags: its partitions, else its dates, else None."""
    keys = keys_of(tags)
    if keys is not None and partitions is not None:
        return interval_of_keys(partitions, *keys)
    return dates_of(tags)


def interval_of_keys(partitions: Partitions, first: str, last: str) -> Interval | None:
    """The time from one partition to another; None when they are not times, or none of these."""
    windows = time_windows(partitions)
    if windows is None:
        return None
    found = [_window(windows, _time_key(partitions, key)) for key in (first, last)]
    if found[0] is None or found[1] is None or found[0].end > found[1].end:
        return None
    return Interval(found[0].start, found[1].end)


def _time_key(partitions: Partitions, key: str) -> str:
    """The part of a key that is about time; nothing when it is not a key of these partitions."""
    if not isinstance(partitions, dg.MultiPartitionsDefinition):
        return key
    [(name, _)] = _time_dimensions(partitions)
    parts = key.split("|")
    names = [dimension.name for dimension in partitions.partitions_defs]
    return dict(zip(names, parts, strict=True))[name] if len(parts) == len(names) else ""


def _window(windows: dg.TimeWindowPartitionsDefinition, key: str) -> Interval | None:
    try:
        found = windows.time_window_for_partition_key(key)
    except ValueError:  # it is written in another way
        return None
    # An hour, read as a day, would be the next day.
    if windows.get_partition_key_for_timestamp(found.start.timestamp()) != key:
        return None
    return Interval(found.start, found.end)


def whole_range(partitions: dg.TimeWindowPartitionsDefinition) -> Interval:
    """From the first partition to the end of the current one."""
    first, last = partitions.get_first_partition_window(), partitions.get_last_partition_window()
    if first is None or last is None:
        now = datetime.now(UTC)
        return Interval(
            partitions.start.astimezone(UTC), max(now, partitions.start.astimezone(UTC))
        )
    return Interval(first.start.astimezone(UTC), last.end.astimezone(UTC))


def rows_by_time(moments: Mapping[float, int], partitions: Partitions | None) -> dict[str, int]:
    """The rows at these moments (seconds since 1970) by the keys of the partitions of time that
    they belong to; by day where there are none, as before the first."""
    windows = time_windows(partitions)
    rows: Counter[str] = Counter()
    for moment, number in sorted(moments.items()):
        if windows and moment >= windows.start.timestamp():
            rows[windows.get_partition_key_for_timestamp(moment)] += number
        else:
            rows[datetime.fromtimestamp(moment, UTC).date().isoformat()] += number
    return dict(rows)


def bad_rows_of(
    keys: Collection[str], moments: Mapping[float, int], partitions: Partitions
) -> dict[str, int]:
    """How many of the rows at these moments are of each partition."""
    rows = rows_by_time(moments, partitions)
    return {key: rows.get(_time_key(partitions, key), 0) for key in keys}


def rows_by_partition(
    moments: Mapping[float, int], partitions: Partitions, store: dg.DagsterInstance
) -> dict[str, int | None]:
    """The keys of the partitions that these moments (seconds since 1970) belong to, and the number
    of rows in each, given that of each moment.

    Those of a second dimension, which `store` may have to tell, are all of it, with an unknown
    number of rows.
    """
    windows = time_windows(partitions)
    if windows is None:
        return {}
    rows: Counter[str] = Counter()
    for moment, number in moments.items():
        rows[windows.get_partition_key_for_timestamp(moment)] += number
    found = sorted(key for key in rows if windows.has_partition_key(key))
    if not isinstance(partitions, dg.MultiPartitionsDefinition):
        return {key: rows[key] for key in found}
    [(name, _)] = _time_dimensions(partitions)
    [other] = [d for d in partitions.partitions_defs if d.name != name]
    others = other.partitions_def.get_partition_keys(dynamic_partitions_store=store)
    pairs = product(found, others)
    return {dg.MultiPartitionKey({name: key, other.name: value}): None for key, value in pairs}


def tags_for(
    interval: Interval, partitions: dg.TimeWindowPartitionsDefinition | None
) -> dict[str, str]:
    """Run tags that say `interval`: as partitions when it is made of whole ones, else as dates."""
    keys = _partition_keys(interval, partitions) if partitions is not None else None
    if keys is not None:
        return {RANGE_START_TAG: keys[0], RANGE_END_TAG: keys[1]}
    return {START_TAG: interval.start.isoformat(), END_TAG: interval.last.isoformat()}


def _partition_keys(
    interval: Interval, partitions: dg.TimeWindowPartitionsDefinition
) -> tuple[str, str] | None:
    first = partitions.get_partition_key_for_timestamp(interval.start.timestamp())
    last = partitions.get_partition_key_for_timestamp(interval.last.timestamp())
    keys = (first, last)
    if not all(partitions.has_partition_key(key) for key in keys):
        return None
    start = partitions.time_window_for_partition_key(first).start
    end = partitions.time_window_for_partition_key(last).end
    return keys if (start, end) == (interval.start, interval.end) else None
