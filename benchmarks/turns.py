"""Does a process that waits for the warehouse starve? Eight processes take turns of 50 ms, with
pauses of 20 ms, as fast as no run does.

    python benchmarks/turns.py
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

from ecommerce_dagster.warehouses.duckdb.database import open_warehouse

PROCESSES, TURNS = 8, 20


def take_turns(path: str) -> list[float]:
    """How long each turn was waited for, in seconds."""
    waits = []
    for _ in range(TURNS):
        began = time.monotonic()
        with open_warehouse(path):
            waits.append(time.monotonic() - began)
            time.sleep(0.05)
        time.sleep(0.02)
    return waits


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool(PROCESSES) as pool:
        began = time.monotonic()
        path = str(Path(folder, "warehouse.duckdb"))
        found = pool.map(take_turns, [path] * PROCESSES, chunksize=1)
        everything = time.monotonic() - began
    for waits in sorted(found, key=sum):
        print(f"waited {sum(waits):5.1f} s in all, {max(waits):4.1f} s at most for one turn")
    held = PROCESSES * TURNS * 0.05
    print(f"{PROCESSES * TURNS} turns in {everything:.1f} s; {held:.1f} s of them held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
