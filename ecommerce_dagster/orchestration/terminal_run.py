"""A run of the command line, recorded as Dagster's pages record one that they launch.

With a selection and an origin a run stands in the timeline, belongs to a code location, and can be
executed again from its page. `execute_in_process` of Dagster records neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import dagster as dg

from ecommerce_dagster._compat import (
    InMemoryJob,
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
    create_execution_plan,
    execute_run,
    snapshot_from_execution_plan,
)

# How Dagster calls the definitions of a module that names no repository.
_REPOSITORY = "__repository__"
# For this process alone: a run that is executed again from its page has a console.
_SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def execute(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    *,
    run_id: str,
    tags: Mapping[str, str],
    assets: Set[dg.AssetKey],
    checks: Set[dg.AssetCheckKey],
    job_name: str | None,
    code_location: str | None,
) -> None:
    """Execute assets and checks as one run, in this process and without a word.

    Args:
        definitions: Those of the pipeline, whose jobs are executed in this process.
        instance: Where the run is recorded.
        run_id: The id that it gets.
        tags: The tags that it gets.
        assets: What to build.
        checks: What to check.
        job_name: The job of which that is everything; None for a part of the pipeline.
        code_location: The name of the one that the run belongs to; None for none.
    """
    if job_name:
        job = definitions.resolve_job_def(job_name)
    else:
        in_process = dg.Definitions(executor=dg.in_process_executor)
        every = dg.Definitions.merge(definitions, in_process)
        job = every.resolve_implicit_global_asset_job_def().get_subset(
            asset_selection=assets, asset_check_selection=checks
        )
    plan = create_execution_plan(job, tags=tags, instance_ref=instance.get_ref())
    run = instance.create_run(
        job_name=job.name,
        run_id=run_id,
        run_config={},
        status=None,
        tags=tags,
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=plan.step_keys_to_execute,
        execution_plan_snapshot=snapshot_from_execution_plan(plan, job.get_job_snapshot_id()),
        job_snapshot=job.get_job_snapshot(),
        parent_job_snapshot=job.get_parent_job_snapshot(),
        # As in a run that a page launches: without assets it is about its checks alone.
        asset_selection=None if job_name else assets or None,
        asset_check_selection=None if job_name else checks,
        resolved_op_selection=None,
        op_selection=None,
        remote_job_origin=_origin(code_location, job.name) if code_location else None,
        job_code_origin=None,
        asset_graph=job.asset_layer.asset_graph,
    )
    # The job is the selection already.
    here = run._replace(run_config=_SILENT, asset_selection=None, asset_check_selection=None)
    execute_run(InMemoryJob(job), here, instance)


def _origin(code_location: str, job: str) -> RemoteJobOrigin:
    location = RegisteredCodeLocationOrigin(code_location)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, _REPOSITORY), job)
