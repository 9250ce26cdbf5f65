"""What it costs to compare two tables of DuckDB, beside the join that one would write by hand.

    python benchmarks/diff.py --rows 10000000

One row in a hundred has another value. Both tell how many rows came, went and changed; the
comparison tells also which columns, their sums and examples. Prints the medians of processor time,
time and memory over `--rounds`, each a process of its own, and their ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from ecommerce_dagster.runtime.diff.compare import compare_by_key
from ecommerce_dagster.sql.difference import Comparison, shared_columns

_TABLE = """
CREATE TABLE before AS SELECT
    i * 7919 % {rows} AS id, 'name ' || i % 1000 AS name, (i % 9700)::DECIMAL(12, 2) AS amount,
    TIMESTAMP '2025-01-01' + to_seconds(i) AS placed_at, i % 5 AS status,
    CASE WHEN i % 3 <> 0 THEN i * 1.5 END::DOUBLE AS score, i % 10000 AS customer_id,
    DATE '2025-01-01' + (i % 365)::INTEGER AS day
FROM range({rows}) AS t(i);
CREATE TABLE after AS SELECT * REPLACE (
    CASE WHEN hash(id) % 100 = 0 THEN amount + 1 ELSE amount END AS amount
) FROM before WHERE hash(id + 1) % 1000 <> 0
"""


def hand(columns: list[str]) -> str:
    differs = " OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in columns if name != "id")
    return (
        "SELECT count(*) FILTER (b.id IS NULL), count(*) FILTER (a.id IS NULL), "
        f"count(*) FILTER (a.id IS NOT NULL AND b.id IS NOT NULL AND ({differs})) "
        "FROM after a FULL OUTER JOIN before b ON a.id = b.id"
    )


def measure(path: str, which: str, memory: str) -> None:
    """Run one of the two in this process, and print what it took."""
    with duckdb.connect(path, read_only=True) as duck:
        duck.execute(f"SET memory_limit = '{memory}'")
        kinds = [
            {str(row[0]): str(row[1]) for row in duck.execute(f"DESCRIBE {name}").fetchall()}
            for name in ("before", "after")
        ]
        columns = shared_columns(*kinds)
        asked = Comparison("before", "after", columns[:1], columns[1:])
        began, used = time.monotonic(), time.process_time()
        if which == "ours":
            told = compare_by_key(duck, asked)
            assert told is not None
            assert told["columns"][0].examples
            found = [told["added"], told["removed"], told["changed"]]
        else:
            query = hand([column.name for column in columns])
            found = list(duck.execute(query).fetchone() or ())
        took = {"seconds": time.monotonic() - began, "processor": time.process_time() - used}
    print(json.dumps({**took, "found": found}))


def child(path: str, which: str, memory: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--of", path, "--which", which, "--memory", memory]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return {**found, "megabytes": usage.ru_maxrss / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="2GB", help="DuckDB's limit")
    parser.add_argument("--of", help=argparse.SUPPRESS)
    parser.add_argument("--which", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.of:
        measure(options.of, options.which, options.memory)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "tables.duckdb")
        with duckdb.connect(path) as duck:
            duck.execute(_TABLE.format(rows=options.rows))
        found: dict[str, list[dict[str, float]]] = {"hand": [], "ours": []}
        for _ in range(options.rounds):
            for which, rounds in found.items():
                rounds.append(child(path, which, options.memory))
    assert found["hand"][0]["found"] == found["ours"][0]["found"], found
    print(f"{options.rows:,} rows; added, removed, changed: {found['ours'][0]['found']}")
    for fact in ("processor", "seconds", "megabytes"):
        one, other = (statistics.median(r[fact] for r in found[w]) for w in ("hand", "ours"))
        print(f"{fact}: by hand {one:,.1f}, ecommerce diff {other:,.1f}, ratio {other / one:.2f}")


if __name__ == "__main__":
    main()
