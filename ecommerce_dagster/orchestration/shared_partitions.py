"""The partitions that the translator gives to the assets of a pipeline, and what they must be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.orchestration.partitions import Partitions, time_windows
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.sources.parameters import incremental_key_of


@dataclass(frozen=True)
class SharedPartitions:
    """The windows of time that assets of a pipeline have as partitions, and the names of these
    assets. Without `windows`, schedule and sensors request runs without partitions, which rebuild
    what has some whole."""

    windows: dg.TimeWindowPartitionsDefinition | None = None
    assets: frozenset[str] = frozenset()


def require_time(asset: Asset, partitions: Partitions | None) -> None:
    """Refuse partitions that are not times for an asset that is rebuilt by time.

    Raises DagsterInvalidDefinitionError.
    """
    if partitions is None or not is_partitioned(asset) or time_windows(partitions) is not None:
        return
    raise dg.DagsterInvalidDefinitionError(
        f"{asset.path}:{asset.line}: the translator gives '{asset.name}' a "
        f"{type(partitions).__name__}; it is rebuilt by '{incremental_key_of(asset)}', so that its "
        "partitions must be windows of time"
    )


def shared_partitions(assets: Iterable[tuple[Asset, Partitions | None]]) -> SharedPartitions:
    """What the assets of a pipeline have in common. Raises DagsterInvalidDefinitionError when they
    have different partitions: Dagster has no job for those."""
    found = [(asset, partitions) for asset, partitions in assets if partitions is not None]
    if not found:
        return SharedPartitions()
    first, shared = found[0]
    for asset, partitions in found:
        if partitions != shared:
            raise dg.DagsterInvalidDefinitionError(
                f"{asset.path}:{asset.line}: '{asset.name}' and '{first.name}' have different "
                "partitions; one run has one partition, so that all assets of a pipeline must have "
                "the same, or none"
            )
    if not isinstance(shared, dg.TimeWindowPartitionsDefinition):
        return SharedPartitions()
    return SharedPartitions(shared, frozenset(asset.name for asset, _ in found))
