"""Where runs and their steps are executed: one setting in the environment, ECOMMERCE_EXECUTOR.

Does not import Dagster, so that `ecommerce validate` can look at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal, get_args

from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.errors import installing

SETTING = "ECOMMERCE_EXECUTOR"
BROKER_SETTING = "ECOMMERCE_CELERY_BROKER"
# How many partitions a run of a backfill takes.
PARTITIONS_SETTING = "ECOMMERCE_PARTITIONS_PER_RUN"
Choice = Literal["in_process", "multiprocess", "celery", "celery_steps", "k8s"]
_CHOICES: tuple[Choice, ...] = get_args(Choice)
# What spreads work over machines, and the extra of this package that it needs.
_EXTRAS = {"celery": "celery", "celery_steps": "celery", "k8s": "k8s"}


def chosen(variables: Mapping[str, str]) -> Choice:
    """The executor that the environment asks for. Raises ValueError, whose text is for the user."""
    value = variables.get(SETTING) or "in_process"
    if value not in _CHOICES:
        raise ValueError(f"{SETTING} is '{value}'; {did_you_mean(value, _CHOICES)}")
    extra = _EXTRAS.get(value)
    if extra is not None and find_spec(f"dagster_{extra}") is None:
        raise ValueError(f"{SETTING} is {value}, which needs {installing(extra)}")
    if extra == "celery":
        broker_url(variables)
    return value


def partitions_per_run(variables: Mapping[str, str]) -> int | None:
    """How many partitions a run of a backfill takes; None for all of them in one run.

    Runs on one machine are cheapest together. Machines share a backfill by its runs. Raises
    ValueError, whose text is for the user.
    """
    value = variables.get(PARTITIONS_SETTING)
    if not value:
        return 1 if chosen(variables) in _EXTRAS else None
    if not value.isascii() or not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{PARTITIONS_SETTING} is '{value}'; expected a number from 1 on")
    return int(value)


def broker_url(variables: Mapping[str, str]) -> str:
    """Celery's broker; the URL holds a password. Raises ValueError, whose text is for the user."""
    url = variables.get(BROKER_SETTING)
    if not url:
        raise ValueError(
            f"{SETTING} is {variables.get(SETTING)}, which needs {BROKER_SETTING}: "
            "amqp://user:password@host:5672//, each special character of the password as %XX"
        )
    return url
