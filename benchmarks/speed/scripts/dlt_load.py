"""Tables into DuckDB by dlt, with its fastest backend: `python dlt_load.py WAREHOUSE TABLE ...`."""

import os
import sys
import tempfile

import dlt
from dlt.sources.sql_database import sql_database

warehouse, *tables = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline(
        "shop",
        pipelines_dir=folder,
        destination=dlt.destinations.duckdb(warehouse),
        dataset_name="raw",
    )
    source = sql_database(
        os.environ["DSN"],
        schema="public",
        table_names=tables,
        backend="connectorx",
        backend_kwargs={"return_type": "arrow"},
    )
    pipeline.run(source, write_disposition="replace", loader_file_format="parquet")
