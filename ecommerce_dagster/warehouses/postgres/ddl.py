"""The strategy `ddl` in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.sql.strategies import ddl
from ecommerce_dagster.warehouses.postgres.catalog import Catalog
from ecommerce_dagster.warehouses.postgres.session import error_message, run


def declare_table(catalog: Catalog, asset: Asset, existing: Mapping[str, str] | None) -> LoadResult:
    """Bring the table of `asset`, which has these columns, to what is declared, inside the caller's
    transaction. Raises LoadError."""
    table, types = catalog.find(asset.name), catalog.types(ddl.declared_types(asset))
    plan = ddl.declaration(table.sql, asset, existing, types)
    for name, query in plan.defaults.items():
        try:
            run(catalog.session, query)
        except psycopg.Error as error:
            raise LoadError(f"the default of the column {name}: {error_message(error)}") from error
    for statement in plan.statements:
        run(catalog.session, statement)
    return LoadResult(statements=plan.statements, schema_changes=plan.changes)
