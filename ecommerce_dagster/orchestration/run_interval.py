"""The interval that a Dagster run is about, for one of its assets.

The tags of a run hold the key of a partition, and not whose partition it is: the same key is a day
for one partitions definition, a month for another and nothing for a third.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import dagster as dg

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.orchestration.asset_keys import Context
from ecommerce_dagster.orchestration.partitions import Partitions, interval_of_keys, time_windows
from ecommerce_dagster.runtime.run_tags import dates_of, keys_of


def run_interval(context: Context, key: dg.AssetKey, own: Partitions | None) -> Interval | None:
    """The interval of a run for the asset `key`: of its partitions, else of its dates, else None.

    `own` are the asset's partitions in Dagster. An asset without any takes the time of the
    partitions of others, if they are time. Raises ValueError with a sentence for the user when the
    run's partition is none of `own`.
    """
    tags = context.run.tags
    keys = keys_of(tags)
    if keys is None:
        return dates_of(tags)
    if own is None:
        return _agreed(_partitions_in(context, key), keys) or dates_of(tags)
    found = interval_of_keys(own, *keys)
    if found is None and (windows := time_windows(own)) is not None:
        said = " to ".join(f"'{key}'" for key in dict.fromkeys(keys))
        message = f"the partition {said} of the run is none of"
        raise ValueError(f"{message} the asset's, which are called like {_example(windows)}")
    return found or dates_of(tags)


def _example(windows: dg.TimeWindowPartitionsDefinition) -> str:
    return f"'{windows.get_partition_key_for_timestamp(windows.start.timestamp())}'"


def _agreed(definitions: Iterable[Partitions], keys: tuple[str, str]) -> Interval | None:
    """The time of these partitions; None when it is none, or another one for each definition."""
    found = {interval_of_keys(definition, *keys) for definition in definitions} - {None}
    return found.pop() if len(found) == 1 else None


def _partitions_in(context: Context, key: dg.AssetKey) -> Collection[Partitions]:
    """The definitions that the run's partition may belong to: those of the assets in the run; when
    they have none, that of the job; else those of what the asset is made of, which the first try of
    a run that is repeated has built."""
    job = context.job_def
    graph = job.asset_layer.asset_graph

    def found(assets: Iterable[dg.AssetKey]) -> Iterator[Partitions]:
        nodes = (graph.get(asset) for asset in assets if graph.has(asset))
        return (node.partitions_def for node in nodes if node.partitions_def is not None)

    return (
        set(found(job.asset_layer.selected_asset_keys))
        or ({job.partitions_def} if job.partitions_def is not None else set())
        or set(found(graph.get_ancestor_asset_keys(key)))
    )
