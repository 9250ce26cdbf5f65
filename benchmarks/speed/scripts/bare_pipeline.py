"""The shop's tables by their bare statements: `python bare_pipeline.py WAREHOUSE
PIPELINE`, DSN in the environment.

In one process, without Dagster, checks or types: raw tables by CREATE TABLE AS from PostgreSQL, all
others from the queries of the files.
"""

import os
import sys

import duckdb

from ecommerce_dagster.bruin.templates.render import RunContext
from ecommerce_dagster.orchestration.build import load_project
from ecommerce_dagster.sql.identifiers import quoted, relation
from ecommerce_dagster.warehouses.duckdb.extensions import load_extension

warehouse, pipeline = sys.argv[1:]
project = load_project(pipeline)
context = RunContext(full_refresh=True, variables=project.variables)
with duckdb.connect(warehouse) as duck:
    load_extension(duck, "postgres_scanner")
    duck.execute(f"ATTACH '{os.environ['DSN']}' AS source (TYPE postgres, READ_ONLY)")
    duck.execute("SET TimeZone = 'UTC'")
    for asset in project.assets:
        schema, _, name = asset.name.partition(".")
        if schema not in {"raw", "stg", "mart"}:
            continue
        query = (
            f"FROM source.public.{quoted(name)}"
            if schema == "raw"
            else project.render(asset.body, context, asset)
        )
        duck.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        duck.execute(f"CREATE TABLE {relation(asset.name)} AS {query}")
