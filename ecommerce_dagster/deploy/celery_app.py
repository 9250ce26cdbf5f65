"""The settings of Celery, for the sender of runs and steps and for workers: one durable queue, and
JSON only."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, cast

import dagster as dg
from celery.signals import before_task_publish
from dagster_celery import celery_executor
from dagster_celery.config import TASK_EXECUTE_JOB_NAME, TASK_EXECUTE_PLAN_NAME
from kombu import Exchange, Queue

from ecommerce_dagster.deploy.executor_setting import BROKER_SETTING

# A quorum queue counts how often it has delivered a task. It takes no priorities; Dagster's own
# queue of runs does.
QUEUE = Queue(
    "dagster",
    Exchange("dagster", "topic"),
    routing_key="dagster.#",
    queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 20},
)
SETTINGS: dict[str, Any] = {
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    # The broker has a task on its disk before it counts as sent. A broker that starts anew is
    # waited for.
    "broker_transport_options": {"confirm_publish": True},
    "task_publish_retry_policy": {"max_retries": 60, "interval_step": 0.5, "interval_max": 2},
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # A task is acknowledged when it has ended, so that the broker gives it to another worker when
    # its own dies. One whose connection to the broker broke ends what it has in its hands.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    # With a quorum queue each worker declares 28 queues for delayed tasks, of which there are none.
    "broker_native_delayed_delivery_queue_type": "classic",
    # A process that has not started after four seconds would be killed, on a busy machine for ever.
    "worker_proc_alive_timeout": 120,
    # No task waits behind a long one while another worker has nothing to do.
    "worker_prefetch_multiplier": 1,
    # What steps say goes to the log of the worker as they say it.
    "worker_redirect_stdouts": False,
}


def ignore_declarations() -> None:
    """Show no warnings, in a process that sends tasks, of what dagster-celery does for each one: it
    declares its task anew."""
    warnings.filterwarnings("ignore", "Task name '.*' is already registered")


def _celery_steps(context: dg.InitExecutorContext) -> dg.Executor:
    """The executor of a run, in the process of the run."""
    ignore_declarations()
    create: Callable[[dg.InitExecutorContext], dg.Executor] | None
    create = celery_executor.executor_creation_fn
    assert create is not None
    return create(context)


# Each step is a task. The URL of the broker holds a password: it is read when a run begins, and is
# in no configuration of a run.
celery_steps = dg.ExecutorDefinition(
    name=celery_executor.name,
    config_schema=cast(Any, celery_executor.config_schema),
    requirements=dg.multiple_process_executor_requirements(),
    executor_creation_fn=_celery_steps,
).configured(
    {"broker": {"env": BROKER_SETTING}, "backend": "rpc://", "config_source": SETTINGS},
    name="celery_steps",
)


@before_task_publish.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _declare_queue(sender: str, declare: list[Queue], **_: Any) -> None:
    """dagster-celery would declare a classic queue with priorities under the same name."""
    if sender in (TASK_EXECUTE_JOB_NAME, TASK_EXECUTE_PLAN_NAME):
        declare[:] = [QUEUE]
