"""Days of random changes in Postgres, followed by the sensor and the schedule alone.

    python benchmarks/time_simulation.py --days 60
    python benchmarks/time_simulation.py --days 60 --clock .../libfaketime.so.1

Real ticks and real runs against a PostgreSQL of its own, which is restarted in the middle, as a
column is added. Prints how many days changed and how many were run, and ends with exit code 1 when
they differ, or when a staging table or a mart is not as a rebuild of everything makes it.

With `--clock` (libfaketime, in the package of that name on PyPI) it is Dagster's daemon that
follows, by a clock that is put forward, with its queue and a process for each run. Else ticks and
runs are called in this process. Either is quicker in memory: TMPDIR=/dev/shm.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from orchestration.daemon_simulation import ByDaemon, Clock, daemon
from orchestration.helpers import Shop
from orchestration.simulation import InProcess, Simulation

from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres

TODAY = datetime(2025, 3, 7, 0, 1, tzinfo=UTC)  # the day after those with orders
RESTART_AFTER = 5  # days, when there are as many
HISTORY = ("--orders", "40", "--starting-at", "2025-03-01", "--ending-at", "2025-03-07")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2, help="how often a day the source changes")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no day after so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clock", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="simulation-") as name, ExitStack() as server:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder / "postgres")
        place = server.enter_context(postgres)
        shop = Shop(folder / "home", place.environment(), place.dsn)
        shop.generate(*HISTORY)
        with followed(shop, options.seed, options.clock) as simulation:
            simulation.look()
            figures, days = simulation.figures, 0
            while days < options.days and time.monotonic() - began < options.minutes * 60:
                if days == min(options.days // 2, RESTART_AFTER):
                    shop.source("ALTER TABLE orders ADD COLUMN note text")
                    simulation.life.change()  # and there is no look before the server restarts
                    server.close()
                    assert server.enter_context(postgres) == place
                    simulation.look()
                simulation.day(options.rounds)
                days += 1
                counts = f"{figures.days_changed} days changed, {figures.days_requested} run"
                print(f"{days} days, {counts}, {time.monotonic() - began:.0f} s", flush=True)
        differences = simulation.differences()
    print(f"seed {options.seed}: {days} days, {figures.runs} runs, {figures.nights} nights")
    print(f"partitions that changed {figures.days_changed}, run {figures.days_requested}")
    for line in [*figures.surprises, *differences]:
        print(f"  {line}")
    return 1 if figures.surprises or differences else 0


@contextmanager
def followed(shop: Shop, seed: int, library: Path | None) -> Iterator[Simulation]:
    """The simulation of a shop, followed by a sensor."""
    if library is None:
        with dg.DagsterInstance.ephemeral() as instance:
            yield InProcess(shop, seed, instance)
        return
    clock = Clock(library, shop.home / "clock", TODAY)
    true_time = dict(shop.environment)
    shop.environment |= clock.variables
    with daemon(shop) as instance:
        yield ByDaemon(shop, seed, instance, clock)
    shop.environment = true_time


if __name__ == "__main__":
    sys.exit(main())
