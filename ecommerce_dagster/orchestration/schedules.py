"""The pipeline as a job, and its schedule: each tick runs the interval that has just ended."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_types import unsupported
from ecommerce_dagster.orchestration.names import asset_key, slug
from ecommerce_dagster.orchestration.partitions import (
    cron_of,
    is_partitioned,
    partitions_of,
)


def automation_of(project: Project) -> dg.Definitions:
    """The pipeline as one job, and its schedule (UTC, stopped until somebody starts it)."""
    runnable = [asset for asset in project.assets if unsupported(project, asset) is None]
    if not runnable:
        return dg.Definitions()
    job = dg.define_asset_job(
        slug(project.pipeline.name),
        selection=dg.AssetSelection.assets(*(asset_key(a.name) for a in runnable)),
        description="Everything in the pipeline, in order.",
    )
    cron = cron_of(project.pipeline)
    if cron is None:
        return dg.Definitions(jobs=[job])
    schedule = dg.ScheduleDefinition(
        name=f"{slug(project.pipeline.name)}_schedule",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        execution_fn=_tick(project),
        description="Runs the interval that has just ended, and everything below it.",
    )
    return dg.Definitions(jobs=[job], schedules=[schedule])


def _tick(
    project: Project,
) -> Callable[[dg.ScheduleEvaluationContext], dg.RunRequest | dg.SkipReason]:
    partitions = partitions_of(project.pipeline)
    partitioned = any(map(is_partitioned, project.assets))

    def request(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time
        if not partitioned or partitions is None:
            return dg.RunRequest(run_key=now.isoformat())
        ended = partitions.get_partition_key_for_timestamp(now.timestamp() - 1)
        if not partitions.has_partition_key(ended):
            return dg.SkipReason(f"{ended} is before the pipeline's start_date")
        return dg.RunRequest(run_key=ended, partition_key=ended)

    return request
