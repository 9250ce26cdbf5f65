"""kill -9 in the middle of `ecommerce run`: every table is as before or as after."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from filelock import FileLock
from orchestration.helpers import NewShop, Shop, eventually, kill_during_run, processes_of

from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres

ASSETS = ("raw.customers", "stg.customers", "mart.customers_by_country")
# The tables with the query for their versions; a table of one version was written as a whole.
VERSIONS = {
    "raw.customers": "SELECT country, count(*) FROM raw.customers GROUP BY ALL ORDER BY ALL",
    "stg.customers": "SELECT country, count(*) FROM stg.customers GROUP BY ALL ORDER BY ALL",
    "mart.customers_by_country": "FROM mart.customers_by_country ORDER BY ALL",
}
# When to kill: seconds after the start, or after the line about an asset, so that the moments
# spread over the whole run however fast the machine is.
MOMENTS = [None, *ASSETS[:2], *ASSETS[:2]]


def set_version(number: int) -> str:
    return f"UPDATE customers SET country = 'v{number}', updated_at = clock_timestamp()"


def versions(shop: Shop) -> dict[str, list[tuple[str, int]]]:
    return {table: shop.query(sql) for table, sql in VERSIONS.items()}


def all_at(version: int) -> dict[str, list[tuple[str, int]]]:
    return {table: [(f"v{version}", 100)] for table in VERSIONS}


def assert_whole(shop: Shop, before: dict[str, list[tuple[str, int]]], version: int) -> None:
    """No table is torn, no lock is held."""
    for table, found in versions(shop).items():
        assert found in (before[table], [(f"v{version}", 100)]), table
    lock = FileLock(f"{shop.warehouse}.lock")
    lock.acquire(timeout=0)
    lock.release()


@pytest.fixture(scope="module")
def shop(new_shop: NewShop) -> Shop:
    shop = new_shop()
    shop.generate("--products", "10", "--orders", "10")
    shop.source(set_version(0))
    assert shop.invoke("run", *ASSETS).succeeded
    assert versions(shop) == all_at(0)
    return shop


def test_every_table_is_as_before_or_as_after_each_kill(shop: Shop) -> None:
    moments = random.Random(20250305)
    for version, after in enumerate(MOMENTS, start=1):
        before = versions(shop)
        shop.source(set_version(version))
        kill_during_run(
            shop, after, ASSETS, moments.uniform(0, 0.3) if after else moments.uniform(1, 2)
        )
        assert_whole(shop, before, version)

    outcome = shop.invoke("run", *ASSETS)
    assert outcome.succeeded, outcome.text
    assert versions(shop) == all_at(len(MOMENTS))


def test_the_local_postgres_ends_with_a_run_that_is_killed(reachable_tmp: Path) -> None:
    shop = Shop(reachable_tmp / "killed", {})
    shop.generate("--products", "10", "--orders", "10")
    assert shop.ecommerce("run", *ASSETS).succeeded
    postgres = shop.home / "postgres"
    before = versions(shop)
    for version, after in enumerate(("raw.customers", None), start=1):
        with EmbeddedPostgres(postgres) as server:
            shop.dsn = server.dsn
            shop.source(set_version(version))
        kill_during_run(shop, after, ASSETS, 0.1 if after else 1.5)
        assert eventually(lambda: not processes_of(shop.home)), processes_of(shop.home)
        found = versions(shop)
        for table, rows in found.items():
            assert rows in (before[table], [(f"v{version}", 100)]), table
        before = found

    outcome = shop.ecommerce("run", *ASSETS)
    assert outcome.succeeded, outcome.text
    assert versions(shop) == all_at(2)
    assert not processes_of(shop.home)


def test_ctrl_c_stops_a_run_with_one_line_and_tears_nothing(shop: Shop) -> None:
    before = versions(shop)
    shop.source(set_version(999))
    process = shop.start("ecommerce", "run", *ASSETS)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("PASS  raw.customers")
    os.kill(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 130, stdout + stderr
    assert stderr.splitlines()[-1].startswith("Interrupted. ")
    assert "of 3 assets were finished; the others are as they were." in stderr
    assert stderr.endswith("`ecommerce run --continue` does the rest.\n")
    assert "Traceback" not in stdout + stderr
    assert "FAIL" not in stdout
    assert_whole(shop, before, 999)
