"""Two runs at once on one DuckDB file: both succeed, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from filelock import FileLock
from orchestration.helpers import NewShop, Outcome, Shop, Tiny, ended


def at_once(shop: Shop, *arguments: tuple[str, ...]) -> list[Outcome]:
    """Start `ecommerce run` with each of these arguments at the same time; how each ended."""
    processes = [shop.start("ecommerce", "run", *given) for given in arguments]
    return [ended(process) for process in processes]


@dataclass(frozen=True)
class WhileHeld:
    """What a run and a query did while somebody else had the warehouse."""

    pipeline: Tiny
    first_line: str
    run: Outcome
    query: Outcome


@pytest.fixture(scope="module")
def while_held(tmp_path_factory: pytest.TempPathFactory, new_shop: NewShop) -> WhileHeld:
    shop, tiny = new_shop(), Tiny(tmp_path_factory.mktemp("held"))
    tiny.sql("main.fast", "SELECT 1 AS n")
    tiny.sql("main.there", "SELECT 7 AS n")
    pipeline = ("--pipeline", str(tiny.directory))
    assert shop.invoke("run", "main.there", *pipeline).succeeded
    with FileLock(f"{tiny.warehouse}.lock"):
        run = shop.start("ecommerce", "run", "main.fast", *pipeline)
        query = shop.ecommerce("query", "FROM main.there", "--output", "csv", *pipeline)
        assert run.stdout is not None
        first_line = run.stdout.readline()
    return WhileHeld(tiny, first_line, ended(run), query)


def test_two_runs_on_different_assets_both_succeed(tiny: Tiny, new_shop: NewShop) -> None:
    shop = new_shop()
    number = tiny.folder / "number.csv"
    for name in ("one", "two"):
        tiny.sql(f"raw.{name}", f"FROM '{number}'")
        tiny.sql(f"mart.{name}", f"SELECT n + 1 AS n FROM raw.{name}", f"depends: [raw.{name}]")
    pipeline = ("--pipeline", str(tiny.directory))
    number.write_text("n\n1\n")
    assert shop.invoke("run", *pipeline).succeeded
    number.write_text("n\n7\n")
    for outcome in at_once(
        shop, ("raw.one", "mart.one", *pipeline), ("raw.two", "mart.two", *pipeline)
    ):
        assert outcome.succeeded, outcome.text
    for name in ("one", "two"):
        assert tiny.query(f"SELECT r.n, m.n FROM raw.{name} r, mart.{name} m") == [(7, 8)]


class TestWhileARunHoldsTheWarehouse:
    def test_another_run_waits_and_succeeds(self, while_held: WhileHeld) -> None:
        assert while_held.run.succeeded, while_held.run.text
        assert while_held.pipeline.query("FROM main.fast") == [(1,)]

    def test_the_run_that_waits_says_for_what(self, while_held: WhileHeld) -> None:
        assert "waiting for another run to finish" in while_held.first_line
        assert str(while_held.pipeline.warehouse) in while_held.first_line

    def test_a_query_reads_the_published_copy_at_once(self, while_held: WhileHeld) -> None:
        assert while_held.query.succeeded
        assert while_held.query.stdout.split() == ["n", "7"]
        assert while_held.query.stderr == ""


def test_the_very_first_runs_of_a_machine_can_be_four_at_once(
    tiny: Tiny, new_shop: NewShop
) -> None:
    shop = new_shop()
    tiny.sql("main.one", "SELECT 1 AS n")
    tiny.sql("main.two", "SELECT n + 1 AS n FROM main.one", "depends: [main.one]")
    tiny.sql("main.three", "SELECT n + 1 AS n FROM main.two", "depends: [main.two]")
    pipeline = ("--pipeline", str(tiny.directory))
    overlapping = [(), ("main.one", "--downstream"), ("main.one", "main.two"), ("--full-refresh",)]
    for outcome in at_once(shop, *[(*given, *pipeline) for given in overlapping]):
        assert outcome.succeeded, outcome.text
    with shop.instance() as instance:
        assert [run.is_success for run in instance.get_runs()] == [True] * 4
    assert tiny.query("SELECT * FROM main.one, main.two, main.three") == [(1, 2, 3)]
