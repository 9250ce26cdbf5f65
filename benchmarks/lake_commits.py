"""What a commit to a DuckLake costs while others commit: seconds, conflicts, and rows in the end.

    python benchmarks/lake_commits.py --writers 1 --writers 4 --writers 16

Each writer is a process that replaces a day of one table again and again, each its own day: what
`time_interval` does in a backfill, without its locks, which writers of different days do not meet.
A commit that DuckLake refuses is done again after a random pause, as the project does. The
catalogue is in a PostgreSQL of its own, the rows in a folder. Exit code 1 when rows are wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import duckdb
import psycopg

from ecommerce_dagster.bruin.model.lakehouse import Lakehouse
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer
from ecommerce_dagster.warehouses.ducklake.attach import open_lake

COMMITS, ROWS = 20, 1000
_INSERT = f"INSERT INTO days SELECT ?, x FROM range({ROWS}) AS rows (x)"


def main() -> int:
    """Measure each number of writers and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--writers", type=int, action="append", required=True)
    options = parser.parse_args()
    print(f"{'writers':>7} {'seconds a commit':>17} {'commits a second':>17} {'conflicts':>10}")
    is_right = True
    for writers in options.writers:
        with tempfile.TemporaryDirectory(prefix="commits-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            (folder / "lake").mkdir()
            with EmbeddedPostgres(folder / "catalogue") as server:
                is_right &= _measure(lake_of(server, folder), writers)
    return 0 if is_right else 1


def lake_of(server: PostgresServer, folder: Path) -> Lakehouse:
    catalog = PostgresConnection(
        host=server.host,
        port=server.port,
        database=server.database,
        user=server.user,
        password=server.password,
    )
    return Lakehouse(catalog, str(folder / "lake"))


def _measure(lake: Lakehouse, writers: int) -> bool:
    with open_lake(lake) as connection:
        connection.execute("CREATE TABLE days (day INTEGER, x BIGINT)")
    with ProcessPoolExecutor(writers) as processes:
        list(processes.map(_write, [lake] * writers, range(writers), [1] * writers))  # they start
        began = time.monotonic()
        found = list(processes.map(_write, [lake] * writers, range(writers), [COMMITS] * writers))
        took = time.monotonic() - began
    each = sum(seconds for seconds, _ in found) / (writers * COMMITS)
    conflicts = sum(count for _, count in found)
    print(
        f"{writers:>7} {each:>17.2f} {writers * COMMITS / took:>17.1f} "
        f"{conflicts / (writers * COMMITS):>10.0%}",
        flush=True,
    )
    with open_lake(lake, read_only=True) as connection:
        rows = connection.execute("SELECT day, count(*) FROM days GROUP BY day ORDER BY day")
        return rows.fetchall() == [(day, ROWS) for day in range(writers)]


def _write(lake: Lakehouse, day: int, commits: int) -> tuple[float, int]:
    """Replace a day some times. The seconds that took, and how often a commit was refused."""
    conflicts = 0
    with open_lake(lake) as connection:
        began = time.monotonic()
        for _ in range(commits):
            pause = 0.05
            while True:
                try:
                    connection.execute("BEGIN")
                    connection.execute("DELETE FROM days WHERE day = ?", [day])
                    connection.execute(_INSERT, [day])
                    connection.execute("COMMIT")
                    break
                except (duckdb.TransactionException, psycopg.Error):
                    conflicts += 1
                    time.sleep(random.uniform(0, pause))
                    pause = min(2 * pause, 5)
        return time.monotonic() - began, conflicts


if __name__ == "__main__":
    sys.exit(main())
