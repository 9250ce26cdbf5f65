"""Tables into DuckDB by nothing but CREATE TABLE AS: `python bare_ctas.py WAREHOUSE TABLE ...`."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import duckdb

warehouse, *tables = sys.argv[1:]
spec = find_spec("duckdb_extension_postgres_scanner")
assert spec is not None
assert spec.submodule_search_locations
(extension,) = Path(spec.submodule_search_locations[0]).rglob("*.duckdb_extension")
with duckdb.connect(warehouse) as duck:
    duck.execute(f"LOAD '{extension}'")
    duck.execute(f"ATTACH '{os.environ['DSN']}' AS source (TYPE postgres, READ_ONLY)")
    duck.execute("CREATE SCHEMA raw")
    for table in tables:
        duck.execute(f"CREATE TABLE raw.{table} AS FROM source.public.{table}")
