"""Tables into DuckDB as an ingestr asset loads them, without Dagster: DSN in the environment, then
`python ours_load.py WAREHOUSE TABLE ...`."""

import os
import sys
import time

from psycopg.conninfo import conninfo_to_dict

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sources.postgres.ingest import Ingestion
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.duckdb.transaction import DuckDBTransaction
from ecommerce_dagster.warehouses.publish import publish

warehouse, *tables = sys.argv[1:]
place = conninfo_to_dict(os.environ["DSN"])
source = PostgresConnection(
    str(place["host"]),
    int(str(place["port"])),
    *map(str, (place["dbname"], place["user"])),
    str(place["password"]),
)
began = time.perf_counter()
with open_warehouse(warehouse) as duck:
    for table in tables:
        parameters = {"source_connection": "pg", "source_table": f"public.{table}"}
        asset = Asset.model_validate(
            {"name": f"raw.{table}", "type": "ingestr", "parameters": parameters}
        )
        fill = Ingestion(asset, source)
        with fill.prepare(duck):
            publish(DuckDBTransaction(duck, asset), asset, fill, [], lambda template: template)
print(time.perf_counter() - began)
