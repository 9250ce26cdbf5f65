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
from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.ingestion.ingest import Ingestion
from ecommerce_dagster.warehouse.database import open_warehouse
from ecommerce_dagster.warehouse.publish import publish
from ingestion.helpers import asset_of

file, connection, parameters = sys.argv[1], *map(json.loads, sys.argv[2:])
asset = asset_of(parameters)
fill = Ingestion(asset, PostgresConnection(**connection))
with open_warehouse(file, settings={"memory_limit": "80MB"}) as duck:
    with fill.prepare(duck):
        rows = publish(duck, asset, fill, [], str).rows
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
        env={"PYTHONPATH": os.pathsep.join([".", ".."])},
    )
    rows, size = map(int, run.stdout.split())
    return rows, size


@pytest.mark.parametrize(
    "parameters",
    [
        {"source_table": TABLE},
        {"source_table": QUERY},
    ],
    ids=["table", "query"],
)
def test_ten_times_the_rows_need_about_the_same_memory(
    w: World, tmp_path: Path, parameters: dict[str, str]
) -> None:
    w.sql("CREATE UNLOGGED TABLE t (id int, v text)")
    fill = "INSERT INTO t SELECT i, repeat(md5(i::text), 3) FROM generate_series({}, {}) AS i"
    w.sql(fill.format(1, 150_000))
    few, before = peak(w, tmp_path, parameters)
    w.sql(fill.format(150_001, 1_500_000))
    many, after = peak(w, tmp_path, parameters)
    assert (few, many) == (150_000, 1_500_000)
    assert after - before < 120 * MEGABYTE, f"{before=:,} {after=:,}"
