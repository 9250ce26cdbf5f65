"""Days of random changes in Postgres, followed by the sensor and the schedule alone.

    python benchmarks/time_simulation.py --days 60 --seed 1

Real ticks and real runs against a PostgreSQL of its own, which is restarted in the middle, as a
column is added. Prints how many days changed and how many were run, and ends with exit code 1 when
they differ, or when a staging table or a mart is not as a rebuild of everything makes it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from orchestration.helpers import Shop
from orchestration.simulation import Simulation

from ecommerce_dagster.embedded_postgres import EmbeddedPostgres

HISTORY = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="simulation-") as name:
        Path(name).chmod(0o755)
        home = Path(name, "home")
        with dg.instance_for_test() as instance:
            half = options.days // 2
            with EmbeddedPostgres(Path(name, "postgres")) as server:
                shop = Shop(home, server.environment(), server.dsn)
                shop.generate(
                    "--orders", "40", "--starting-at", "2025-03-01", "--ending-at", "2025-03-06"
                )
                simulation = Simulation(shop, instance, options.seed, HISTORY)
                with psycopg.connect(shop.dsn) as connection:
                    days = connection.execute("SELECT DISTINCT order_date::date FROM orders")
                    simulation.touched = {row[0] for row in days.fetchall()}
                simulation.tick()
                for _ in range(half):
                    simulation.day()
                with psycopg.connect(shop.dsn) as connection:
                    connection.execute("ALTER TABLE orders ADD COLUMN note text")
                simulation.change()  # and nobody looks before the server restarts
            with EmbeddedPostgres(Path(name, "postgres")) as server:
                shop.environment |= server.environment()
                shop.dsn = server.dsn
                simulation.tick()
                for _ in range(options.days - half):
                    simulation.day()
                differences = simulation.differences()
    figures = simulation.figures
    seconds = time.monotonic() - began
    print(f"{options.days} days, seed {options.seed}: {figures.runs} runs in {seconds:.0f} s")
    print(f"partitions that changed {figures.days_changed}, run {figures.days_requested}")
    print(f"nights {figures.nights}")
    for line in [*figures.surprises, *differences]:
        print(f"  {line}")
    return 1 if figures.surprises or differences else 0


if __name__ == "__main__":
    sys.exit(main())
