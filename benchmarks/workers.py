"""Days filled by several workers at once on a DuckLake in S3: how long, and are the tables those of
one process on a DuckDB file?

    python benchmarks/workers.py --days 30 --workers 4                           a day a run
    python benchmarks/workers.py --days 30 --workers 4 --partitions-per-run 8    a week a run
    python benchmarks/workers.py --days 30 --workers 4 --executor celery_steps   a step a task
    python benchmarks/workers.py --days 100 --orders 100000 --partitions-per-run 25 --bulk
    python benchmarks/workers.py --store http://127.0.0.1:9000        an S3 that runs already

The S3 is moto's server otherwise, which is one process of Python. One that runs already has an
empty bucket `lake`, and its keys are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

Starts the processes of docker-compose.yml, and asks for all days through the webserver. The times
of one process, on a file and on the same DuckLake, are of one run of all days, and include its
start; a worker has started. Everything is in a temporary folder. Exit code 1 when a table differs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import dagster as dg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from deploy.machine import empty_lake, lake_tables, stack
from deploy.stack import Stack
from orchestration.helpers import Shop, eventually

from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres

FIRST = date(2025, 3, 1)
HOURS = 3600


def main() -> int:
    """Fill the days in both ways, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--orders", type=int, default=100, help="a day")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--processes", type=int, default=1, help="of each worker")
    parser.add_argument("--executor", default="celery")
    parser.add_argument("--partitions-per-run", default="1")
    parser.add_argument("--bulk", action="store_true", help="customers and products grow as well")
    parser.add_argument("--store", help="an S3 store that runs already")
    options = parser.parse_args()
    days = [str(FIRST + timedelta(number)) for number in range(options.days)]
    with tempfile.TemporaryDirectory(prefix="workers-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedPostgres(folder / "shop") as server:
            shop = Shop(folder / "plain", server.environment(), server.dsn)
            orders = options.orders * options.days
            grown = ("--customers", str(orders // 5), "--products", str(max(orders // 50, 50)))
            succeed(
                shop,
                *("generate-data", "--orders", str(orders), *(grown if options.bulk else ())),
                *("--starting-at", days[0], "--ending-at", f"{days[-1]}T23:59:59.999999"),
            )
            alone = one_process(shop, days, "one process, DuckDB file")
            with stack(
                folder / "stack",
                shop,
                ECOMMERCE_EXECUTOR=options.executor,
                ECOMMERCE_PARTITIONS_PER_RUN=options.partitions_per_run,
                **store(options.store),
            ) as deployed:
                one_process(shop, days, "one process, DuckLake", deployed.environment_of("worker"))
                empty_lake(deployed)
                is_celery = options.executor.startswith("celery")
                deployed.start_all(*([options.processes] * options.workers if is_celery else []))
                began = time.monotonic()
                done = fill(deployed, days)
                took = time.monotonic() - began
                print(f"{options.executor}: {took:.0f} s, {took / alone:.1f} x", flush=True)
                tell(deployed)
                if not done:
                    print(deployed.logs())
                    return 1
                return compare(shop.tables(), lake_tables(deployed))


def store(endpoint: str | None) -> dict[str, str]:
    """The variables of a store that runs already."""
    if endpoint is None:
        return {}
    return {
        "LAKE_S3_ENDPOINT": endpoint,
        "LAKE_S3_ACCESS_KEY": os.environ["AWS_ACCESS_KEY_ID"],
        "LAKE_S3_SECRET_KEY": os.environ["AWS_SECRET_ACCESS_KEY"],
    }


def succeed(shop: Shop, *command: str, **variables: str) -> None:
    """A command to its end, however long that takes."""
    process = shop.start(*command, **variables)
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stdout + stderr


def one_process(
    shop: Shop, days: list[str], name: str, variables: Mapping[str, str] | None = None
) -> float:
    """The seconds of one run of all days by `ecommerce run`."""
    began = time.monotonic()
    command = ("ecommerce", "run", "--start-date", days[0], "--end-date", days[-1])
    succeed(shop, *command, **(variables or {}))
    took = time.monotonic() - began
    print(f"{name}: {took:.0f} s", flush=True)
    return took


def fill(deployed: Stack, days: list[str]) -> bool:
    """Whether a backfill of all assets over some days succeeds."""
    name = deployed.backfill(days)
    with deployed.instance() as instance:

        def status() -> str:
            found = instance.get_backfill(name)
            assert found is not None
            return found.status.value

        eventually(lambda: status() not in {"REQUESTED", "CANCELING"}, HOURS, pause=2)
        print(f"backfill: {status()}")
        return status() == "COMPLETED_SUCCESS"


def tell(deployed: Stack) -> None:
    """What the runs were, and what the processes hold in memory."""
    with deployed.instance() as instance:
        records = instance.get_run_records()
        runs = [record.dagster_run for record in records]
        retries = sum(
            len(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY))
            for run in runs
        )
    for run in runs:
        if not run.is_success:
            print(*failures_of(deployed, run.run_id), sep="\n")
    print(f"{len(runs)} runs: {Counter(run.status.value for run in runs)}; {retries} retries")
    busy = executing([(record.start_time or 0, record.end_time or 0) for record in records])
    print(f"at least one of them was executed for {busy:.0f} s; Dagster looks every 30 s for more")
    for name, process in deployed.running.items():
        print(f"  {name:<10} {resident(process.pid):4.0f} MiB")


def executing(spans: list[tuple[float, float]]) -> float:
    """The seconds that lie in some of the spans."""
    seconds, until = 0.0, 0.0
    for start, end in sorted(spans):
        seconds += max(0.0, end - max(start, until))
        until = max(until, end)
    return seconds


def failures_of(deployed: Stack, run_id: str) -> list[str]:
    """What the steps of a run that failed say."""
    with deployed.instance() as instance:
        entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    return [str(entry.user_message or entry.message) for entry in entries]


def resident(pid: int) -> float:
    """MiB of a process and of those that it started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    own = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return own + sum(resident(int(child)) for child in children)


def compare(plain: dict[str, tuple[int, int]], lake: dict[str, tuple[int, int]]) -> int:
    """1 when a table differs."""
    different = {name for name in plain.keys() | lake.keys() if plain.get(name) != lake.get(name)}
    for name in sorted(different):
        print(f"{name} differs: {plain.get(name)} in the file, {lake.get(name)} in the lake")
    print(f"{len(plain) - len(different)} of {len(plain)} tables are the same")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
