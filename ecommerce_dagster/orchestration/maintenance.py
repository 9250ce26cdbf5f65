"""The upkeep of the DuckLakes of a pipeline: a job of its own, and its schedule."""

# No `from __future__ import annotations`: Dagster reads the annotation of `context` at run time.
import dagster as dg

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.plain_names import in_copy, job_name, resource_key
from ecommerce_dagster.warehouses.ducklake.maintenance import maintain

# Daily, when few build.
_CRON = "15 4 * * *"


def maintenance_of(project: Project) -> dg.Definitions:
    """The job `<pipeline>_maintenance` with its schedule (UTC, stopped at first).

    For a pipeline with tables in a DuckLake only: expires old snapshots, merges small files.
    """
    connections = project.connections.by_name
    used = {project.connection_name(asset) for asset in project.assets}
    keys = sorted(
        in_copy(resource_key(name), project)
        for name in used & connections.keys()
        if connections[name].platform == "duckdb" and connections[name].is_lakehouse
    )
    if not keys:
        return dg.Definitions()
    name = f"{job_name(project)}_maintenance"

    @dg.op(name=f"{name}_of_lakes", required_resource_keys=set(keys))
    def keep_up(context: dg.OpExecutionContext) -> None:
        for key in keys:
            lake = getattr(context.resources, key).lakehouse()
            context.log.info(f"{lake.address}: {maintain(lake, on_wait=context.log.info)}")

    @dg.job(
        name=name,
        executor_def=dg.in_process_executor,
        description="Expires old snapshots of the DuckLake, merges small files.",
    )
    def job() -> None:
        keep_up()

    schedule = dg.ScheduleDefinition(
        name=f"{name}_schedule",
        job=job,
        cron_schedule=_CRON,
        execution_timezone="UTC",
        description="Keeps the DuckLake small: snapshots of a week stay.",
    )
    return dg.Definitions(jobs=[job], schedules=[schedule])
