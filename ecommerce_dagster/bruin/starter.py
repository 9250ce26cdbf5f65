"""The files of a new pipeline, which validates and runs as it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ecommerce_dagster.bruin.project import connections_file_of
from ecommerce_dagster.errors import FolderError

_PIPELINE = """\
name: {name}
schedule: daily
default_connections:
  duckdb: duckdb-default
"""
_ORDERS = """\
# Loads the file that `source_table` names, in the folder of the connection `files`. For a table of
# PostgreSQL write: source_connection: pg-default, source_table: public.orders
name: raw.{name}_orders
type: ingestr
description: One row is an order, as the shop wrote it.
parameters:
  source_connection: files
  source_table: {data}/orders.csv
  destination: duckdb
columns:
  - name: order_id
    type: bigint
    description: The number of the order.
    primary_key: true
    checks:
      - name: not_null
      - name: unique
  - name: ordered_on
    type: date
    description: The day of the order.
  - name: amount
    type: decimal(10, 2)
    description: The sum of the order in euros.
    checks:
      - name: non_negative
"""
_ROWS = """\
order_id,ordered_on,amount
1,2026-01-01,19.90
2,2026-01-01,5.00
3,2026-01-02,120.00
"""
_DAYS = """\
/* @bruin
name: mart.{name}_orders_daily
type: duckdb.sql
description: One row is a day, with its orders.
depends:
  - raw.{name}_orders
materialization:
  type: table
columns:
  - name: ordered_on
    type: date
    description: The day of the orders.
    primary_key: true
    checks:
      - name: not_null
      - name: unique
  - name: orders
    type: bigint
    description: How many orders there were.
    checks:
      - name: positive
  - name: amount
    type: decimal(38, 2)
    description: The sum of the orders in euros.
    checks:
      - name: non_negative
@bruin */

SELECT ordered_on, count(*) AS orders, sum(amount) AS amount
FROM raw.{name}_orders
GROUP BY ordered_on
ORDER BY ordered_on
"""
_CONFIG = """\
# Connections. ${{NAME}} is a variable of the environment, or of .env beside this file.
default_environment: default
environments:
  default:
    connections:
      duckdb:
        - name: duckdb-default
          path: warehouse.duckdb
      csv:
        - name: files
          path: .
      postgres:
        - name: pg-default
          host: ${{POSTGRES_HOST}}
          port: ${{POSTGRES_PORT}}
          username: ${{POSTGRES_USER}}
          password: ${{POSTGRES_PASSWORD}}
          database: ${{POSTGRES_DB}}
"""
# What the pipeline asks of a `.bruin.yml` that is there already.
CONNECTIONS = "connections duckdb-default (duckdb) and files (csv, path: .)"


def write_pipeline(folder: Path, root: Path) -> list[Path]:
    """Write a pipeline that is called after its folder: a file of orders that is loaded, a table of
    days with checks, and a `.bruin.yml` in `root` unless there is one from `folder` upwards.

    Returns the paths written. Replaces no file.

    Raises:
        FolderError: One of the files exists.
    """
    config = connections_file_of(folder)
    base = config.parent if config else root
    name = re.sub(r"\W+", "_", folder.name).strip("_").lower() or "pipeline"
    files = {
        folder / "pipeline.yml": _PIPELINE,
        folder / "assets" / "raw" / f"raw.{name}_orders.asset.yml": _ORDERS,
        folder / "assets" / "mart" / f"mart.{name}_orders_daily.sql": _DAYS,
        folder / "data" / "orders.csv": _ROWS,
        **({} if config else {root / ".bruin.yml": _CONFIG}),
    }
    words: Mapping[str, str] = {
        "name": name,
        "data": (folder / "data").relative_to(base).as_posix(),
    }
    if there := [str(path) for path in files if path.exists()]:
        raise FolderError(f"nothing was written, because there is already: {', '.join(there)}")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(**words), encoding="utf-8")
    return list(files)
