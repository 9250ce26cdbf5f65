"""Assets whose tables live in PostgreSQL, built and checked in one of its transactions."""

from ecommerce_dagster.postgres_warehouse.publish import check_in_postgres, publish_in_postgres
from ecommerce_dagster.postgres_warehouse.strategies import lint_postgres_materialization

__all__ = ["check_in_postgres", "lint_postgres_materialization", "publish_in_postgres"]
