"""Names of tables that DuckDB would not find: it calls a database as its file is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

from ecommerce_dagster.bruin.config_file import Connections
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.connections import UnusableConnection
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.schema_prefix import prefixed_name
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.warehouses.duckdb.database import database_name, is_file
from ecommerce_dagster.warehouses.postgres.name_lengths import lint_lengths

# Types that make a table as their materialization says, and those that always make one.
_QUERIED = {"duckdb.sql", "python"}
_LOADED = {"duckdb.seed", "ingestr"}
# What may attach another database: the statement, or a template with who knows what in it.
_MAY_ATTACH = re.compile(r"\battach\b|\{[{%]", re.IGNORECASE)


def database_names(connections: Connections) -> dict[str, str]:
    """What DuckDB calls the file of each connection that is one."""
    variables = variables_for(connections.path)
    names: dict[str, str] = {}
    for connection in connections.by_name.values():
        if connection.platform == "duckdb" and not connection.is_lakehouse:
            # One that says no path is reported as that.
            with suppress(UnusableConnection):
                path = connection.duckdb(variables).path
                names |= {connection.name: database_name(path)} if is_file(path) else {}
    return names


def lint_database(
    project: Project, asset: Asset, names: Mapping[str, str], log: ProblemLog
) -> None:
    """Report a database, or a schema, in the name of the asset that cannot be, and names that the
    database would cut; `names` are those of the databases by connection."""
    if project.platform(asset) == "postgres" and not asset.type.startswith("pg.sensor."):
        table = prefixed_name(asset.name, project.connections.schema_prefix)
        lint_lengths(asset, table, log)
    file = names.get(project.connection_name(asset))
    makes_table = asset.type in _QUERIED and asset.materialization.type != "none"
    if file is None or not (makes_table or asset.type in _LOADED):
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


def _attaches(asset: Asset) -> bool:
    return any(_MAY_ATTACH.search(hook.query) for hook in asset.hooks.pre)
