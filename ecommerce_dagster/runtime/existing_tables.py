"""The tables of a pipeline that its databases have, and what is in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.schema_prefix import own_tables, prefixed_name
from ecommerce_dagster.runtime.plan.template_environment import fingerprint
from ecommerce_dagster.runtime.warehouses import WAREHOUSES, Log
from ecommerce_dagster.sql.identifiers import relation

# Of every warehouse: the columns of its tables and views.
ALL_COLUMNS = (
    "SELECT table_schema || '.' || table_name, column_name, data_type "
    "FROM information_schema.columns WHERE table_catalog = current_database() "
    "ORDER BY ordinal_position"
)


@dataclass(frozen=True)
class Table:
    """A table that is there: its asset, what stands after FROM for it, and its columns with their
    types."""

    asset: Asset
    relation: str
    columns: Mapping[str, str]

    def column(self, name: str) -> str | None:
        """The column of that name in any case, as the table has it."""
        return next((found for found in self.columns if found.lower() == name.lower()), None)


@dataclass(frozen=True)
class Database:
    """That of a connection with tables of a project, for questions."""

    project: Project
    connection: str
    tell: Log

    def ask(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """The rows of a query. Raises UnusableConnection, WarehouseError, SourceError."""
        found = self.project.connections.get(self.connection)
        return WAREHOUSES[found.platform].ask(found, sql, None, self.tell)[1]

    def tables(self) -> list[Table]:
        """Those that are there: of two in an environment with a `schema_prefix` that with it."""
        project, prefix = self.project, self.project.connections.schema_prefix
        there: dict[str, dict[str, str]] = {}
        for table, column, type in self.ask(ALL_COLUMNS):
            there.setdefault(str(table).lower(), {})[str(column)] = str(type)
        own, found = own_tables(project.by_name, prefix, there), []
        for asset in project.assets:
            name = prefixed_name(asset.name, prefix if asset.name in own else "")
            columns = there.get(".".join(name.lower().split(".")[-2:]))
            if columns and project.connection_name(asset) == self.connection:
                found.append(Table(asset, relation(name), columns))
        return found


def fingerprints(project: Project, names: Collection[str], tell: Log) -> dict[str, str]:
    """One short text for each table that is there, which is another when a column or a row is."""
    wanted = [asset for asset in project.assets if asset.name in names]
    connections = dict.fromkeys(map(project.connection_name, wanted))
    found: dict[str, str] = {}
    for connection in connections:
        known = WAREHOUSES.get(project.connections.get(connection).platform)
        if known is None:
            continue
        database = Database(project, connection, tell)
        for table in database.tables():
            if table.asset.name in names:
                rows = database.ask(known.rows_hash.format(table.relation))
                found[table.asset.name] = fingerprint([table.columns, list(map(str, rows[0]))])
    return found
