"""The pipeline as a job, and its schedule: each tick runs the interval that has just ended.

Intervals that ended while the scheduler was not running are caught up in one run.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key, check_key
from ecommerce_dagster.orchestration.shared_partitions import SharedPartitions
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.plain_names import job_name
from ecommerce_dagster.runtime.run_tags import RANGE_END_TAG, RANGE_START_TAG
from ecommerce_dagster.runtime.schedule import cron_of
from ecommerce_dagster.sql.checks import checks_of

# Dagster has no public name for what `define_asset_job` returns.
Job = Any
# So many intervals are caught up; who was away for longer asks for a backfill.
_MOST = 31


def job_of(project: Project, executor: dg.ExecutorDefinition) -> Job | None:
    """All that the pipeline can run as one job; `executor` executes its steps. None for nothing."""
    runnable = [asset for asset in project.assets if unsupported(project, asset) is None]
    sources = [asset for asset in runnable if asset.external_key]
    own = [asset_key(asset.name, project) for asset in runnable if not asset.external_key]
    if not own:
        return None
    checks = [check_key(check, project) for source in sources for check in checks_of(source)]
    return dg.define_asset_job(
        job_name(project),
        selection=dg.AssetSelection.assets(*own) | dg.AssetSelection.checks(*checks),
        executor_def=executor,
        description="Everything in the pipeline, in order.",
    )


def schedules_of(
    project: Project,
    shared: SharedPartitions,
    status: dg.DefaultScheduleStatus,
    job: Job,
) -> list[dg.ScheduleDefinition]:
    """The schedule of the pipeline (UTC), where it has one. It starts as `status` says."""
    cron = cron_of(project.pipeline)
    if cron is None:
        return []
    schedule = dg.ScheduleDefinition(
        name=_name(project),
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        execution_fn=_tick(project, shared),
        default_status=status,
        description="Runs the interval that has just ended, and everything downstream.",
    )
    return [schedule]


def _name(project: Project) -> str:
    return f"{job_name(project)}_schedule"


def _tick(
    project: Project, shared: SharedPartitions
) -> Callable[[dg.ScheduleEvaluationContext], dg.RunRequest | dg.SkipReason]:
    windows = shared.windows

    def request(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time
        if windows is None:
            return dg.RunRequest(run_key=now.isoformat(), tags=_retries(project))
        ended = _ended_by(now, windows)
        if not ended:
            return dg.SkipReason("no partition since the pipeline's start_date has ended")
        missed = _missed(project, shared, ended, context.instance)
        if not missed:
            return dg.SkipReason(f"{ended[-1]} was run already")
        first, last = missed[0], missed[-1]
        tags = {RANGE_START_TAG: first, RANGE_END_TAG: last, **_retries(project)}
        return dg.RunRequest(run_key=f"{first}:{last}", tags=tags)

    return request


def _retries(project: Project) -> dict[str, str]:
    """A run whose process dies starts again, as often as an asset that fails."""
    retries = project.pipeline.retries
    return {"dagster/max_retries": str(retries)} if retries else {}


def _ended_by(now: datetime, partitions: dg.TimeWindowPartitionsDefinition) -> list[str]:
    """The partitions that have ended."""
    current = partitions.get_partition_key_for_timestamp(now.timestamp())
    end = _start(partitions, current)
    keys = partitions.get_partition_keys()
    if keys and _start(partitions, keys[-1]) < end:
        return list(keys)
    return list(keys[: keys.index(current)]) if current in keys else []


def _missed(
    project: Project,
    shared: SharedPartitions,
    ended: list[str],
    instance: dg.DagsterInstance,
) -> list[str]:
    """The partitions to run: the latest, and those that were missed.

    Missed are those after the last one that this schedule ran; before its first run, those after
    the last one that is materialized. `catchup` of pipeline.yml can ask for none or for all.
    """
    catchup = str(project.pipeline.catchup).lower()
    if (done := _last_run(instance, _name(project))) in ended:
        missed = ended[ended.index(done) + 1 :]
    elif catchup == "all":
        missed = ended
    else:
        keys = [asset_key(name, project) for name in shared.assets]
        filled = set().union(*map(instance.get_materialized_partitions, keys))
        last = max((n for n, key in enumerate(ended) if key in filled), default=len(ended))
        # The latest may have been filled before it was over.
        missed = ended[last + 1 :] or ended[-1:]
    most = {"false": 1, "all": len(ended)}.get(catchup, _MOST)
    return missed[-most:]


def _last_run(instance: dg.DagsterInstance, schedule: str) -> str | None:
    """The last partition that a schedule asked for."""
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/schedule_name": schedule}), limit=1)
    return runs[0].tags.get(RANGE_END_TAG) if runs else None


def _start(partitions: dg.TimeWindowPartitionsDefinition, key: str) -> datetime:
    return partitions.time_window_for_partition_key(key).start
