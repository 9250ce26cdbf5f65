"""Where the steps of a run are executed: one setting in the environment, ECOMMERCE_EXECUTOR.

Does not import Dagster, so that `ecommerce validate` can look at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal, get_args

from ecommerce_dagster.bruin.connections import Connection, UnusableConnection
from ecommerce_dagster.bruin.lakehouse import CatalogFile
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_types import unsupported
from ecommerce_dagster.orchestration.environment import variables_for
from ecommerce_dagster.warehouse.database import is_file

SETTING = "ECOMMERCE_EXECUTOR"
# How many partitions a run of a backfill takes.
PARTITIONS_SETTING = "ECOMMERCE_PARTITIONS_PER_RUN"
Choice = Literal["in_process", "multiprocess", "celery", "k8s"]
_CHOICES: tuple[Choice, ...] = get_args(Choice)
_MODULES = {"celery": "dagster_celery", "k8s": "dagster_k8s"}
_RULE = "valid-executor"


def chosen(variables: Mapping[str, str]) -> Choice:
    """The executor that the environment asks for. Raises ValueError, whose text is for the user."""
    value = variables.get(SETTING) or "in_process"
    if value not in _CHOICES:
        raise ValueError(f"{SETTING} is '{value}'; {did_you_mean(value, _CHOICES)}")
    module = _MODULES.get(value)
    if module is not None and find_spec(module) is None:
        raise ValueError(
            f"{SETTING} is {value}, which needs pip install 'ecommerce-dagster[{value}]'"
        )
    return value


def partitions_per_run(variables: Mapping[str, str]) -> int | None:
    """How many partitions a run of a backfill takes; None for all of them in one run.

    Runs on one machine are cheapest together. Machines share a backfill by its runs. Raises
    ValueError, whose text is for the user.
    """
    value = variables.get(PARTITIONS_SETTING)
    if not value:
        return 1 if chosen(variables) in _MODULES else None
    if not value.isascii() or not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{PARTITIONS_SETTING} is '{value}'; expected a number from 1 on")
    return int(value)


def lint_executor(project: Project, log: ProblemLog) -> None:
    """Report a setting that means nothing, and tables that the workers could not share."""
    variables = variables_for(project.connections.path)
    try:
        choice = chosen(variables)
        partitions_per_run(variables)
    except ValueError as error:
        log.error(*project.pipeline.at(), _RULE, str(error))
        return
    if choice == "in_process":
        return
    for connection in _warehouses(project):
        if not _has_one_writer(connection, variables):
            continue
        at = (connection.path, connection.line, _RULE)
        what = f"the tables of the connection '{connection.name}' are in a file, which"
        if choice == "multiprocess":
            message = f"{what} one process at a time can write: with {SETTING}=multiprocess steps "
            log.warning(*at, f"{message}wait for each other; in_process is faster")
        else:
            message = f"{what} workers on other machines cannot share; make it a lakehouse whose "
            log.error(*at, f"{message}catalogue is in postgres, or set {SETTING} to in_process")


def _warehouses(project: Project) -> list[Connection]:
    """The connections that hold tables of assets."""
    known = project.connections.by_name
    names = dict.fromkeys(
        project.connection_name(asset)
        for asset in project.assets
        if unsupported(project, asset) is None
    )
    return [known[name] for name in names if name in known]


def _has_one_writer(connection: Connection, variables: Mapping[str, str]) -> bool:
    if connection.platform != "duckdb":
        return False
    try:
        place = connection.duckdb(variables)
    except UnusableConnection:
        return False  # told where it is used
    if place.lakehouse is not None:
        return isinstance(place.lakehouse.catalog, CatalogFile)
    return is_file(place.path)
