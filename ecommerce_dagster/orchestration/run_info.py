"""A `RunInfo` made from Dagster's context: what the runtime needs to know of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import Context, asset_key
from ecommerce_dagster.orchestration.failed_loads import with_setbacks
from ecommerce_dagster.orchestration.latest_states import latest_states
from ecommerce_dagster.orchestration.partitions import (
    Partitions,
    interval_of,
    partitions_of,
    time_windows,
    unit_of,
    whole_range,
)
from ecommerce_dagster.orchestration.past_measures import past_measures
from ecommerce_dagster.orchestration.run_interval import run_interval
from ecommerce_dagster.orchestration.unfinished_runs import naming_others
from ecommerce_dagster.runtime.asset_run import AssetRun
from ecommerce_dagster.runtime.environment_tables import tables_to_read
from ecommerce_dagster.runtime.plain_names import in_copy
from ecommerce_dagster.runtime.render import Rendering, rendering_of
from ecommerce_dagster.runtime.run_info import RunInfo
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.warehouses.sql_asset import AssetError


def asset_run(
    project: Project,
    asset: Asset,
    context: Context,
    partitions: Partitions | None,
) -> AssetRun:
    """The run of an asset that Dagster executes; `partitions` are those of the asset in Dagster.

    Raises AssetError.
    """
    try:
        interval = run_interval(context, asset_key(asset.name, project), partitions)
    except ValueError as error:
        raise AssetError(f"{asset.path}:{asset.line}: {error}") from None
    whole = whole_range_of(project, asset, partitions) if interval is None else None
    windows = time_windows(partitions)
    run = AssetRun.of(project, asset, run_info(context, project), interval, whole)
    return replace(run, unit=unit_of(windows) if windows else "day")


def run_info(context: Context, project: Project) -> RunInfo:
    """A run of Dagster, as plain data and functions."""
    selected = context.job_def.asset_layer.selected_asset_keys
    return RunInfo(
        run_id=context.run.run_id,
        tags=context.run.tags,
        log=context.log,
        on_wait=naming_others(context.log.info, context.instance, context.run.run_id),
        database=lambda key: getattr(context.resources, in_copy(key, project)),
        is_selected=lambda name: asset_key(name, project) in selected,
        latest_states=lambda assets: with_setbacks(
            latest_states(context.instance, assets, project), context.instance, project
        ),
        past_measures=lambda checks: past_measures(context.instance, checks, project),
    )


def whole_range_of(
    project: Project, asset: Asset, partitions: Partitions | None
) -> Interval | None:
    """The time that an asset is rebuilt over when no dates are given: of its partitions, else of
    its pipeline's. None when it is not rebuilt by time."""
    if not is_partitioned(asset):
        return None
    windows = time_windows(partitions) or partitions_of(project.pipeline)
    return whole_range(windows) if windows is not None else None


def rendering(project: Project, asset: Asset, tags: Mapping[str, str]) -> Rendering:
    """What a run with these tags would do for an asset. Raises AssetError."""
    partitions = partitions_of(project.pipeline)
    interval = interval_of(tags, partitions)
    whole = whole_range_of(project, asset, partitions) if interval is None else None
    own = tables_to_read(project, project.connection_name(asset))
    run = AssetRun.of(project, asset, RunInfo("render", tags), interval, whole, own)
    return rendering_of(run)
