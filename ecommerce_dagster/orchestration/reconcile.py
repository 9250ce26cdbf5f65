"""The weekly look for rows that are gone from the source: a job of its own, and its schedule."""

from __future__ import annotations

import dagster as dg

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.plain_names import job_name
from ecommerce_dagster.runtime.run_tags import RECONCILE_TAG
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.sources.parameters import is_reconcilable

# Sundays, when few wait for the warehouse.
_CRON = "30 3 * * 0"


def reconciliation_of(project: Project, executor: dg.ExecutorDefinition) -> dg.Definitions:
    """The job `<pipeline>_reconcile` with its schedule (UTC, stopped at first).

    It merges as always, also compares keys, and rebuilds what is downstream. Tables with partitions
    have no part in it: what goes from their days is found day by day.
    """
    downstream: set[str] = set()
    for asset in project.assets:  # dependencies come first
        reached = any(dependency.asset in downstream for dependency in asset.depends)
        runs = unsupported(project, asset) is None and not is_partitioned(asset)
        if runs and (reached or is_reconcilable(asset)):
            downstream.add(asset.name)
    if not downstream:
        return dg.Definitions()
    job = dg.define_asset_job(
        f"{job_name(project)}_reconcile",
        selection=dg.AssetSelection.assets(
            *(asset_key(name, project) for name in sorted(downstream))
        ),
        tags={RECONCILE_TAG: "true"},
        executor_def=executor,
        description="Deletes from merged tables the rows that are gone from their source.",
    )
    schedule = dg.ScheduleDefinition(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=_CRON,
        execution_timezone="UTC",
        description="Deletes rows that are gone from the source, and rebuilds what is downstream.",
    )
    return dg.Definitions(jobs=[job], schedules=[schedule])
