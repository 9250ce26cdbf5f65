"""What the sensor costs, and how long the marts take to follow Postgres.

    python benchmarks/sensor.py [ORDERS] [COMMITS]

With ORDERS (10000) and thirty times as many, in PostgreSQL servers of their own: the median of nine
ticks when nothing changed, and after a change of few orders. Then `ecommerce dev` is started over
the smaller shop, and for each of COMMITS (5) one-row transactions, one after the other, prints the
seconds until the run was requested, until the first and the last mart were committed, and until
readers had their copy.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import dagster as dg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from orchestration.helpers import COUNT_AT_ONCE, Shop, dev, eventually, free_port
from orchestration.simulation import SENSOR

from ecommerce_dagster import build_defs, local
from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres
from ecommerce_dagster.warehouses.duckdb.published_copy import copy_of

TICKS = 9
MONTH = ("--starting-at", "2025-03-01", "--ending-at", "2025-03-31")
CHANGE = (
    "UPDATE orders SET status = 'paid' WHERE id IN (SELECT id FROM orders ORDER BY id LIMIT 5);"
    + COUNT_AT_ONCE
)


@contextmanager
def shop_of(orders: int) -> Iterator[Shop]:
    with tempfile.TemporaryDirectory(prefix="sensor-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedPostgres(folder / "postgres") as place:
            shop = Shop(folder / "home", place.environment(), place.dsn)
            shop.generate("--orders", str(orders), *MONTH)
            yield shop


def ticks(shop: Shop) -> tuple[float, float]:
    """Median seconds of a tick when nothing changed, and when a few orders did."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    with (
        dg.DagsterInstance.ephemeral() as instance,
        mock.patch.dict(os.environ, shop.environment, clear=True),
    ):
        definitions = build_defs(local.PIPELINE)
        sensor = definitions.resolve_sensor_def(SENSOR)
        resources = {"pg_default": (definitions.resources or {})["pg_default"]}
        cursor = None
        for number in range(-1, 2 * TICKS):
            changed = number >= 0 and number % 2 == 1
            if changed:
                shop.source(CHANGE)
            with dg.build_sensor_context(
                instance, cursor, resources=resources, definitions=definitions
            ) as context:
                began = time.perf_counter()
                result = sensor.evaluate_tick(context)
                took = time.perf_counter() - began
            cursor = result.cursor or cursor
            for request in result.run_requests or ():  # it ends well, so that it is forgotten
                tags = {"dagster/run_key": str(request.run_key)}
                instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.SUCCESS)
            assert number < 0 or bool(result.run_requests) == changed
            if number >= 0:
                seconds[changed].append(took)
    return statistics.median(seconds[False]), statistics.median(seconds[True])


@dg.job
def nothing() -> None: ...


def follow(shop: Shop, instance: dg.DagsterInstance) -> list[float]:
    """Seconds from a COMMIT to each of the moments that are printed."""
    known = {run.run_id for run in instance.get_runs()}
    shop.source("UPDATE orders SET total_amount = total_amount + 1 WHERE id = 1")
    committed = time.time()

    def done() -> bool:
        new = [run for run in instance.get_runs() if run.run_id not in known]
        return bool(new) and all(run.is_finished for run in new)

    assert eventually(done, 600)
    record = instance.get_run_records(limit=1)[0]
    marts = [
        entry.timestamp
        for entry in instance.all_logs(
            record.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        if entry.asset_materialization and entry.asset_materialization.asset_key.path[0] == "mart"
    ]
    copied = copy_of(str(shop.warehouse)).stat().st_mtime
    moments = [record.create_timestamp.timestamp(), min(marts), max(marts), copied]
    return [moment - committed for moment in moments]


def main() -> None:
    orders = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    commits = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print("   orders   nothing changed   five orders changed")
    with shop_of(30 * orders) as shop:
        print_ticks(30 * orders, shop)
    with shop_of(orders) as shop:
        print_ticks(orders, shop)
        print("\n requested   first mart   last mart   copy for readers")
        with dev(shop, free_port()), shop.instance() as instance:
            assert eventually(lambda: _is_idle(instance), 600)
            times = []
            for _ in range(commits):
                times.append(follow(shop, instance))
                print_moments(times[-1])
            print_moments(map(statistics.median, zip(*times, strict=True)), "median")


def print_ticks(orders: int, shop: Shop) -> None:
    idle, changed = ticks(shop)
    print(f"{orders:9,} {1000 * idle:14.0f} ms {1000 * changed:18.0f} ms", flush=True)


def print_moments(moments: Iterable[float], word: str = "") -> None:
    print("".join(f"{moment:8.1f} s  " for moment in moments) + word, flush=True)


def _is_idle(instance: dg.DagsterInstance) -> bool:
    runs = instance.get_runs()
    return bool(runs) and all(run.is_finished for run in runs)


if __name__ == "__main__":
    main()
