"""Whether the executor that the environment asks for can share the tables of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping

from ecommerce_dagster.bruin.model.connections import Connection, UnusableConnection
from ecommerce_dagster.bruin.model.lakehouse import CatalogFile
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.deploy.executor_setting import SETTING, chosen, partitions_per_run
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.warehouses.duckdb.database import is_file

_RULE = "valid-executor"


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
        return False  # reported where it is used
    if place.lakehouse is not None:
        return isinstance(place.lakehouse.catalog, CatalogFile)
    return is_file(place.path)
