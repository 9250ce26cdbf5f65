"""A seed in PostgreSQL: DuckDB reads the file and casts its values, as for a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg
from psycopg import sql

from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.ingestion.seed import Seed
from ecommerce_dagster.postgres_warehouse.catalog import Catalog
from ecommerce_dagster.postgres_warehouse.load import STAGE_AS, STAGED, load_table
from ecommerce_dagster.postgres_warehouse.session import run, said
from ecommerce_dagster.warehouse.database import described, open_warehouse
from ecommerce_dagster.warehouse.identifiers import quoted
from ecommerce_dagster.warehouse.load import Loaded, LoadError
from ecommerce_dagster.warehouse.sql_asset import AssetError

_FILE = "file"
_BATCH = 10_000
