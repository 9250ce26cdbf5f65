"""Two runs at once on one DuckDB file: both succeed, one after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass

import duckdb
import pytest
from filelock import FileLock, Timeout
from orchestration.helpers import NewShop, Outcome, Shop, Tiny, ended, eventually


def both(shop: Shop, *arguments: tuple[str, ...]) -> list[Outcome]:
    """Start `ecommerce run` with each of these arguments at the same time; how each ended."""
    processes = [shop.start("ecommerce", "run", *given) for given in arguments]
    return [ended(process) for process in processes]


@dataclass(frozen=True)
class WhileSlow:
    """What happened to others while a run held the warehouse for some seconds."""

    pipeline: Tiny
    slow: Outcome
    run: Outcome
    query: Outcome


@pytest.fixture(scope="module")
def while_slow(tmp_path_factory: pytest.TempPathFactory, new_shop: NewShop) -> WhileSlow:
    shop, tiny = new_shop(), Tiny(tmp_path_factory.mktemp("slow"))
    tiny.sql("main.slow", slow_query())
    tiny.sql("main.fast", "SELECT 1 AS n")
    tiny.sql("main.there", "SELECT 7 AS n")
    pipeline = ("--pipeline", str(tiny.directory))
    assert shop.invoke("run", "main.there", *pipeline).succeeded
    slow = shop.start("ecommerce", "run", "main.slow", *pipeline)
    assert eventually(lambda: is_held(f"{tiny.warehouse}.lock"))
    run = shop.start("ecommerce", "run", "main.fast", *pipeline)
    query = shop.start("ecommerce", "query", "FROM main.there", "--output", "csv", *pipeline)
    return WhileSlow(tiny, ended(slow), ended(run), ended(query))


def is_held(path: str) -> bool:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def slow_query() -> str:
    """A query that takes about six seconds, whatever the machine."""
    template = "SELECT sum(hash(a.range * b.range)) % 2 AS n FROM range({}) a, range(10000) b"
    started = time.monotonic()
    duckdb.connect().execute(template.format(5000)).fetchall()
    return template.format(int(5000 * 6 / (time.monotonic() - started)))


def test_two_runs_on_different_assets_both_succeed(new_shop: NewShop, day: Shop) -> None:
    shop = new_shop(like=day)
    ends = both(
        shop,
        ("raw.customers", "stg.customers", "mart.customers_by_age"),
        ("raw.products", "stg.products", "raw.product_variants"),
    )
    for outcome in ends:
        assert outcome.succeeded, outcome.text
    assert shop.tables() == day.tables()


class TestWhileARunHoldsTheWarehouse:
    def test_another_run_waits_and_both_succeed(self, while_slow: WhileSlow) -> None:
        assert while_slow.slow.succeeded, while_slow.slow.text
        assert while_slow.run.succeeded, while_slow.run.text
        tables = "SELECT table_name FROM duckdb_tables() WHERE NOT temporary ORDER BY 1"
        assert while_slow.pipeline.query(tables) == [("fast",), ("slow",), ("there",)]

    def test_the_run_that_waits_says_for_what(self, while_slow: WhileSlow) -> None:
        assert "waiting for another run to finish" in while_slow.run.text
        assert str(while_slow.pipeline.warehouse) in while_slow.run.text

    def test_a_query_waits_too_and_says_so_beside_its_rows(self, while_slow: WhileSlow) -> None:
        assert while_slow.query.succeeded
        assert while_slow.query.stdout.split() == ["n", "7"]
        assert "waiting for another run to finish" in while_slow.query.stderr


def test_the_very_first_two_runs_of_a_machine_can_be_at_once(tiny: Tiny, new_shop: NewShop) -> None:
    shop = new_shop()
    tiny.sql("main.one", "SELECT 1 AS n")
    tiny.sql("main.two", "SELECT 2 AS n")
    pipeline = ("--pipeline", str(tiny.directory))
    for outcome in both(shop, ("main.one", *pipeline), ("main.two", *pipeline)):
        assert outcome.succeeded, outcome.text
    with shop.instance() as instance:
        assert [run.is_success for run in instance.get_runs()] == [True, True]
