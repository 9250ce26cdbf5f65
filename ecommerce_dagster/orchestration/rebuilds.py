"""What has to be built again after a change, and what that takes, by what runs have recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.orchestration.latest_states import number_in
from ecommerce_dagster.orchestration.partitions import partitions_of
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.sources.parameters import strategy_of
from ecommerce_dagster.sql.strategies.registry import strategy_name

How = Literal["run", "partitions", "full-refresh", "restricted"]

# Each run of those makes the whole table.
_WHOLE = {"create+replace", "truncate+insert", "ddl"}


@dataclass(frozen=True)
class Rebuild:
    """How the table of an asset becomes what its definition says.

    `partitions` are first and last keys of ranges that have been built. `rows` and `seconds` are
    those to expect; None where no run tells.
    """

    asset: str
    how: How
    partitions: tuple[tuple[str, str], ...] = ()
    count: int = 0
    rows: int | None = None
    seconds: float | None = None


def rebuilds_of(
    names: Iterable[str],
    project: Project,
    instance: dg.DagsterInstance | None,
    done: Mapping[str, frozenset[str]] = MappingProxyType({}),
) -> list[Rebuild]:
    """The rebuild of each of these assets, those first that others read. `done` are partitions that
    are as they should be."""
    wanted = set(names)
    return [
        _rebuild(asset, project, instance, done.get(asset.name, frozenset()))
        for asset in project.assets
        if asset.name in wanted
    ]


def _rebuild(
    asset: Asset, project: Project, instance: dg.DagsterInstance | None, done: frozenset[str]
) -> Rebuild:
    how = _how(asset)
    if instance is None:
        return Rebuild(asset.name, how)
    key = asset_key(asset.name, project)
    ranges, count = _built(project, instance, key, done) if how == "partitions" else ((), 0)
    event = instance.get_latest_materialization_event(key)
    built = event.asset_materialization if event is not None else None
    if built is None:
        return Rebuild(asset.name, how, ranges, count)
    rows = number_in(built.metadata, "dagster/row_count")
    parts = [number_in(built.metadata, f"{part}_seconds") for part in ("build", "check")]
    seconds = sum(part or 0 for part in parts) if any(parts) else None
    if how == "partitions" and seconds is not None:
        # As fast as the last run was, for all rows that the table has.
        written = number_in(built.metadata, "rows_written")
        seconds = seconds / written * rows if written and rows is not None else None
    rounded = None if seconds is None else round(seconds, 2)
    return Rebuild(asset.name, how, ranges, count, _whole(rows), rounded)


def _how(asset: Asset) -> How:
    if is_partitioned(asset):
        return "partitions"
    how = asset.materialization
    strategy = strategy_of(asset) if asset.type == "ingestr" else strategy_name(asset)
    if strategy in _WHOLE or (how.type != "table" and asset.type != "ingestr"):
        return "run"
    return "restricted" if asset.is_refresh_restricted else "full-refresh"


def _built(
    project: Project, instance: dg.DagsterInstance, key: dg.AssetKey, done: frozenset[str]
) -> tuple[tuple[tuple[str, str], ...], int]:
    """The ranges of partitions that have been built and are not `done`, and how many there are."""
    partitions = partitions_of(project.pipeline)
    built = instance.get_materialized_partitions(key) - done
    if partitions is None or not built:
        return (), 0
    ranges: list[tuple[str, str]] = []
    before = ""
    for name in partitions.get_partition_keys():
        if name in built:
            first = ranges.pop()[0] if before in built and ranges else name
            ranges.append((first, name))
        before = name
    return tuple(ranges), len(built)


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
