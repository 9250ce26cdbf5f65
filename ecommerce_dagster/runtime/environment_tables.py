"""Which tables an environment has itself, for commands that only read."""

from __future__ import annotations

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.schema_prefix import own_tables
from ecommerce_dagster.errors import BruinError
from ecommerce_dagster.runtime.warehouses import WAREHOUSES
from ecommerce_dagster.warehouses.query import ALL_TABLES


def tables_to_read(project: Project, connection: str) -> frozenset[str]:
    """The tables of a project that a connection is asked for with the prefix of the environment;
    all of them when it cannot be asked."""
    prefix, found = project.connections.schema_prefix, project.connections.by_name.get(connection)
    known = WAREHOUSES.get(found.platform) if found else None
    if not prefix or known is None or found is None:
        return frozenset(project.by_name)
    try:
        rows = known.ask(found, ALL_TABLES, None, lambda message: None)[1]
    except BruinError:
        return frozenset(project.by_name)
    return own_tables(project.by_name, prefix, [str(name) for (name,) in rows])
