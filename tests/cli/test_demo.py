"""`ecommerce demo` on a bare machine, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import Path

import pytest
from orchestration.helpers import NewShop, Shop, eventually, processes_of

MARTS = ["mart.sales_daily", "mart.top_skus", "mart.customer_lifetime_value"]


@pytest.fixture(scope="module")
def told(demo: Shop) -> str:
    assert demo.first_run is not None
    return demo.first_run.stdout


class TestTheDemo:
    def test_it_tells_what_it_generates(self, told: str) -> None:
        assert "50 products, 127 variants" in told

    def test_every_asset_and_every_check_passes(self, told: str) -> None:
        assert sum(line.startswith("PASS") for line in told.splitlines()) == 27
        assert "27 assets" in told
        assert "FAIL" not in told

    def test_it_shows_three_marts_each_with_its_key_measure_first(
        self, told: str, demo: Shop
    ) -> None:
        rows = [line.split() for line in told.splitlines()]
        titles = [row for row in rows if row and row[0].startswith("mart.")]
        assert [title[0] for title in titles] == MARTS
        heads = [rows[rows.index(title) + 2] for title in titles]
        assert [head[:2] for head in heads] == [
            ["sale_date", "revenue"],
            ["rank", "revenue"],
            ["customer_id", "revenue"],
        ]
        days = takewhile(bool, rows[rows.index(heads[0]) + 2 :])
        assert [day[:2] for day in islice(days, 3)] == [
            [str(day), str(revenue)]
            for day, revenue in demo.query(
                "SELECT sale_date, revenue FROM mart.sales_daily ORDER BY 1 DESC"
            )
        ]

    def test_it_says_what_to_do_next(self, told: str) -> None:
        for command in (
            "ecommerce dev",
            "ecommerce report",
            "ecommerce query",
            "generate-data --chaos-percent 5",
        ):
            assert command in told

    def test_nothing_is_said_on_stderr(self, demo: Shop) -> None:
        assert demo.first_run is not None
        assert demo.first_run.stderr == ""

    def test_the_orders_fall_on_the_last_three_days(self, demo: Shop) -> None:
        [(days, orders, late)] = demo.query(
            "SELECT count(DISTINCT order_date::DATE), count(*), "
            "count(*) FILTER (order_date > updated_at) FROM raw.orders"
        )
        # None of today in its first hours, in which a shop sells little.
        assert days in {2, 3}
        assert 100 < orders <= 300
        assert late == 0
        assert len(demo.partitions("stg.orders")) == days

    def test_no_process_is_left(self, demo: Shop) -> None:
        assert eventually(lambda: not processes_of(demo.home)), processes_of(demo.home)

    def test_outside_of_its_folder_it_makes_links_to_duckdbs_extensions_only(
        self, demo: Shop
    ) -> None:
        made = [path for path in demo.user_home.rglob("*") if not path.is_dir()]
        assert all(path.is_symlink() and path.suffix == ".duckdb_extension" for path in made)

    def test_its_database_can_be_asked_while_nothing_runs(self, demo: Shop) -> None:
        asked = demo.invoke("query", "-c", "pg-default", "SELECT count(*) FROM orders", "-o", "csv")
        [(orders,)] = demo.query("SELECT count(*) FROM raw.orders")
        assert (asked.stdout.split(), asked.stderr) == (["count", str(orders)], "")
        tested = demo.invoke("connections", "test")
        postgres, duck = tested.stdout.splitlines()
        assert postgres.startswith("pg-default: works, PostgreSQL ")
        assert duck == "duckdb-default: works"
        assert eventually(lambda: not processes_of(demo.home)), processes_of(demo.home)

    def test_where_there_was_no_demo_no_database_is_made_to_be_asked(self, tmp_path: Path) -> None:
        shop = Shop(tmp_path, {})
        asked = shop.invoke("query", "-c", "pg-default", "SELECT 1")
        assert asked.code == 2
        assert "the connection 'pg-default' needs POSTGRES_" in asked.stderr
        assert not (tmp_path / "postgres").exists()

    def test_ctrl_c_ends_it_with_one_line(self, new_shop: NewShop) -> None:
        shop = new_shop()
        process = shop.start("ecommerce", "demo", "--days", "1")
        assert process.stdout is not None
        while not process.stdout.readline().startswith("PASS"):
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=100)
        assert process.returncode == 130, stdout + stderr
        assert stderr.startswith("Interrupted. "), stderr
        assert len(stderr.splitlines()) == 1
        assert not processes_of(shop.home)

    @pytest.mark.parametrize("days", ["0", "366", "many"])
    def test_days_that_make_no_sense_are_usage_errors(self, demo: Shop, days: str) -> None:
        assert demo.invoke("demo", "--days", days).code == 2


@pytest.fixture(scope="module")
def secret(demo: Shop) -> bytes:
    server = json.loads((demo.home / "postgres" / "server.json").read_text())
    assert len(server["password"]) > 20
    return str(server["password"]).encode()


class TestThePassword:
    """It is in the server's own private file and nowhere else."""

    def test_its_file_is_private(self, demo: Shop) -> None:
        assert (demo.home / "postgres" / "server.json").stat().st_mode & 0o077 == 0

    def test_it_is_in_no_other_file(self, demo: Shop, secret: bytes) -> None:
        private = demo.home / "postgres" / "server.json"
        files = [file for file in files_below(demo.home) if file != private]
        assert any(file.suffix == ".db" for file in files)
        assert any(file.name == "warehouse.duckdb" for file in files)
        assert [file for file in files if secret in file.read_bytes()] == []

    def test_it_is_in_no_output(self, demo: Shop, secret: bytes) -> None:
        assert demo.first_run is not None
        assert secret.decode() not in demo.first_run.text

    def test_it_is_in_no_event(self, demo: Shop, secret: bytes) -> None:
        with demo.instance() as instance:
            runs = instance.get_runs()
            texts = [
                str(entry.to_json()) for run in runs for entry in instance.all_logs(run.run_id)
            ] + [json.dumps(run.run_config) + json.dumps(run.tags) for run in runs]
        assert len(texts) > 500
        assert not [text for text in texts if secret.decode() in text]

    def test_a_configured_password_is_in_no_file_and_no_output_either(self, day: Shop) -> None:
        secret = day.environment["POSTGRES_PASSWORD"].encode()
        assert [file for file in files_below(day.home) if secret in file.read_bytes()] == []
        assert day.first_run is not None
        assert secret.decode() not in day.first_run.text


def files_below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path
