"""Tables into DuckDB by nothing but CREATE TABLE AS: `python bare_ctas.py WAREHOUSE TABLE ...`."""

import os
import sys
import time

import duckdb

from ecommerce_dagster.warehouses.duckdb.extensions import load_extension

warehouse, *tables = sys.argv[1:]
began = time.perf_counter()
with duckdb.connect(warehouse) as duck:
    load_extension(duck, "postgres_scanner")
    duck.execute(f"ATTACH '{os.environ['DSN']}' AS source (TYPE postgres, READ_ONLY)")
    duck.execute("CREATE SCHEMA raw")
    for table in tables:
        duck.execute(f"CREATE TABLE raw.{table} AS FROM source.public.{table}")
print(time.perf_counter() - began)
