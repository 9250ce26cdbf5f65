"""Rows stream through: ten times as many of them need about the same memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from ingestion.helpers import QUERY, TABLE, World

SCRIPT = """
import json, resource, sys
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sources.postgres.ingest import Ingestion
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.duckdb.transaction import DuckDBTransaction
from ecommerce_dagster.warehouses.publish import publish
from ingestion.helpers import asset_of

file, connection, parameters = sys.argv[1], *map(json.loads, sys.argv[2:])
asset = asset_of(parameters)
fill = Ingestion(asset, PostgresConnection(**connection))
with open_warehouse(file, settings={"memory_limit": "80MB"}) as duck:
    with fill.prepare(duck):
        rows = publish(DuckDBTransaction(duck, asset), asset, fill, [], str).rows
unit = 1 if sys.platform == "darwin" else 1024
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""
MEGABYTE = 1_000_000


def peak(w: World, folder: Path, parameters: dict[str, str]) -> tuple[int, int]:
    """The rows that a process of its own loads, and the most memory that it has."""
    arguments = [json.dumps(asdict(w.connection)), json.dumps(parameters)]
    script, file = folder / "load.py", str(folder / "shop.duckdb")
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, str(script), file, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([".", ".."])},
    )
    rows, size = map(int, run.stdout.split())
    return rows, size


@pytest.mark.parametrize("way", [TABLE, QUERY], ids=["table", "query"])
def test_ten_times_the_rows_need_about_the_same_memory(w: World, tmp_path: Path, way: str) -> None:
    w.sql("CREATE UNLOGGED TABLE t (id int, v text)")
    fill = "INSERT INTO t SELECT i, repeat(md5(i::text), 3) FROM generate_series({}, {}) AS i"
    w.sql(fill.format(1, 100_000), "ANALYZE t")
    few, before = peak(w, tmp_path, {"source_table": way})
    w.sql(fill.format(100_001, 1_000_000), "ANALYZE t")
    many, after = peak(w, tmp_path, {"source_table": way})
    assert (few, many) == (100_000, 1_000_000)
    assert after - before < 100 * MEGABYTE, f"{before=:,} {after=:,}"
