"""Assets whose tables live in PostgreSQL, built and checked in one of its transactions."""

from ecommerce_dagster.postgres_warehouse.strategies import lint_postgres_materialization
from ecommerce_dagster.postgres_warehouse.warehouse import PostgresWarehouse

__all__ = ["PostgresWarehouse", "lint_postgres_materialization"]
