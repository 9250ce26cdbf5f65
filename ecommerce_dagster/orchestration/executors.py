"""Dagster's executors, as ECOMMERCE_EXECUTOR asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import dagster as dg

from ecommerce_dagster.deploy.executor_setting import chosen, partitions_per_run
from ecommerce_dagster.orchestration.run_launcher import run_heartbeat


def executor_for(variables: Mapping[str, str]) -> dg.ExecutorDefinition:
    """The executor that the environment asks for. Raises ValueError, whose text is for the user."""
    match chosen(variables):
        case "multiprocess":
            return _living(dg.multiprocess_executor)
        case "celery_steps":
            from ecommerce_dagster.deploy.celery_app import celery_steps

            return celery_steps
        case "k8s":
            from dagster_k8s import k8s_job_executor

            return k8s_job_executor
    # A process for each step costs 1.4 s a step, and one DuckDB file has one writer. With celery
    # a worker executes the run; its steps are in the worker's process.
    return dg.in_process_executor


def backfill_policy(variables: Mapping[str, str]) -> dg.BackfillPolicy:
    """How a backfill is cut into runs. Raises ValueError, whose text is for the user."""
    count = partitions_per_run(variables)
    return dg.BackfillPolicy.multi_run(count) if count else dg.BackfillPolicy.single_run()


class _HeartbeatExecutor(dg.Executor):
    """An executor whose run is known to live while its steps are in other processes.

    One of those may be killed: that ends its step, and not the run.
    """

    def __init__(self, executor: dg.Executor) -> None:
        self._executor = executor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    @property
    def retries(self) -> Any:
        return self._executor.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._executor.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        with run_heartbeat(plan_context.instance, plan_context.run_id):
            yield from self._executor.execute(plan_context, execution_plan)


def _living(definition: dg.ExecutorDefinition) -> dg.ExecutorDefinition:
    create: Callable[[dg.InitExecutorContext], dg.Executor] | None = definition.executor_creation_fn
    assert create is not None
    return dg.ExecutorDefinition(
        name=definition.name,
        config_schema=cast(Any, definition.config_schema),
        requirements=dg.multiple_process_executor_requirements(),
        executor_creation_fn=lambda context: _HeartbeatExecutor(create(context)),
        description=definition.description,
    )
