"""Resources that a project gives to `build_defs` in place of connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.model.connections import Connection
from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.resources import has_resource
from ecommerce_dagster.runtime.plain_names import resource_key

# The method by which assets reach a database of each kind, and a class that has it.
_NEEDED = {
    "duckdb": ("get_connection", "WarehouseResource"),
    "postgres": ("settings", "PostgresResource"),
}


def require_replacements(projects: Sequence[Project], resources: Mapping[str, Any]) -> None:
    """Refuse resources that would stand in for no connection, or could not.

    Raises DagsterInvalidDefinitionError with a line for each.
    """
    connections = {
        resource_key(connection.name): connection
        for project in projects
        for connection in project.connections.by_name.values()
        if has_resource(connection)
    }
    refused = []
    for key, resource in resources.items():
        if key not in connections:
            hint = did_you_mean(key, connections)
            refused.append(f"the resource '{key}' replaces no connection; {hint}")
        elif (method := _lacks(resource, connections[key])) is not None:
            name, example = method
            refused.append(
                f"the resource '{key}' is a {_type_of(resource).__name__}; the connection "
                f"'{connections[key].name}' of type {connections[key].platform} needs one with "
                f"{name}(), as {example} has"
            )
    if refused:
        raise dg.DagsterInvalidDefinitionError("\n".join(refused))


def _lacks(resource: Any, connection: Connection) -> tuple[str, str] | None:
    """The method that a resource would need, and a class that has it. What a factory or a function
    makes is known in a run only."""
    kind = _type_of(resource)
    factory = hasattr(kind, "create_resource") and not issubclass(kind, dg.ConfigurableResource)
    if factory or isinstance(resource, dg.ResourceDefinition):
        return None
    needed = _NEEDED.get(connection.platform)
    return needed if needed is not None and not hasattr(kind, needed[0]) else None


def _type_of(resource: Any) -> type:
    """The class of a resource, also of one that is configured when a run is started."""
    found = getattr(resource, "resource_cls", type(resource))
    return found if isinstance(found, type) else type(resource)
