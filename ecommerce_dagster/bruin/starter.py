"""The files of a new pipeline, which validates and runs as it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ecommerce_dagster.bruin.project import find_upwards

_PIPELINE = """\
name: {name}
schedule: daily
default_connections:
  duckdb: duckdb-default
"""
_SEED = """\
name: raw.countries
type: duckdb.seed
description: The countries that customers come from.
parameters:
  path: countries.csv
columns:
  - name: code
    type: varchar
    description: Two letters, as in ISO 3166.
    primary_key: true
    checks:
      - name: not_null
      - name: unique
  - name: name
    type: varchar
    description: The name in English.
"""
_ROWS = """\
code,name
DE,Germany
TR,Turkey
US,United States
"""
_SQL = """\
/* @bruin
name: mart.countries_by_letter
type: duckdb.sql
description: How many countries begin with each letter.
materialization:
  type: table
depends:
  - raw.countries
columns:
  - name: letter
    type: varchar
    description: The first letter of a name.
    primary_key: true
    checks:
      - name: not_null
      - name: unique
  - name: countries
    type: bigint
    description: How many names begin with it.
    checks:
      - name: positive
@bruin */

SELECT left(name, 1) AS letter, count(*) AS countries
FROM raw.countries
GROUP BY ALL
"""
_INGESTR = """\
# Loads a table of PostgreSQL. Fill in .bruin.yml and the name of the table, then remove `enabled`.
name: raw.orders
type: ingestr
enabled: false
description: The orders of the shop.
parameters:
  source_connection: pg-default
  source_table: public.orders
  destination: duckdb
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
      postgres:
        - name: pg-default
          host: ${{POSTGRES_HOST}}
          port: ${{POSTGRES_PORT}}
          username: ${{POSTGRES_USER}}
          password: ${{POSTGRES_PASSWORD}}
          database: ${{POSTGRES_DB}}
"""


def starter_files(name: str, folder: Path, root: Path) -> Mapping[Path, str]:
    """The texts of a pipeline in `folder`, by their paths, and of a `.bruin.yml` in `root` unless
    there is one from `folder` upwards."""
    files = {
        folder / "pipeline.yml": _PIPELINE,
        folder / "assets" / "raw" / "raw.countries.asset.yml": _SEED,
        folder / "assets" / "raw" / "countries.csv": _ROWS,
        folder / "assets" / "raw" / "raw.orders.asset.yml": _INGESTR,
        folder / "assets" / "mart" / "mart.countries_by_letter.sql": _SQL,
    }
    if find_upwards(folder, (".bruin.yml", ".bruin.yaml")) is None:
        files[root / ".bruin.yml"] = _CONFIG
    words = {"name": re.sub(r"\W", "_", name)}
    return {path: text.format(**words) for path, text in files.items()}
