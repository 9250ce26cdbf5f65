"""Names of tables that DuckDB would not find: it calls a database as its file is called."""

from __future__ import annotations

import re

from ecommerce_dagster.bruin.connections import UnusableConnection
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.schema_prefix import prefixed_name
from ecommerce_dagster.orchestration.environment import variables_for
from ecommerce_dagster.warehouse.database import database_name, is_file

# Types that make a table whatever their materialization says.
_LOADED = {"duckdb.seed", "ingestr"}
# What may attach another database: the statement, or a template with who knows what in it.
_MAY_ATTACH = re.compile(r"\battach\b|\{[{%]", re.IGNORECASE)


def lint_database(project: Project, asset: Asset, log: ProblemLog) -> None:
    """Report a database, or a schema, in the name of the asset that cannot be."""
    file = _database_of(project, asset)
    if file is None:
        return
    name = prefixed_name(asset.name, project.connections.schema_prefix)
    other, schema, _ = ["", "", *name.split(".")][-3:]
    complaint = None
    if other and other.lower() != file.lower() and not _attaches(asset):
        complaint = (
            f"the name '{asset.name}' says the database '{other}', and the connection's is called "
            f"'{file}'; write '{asset.name.partition('.')[2]}', or attach '{other}' in a `pre` hook"
        )
    elif not other and schema.lower() == file.lower():
        complaint = (
            f"the schema '{schema}' is called like the database file, and DuckDB cannot tell them "
            "apart; give the file another name in .bruin.yml"
        )
    if complaint:
        log.error(*asset.at("name"), "valid-database", complaint)


def _database_of(project: Project, asset: Asset) -> str | None:
    """What DuckDB calls the file in which the asset makes a table; None when it makes none, or
    elsewhere."""
    makes_table = asset.type in {"duckdb.sql", "python"} and asset.materialization.type != "none"
    connection = project.connections.by_name.get(project.connection_name(asset))
    if connection is None or not (makes_table or asset.type in _LOADED):
        return None
    if connection.platform != "duckdb" or connection.is_lakehouse:
        return None
    try:
        path = connection.duckdb(variables_for(connection.path)).path
    except UnusableConnection:
        return None
    return database_name(path) if is_file(path) else None


def _attaches(asset: Asset) -> bool:
    return any(_MAY_ATTACH.search(hook.query) for hook in asset.hooks.pre)
