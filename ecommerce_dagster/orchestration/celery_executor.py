"""Steps as Celery tasks. The run's own process sends them, and a worker executes each.

A worker: `celery --app ecommerce_dagster.orchestration.celery_worker worker --queues dagster`.
Broker and results are in the PostgreSQL that Dagster keeps its records in (DAGSTER_POSTGRES_*),
unless ECOMMERCE_CELERY_BROKER and ECOMMERCE_CELERY_BACKEND, URLs as Celery knows them, say
otherwise. Neither is ever part of a run's configuration, which Dagster's UI shows.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any, cast

import dagster as dg
from dagster._core.execution.retries import RetryMode, get_retries_config
from dagster_celery.executor import CeleryExecutor
from dagster_celery.make_app import make_app

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.orchestration import postgres_queue

# dagster-celery declares its task anew for each step that it sends.
warnings.filterwarnings("ignore", "Task name 'execute_plan' is already registered")

SETTINGS = {
    # A task is done when its step has ended: what a worker leaves undone, another one does.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_deduplicate_successful_tasks": True,
    # No task waits behind a long step while another worker has nothing to do.
    "worker_prefetch_multiplier": 1,
    "broker_connection_retry_on_startup": True,
    # A queue in PostgreSQL has no messages to all, by which Celery's own tools speak to workers.
    "worker_enable_remote_control": False,
    # What steps say goes to the log of the worker as they say it.
    "worker_redirect_stdouts": False,
}


def urls(variables: Mapping[str, str]) -> tuple[str, str]:
    """Broker and results. They hold a password. Raises ValueError, whose text is for the user."""
    postgres_queue.register()
    broker = variables.get("ECOMMERCE_CELERY_BROKER")
    backend = variables.get("ECOMMERCE_CELERY_BACKEND")
    if broker and backend:
        return broker, backend
    if not variables.get("DAGSTER_POSTGRES_HOST"):
        raise ValueError(
            "ECOMMERCE_EXECUTOR is celery, which needs DAGSTER_POSTGRES_HOST, or both "
            "ECOMMERCE_CELERY_BROKER and ECOMMERCE_CELERY_BACKEND"
        )
    place = PostgresConnection(
        host=variables["DAGSTER_POSTGRES_HOST"],
        port=int(variables.get("DAGSTER_POSTGRES_PORT") or 5432),
        database=variables.get("DAGSTER_POSTGRES_DB") or "dagster",
        user=variables.get("DAGSTER_POSTGRES_USER") or "dagster",
        password=variables.get("DAGSTER_POSTGRES_PASSWORD") or "",
    )
    _, _, address = place.dsn.partition("://")
    return broker or place.dsn, backend or f"db+postgresql+psycopg://{address}"


@dg.executor(
    name="celery",
    config_schema={"retries": get_retries_config()},
    requirements=dg.multiple_process_executor_requirements(),
)
def celery_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Each step is a task of Celery."""
    broker, backend = urls(os.environ)
    retries = RetryMode.from_config(cast(Any, context.executor_config["retries"]))
    executor = CeleryExecutor(retries, broker, backend, config_source=SETTINGS)
    # Nobody else removes the results of steps that are older than a day.
    make_app(executor.app_args()).backend.cleanup()
    return cast(dg.Executor, executor)
