"""Dagster's own commands on the shop's state, each as a user types it in the checkout."""

from __future__ import annotations

import json
import re

import dagster as dg
import pytest
from orchestration.helpers import (
    DAY,
    QUIET,
    ROOT,
    NewShop,
    Outcome,
    Shop,
    eventually,
    processes_of,
    script,
)

from ecommerce_dagster import build_defs, local

DAYS = [DAY, "2025-03-06", "2025-03-07"]
RANGE = f"{DAYS[0]}...{DAYS[-1]}"
# Everything that sales_daily needs.
SALES = '+key:"mart/sales_daily"'
WARNING = re.compile(r"(\w+Warning): (.*)")
SUPERSEDED = re.compile(r"SupersessionWarning: Function `\w+_command` is superseded")


@pytest.fixture(scope="module")
def shop(new_shop: NewShop, day: Shop) -> Shop:
    """One day was run; the source has two more."""
    shop = new_shop(like=day)
    shop.generate(
        *("--starting-at", DAYS[1], "--ending-at", f"{DAYS[2]}T23:59:59", "--orders", "300")
    )
    return shop


def command(shop: Shop, *arguments: str, **variables: str) -> Outcome:
    return shop.run(*arguments, DAGSTER_HOME=str(shop.home / "dagster"), **variables)


def warnings_of(outcome: Outcome) -> set[str]:
    """The warnings of a command, without Dagster's word on that command itself."""
    found = {f"{name}: {text}" for name, text in WARNING.findall(outcome.stderr)}
    return {text for text in found if not SUPERSEDED.match(text)}


def materializations(shop: Shop) -> set[str]:
    events = shop.events(dg.DagsterEventType.ASSET_MATERIALIZATION)
    return {event.asset_key.to_user_string() for event in events}


@pytest.fixture
def other(new_shop: NewShop, shop: Shop) -> Shop:
    return new_shop(like=shop)


class TestAssetMaterialize:
    def test_select_tag_mart_builds_the_marts(self, day: Shop, other: Shop) -> None:
        outcome = command(
            other,
            *("dagster", "asset", "materialize", "--select", "tag:mart"),
            *("-m", "ecommerce_dagster.definitions"),
        )
        assert outcome.succeeded, outcome.text
        built = materializations(other)
        assert len(built) == 13
        assert {key.split("/")[0] for key in built} == {"mart"}
        assert other.tables() == day.tables()  # from the staging tables as they were
        assert warnings_of(outcome) == set()

    def test_the_module_can_come_from_the_environment(self, other: Shop) -> None:
        outcome = command(
            other,
            *("dagster", "asset", "materialize", "--select", "tag:amazing-tag"),
            DAGSTER_MODULE_NAME="ecommerce_dagster.definitions",
        )
        assert outcome.succeeded, outcome.text
        assert materializations(other) == {"mart/customers_by_age"}

    def test_the_output_has_two_lines_for_each_asset_and_no_secret(self, other: Shop) -> None:
        outcome = command(
            other,
            *("dagster", "asset", "materialize", "--select", 'key:"mart/customers_by_age"'),
            *("-m", "ecommerce_dagster.definitions"),
        )
        lines = [line for line in outcome.stderr.splitlines() if "customers_by_age" in line]
        assert [" started" in line or " 4 rows" in line for line in lines].count(True) == 2
        assert "DEBUG" not in outcome.stderr
        assert other.environment["POSTGRES_PASSWORD"] not in outcome.text

    def test_everything_can_be_built_for_one_partition(self, other: Shop) -> None:
        outcome = command(
            other,
            *("dagster", "asset", "materialize", "--select", "*", "--partition", DAYS[1]),
            *("-m", "ecommerce_dagster.definitions"),
        )
        assert outcome.succeeded, outcome.text
        assert len(materializations(other)) == 23
        for asset in ("raw.orders", "raw.order_items", "stg.orders", "stg.order_items"):
            assert other.partitions(asset) == {DAYS[0], DAYS[1]}
        query = "SELECT sale_date::VARCHAR, orders_count FROM mart.sales_daily ORDER BY 1"
        expected = other.source(
            "SELECT order_date::date::text, count(*) FROM orders"
            f" WHERE order_date < '{DAYS[2]}' GROUP BY 1 ORDER BY 1"
        )
        assert other.query(query) == expected
        assert len(expected) == 2

    def test_a_range_of_partitions_is_one_run_and_equal_to_day_by_day(
        self, new_shop: NewShop, other: Shop, shop: Shop
    ) -> None:
        with other.instance() as instance:
            runs_before = instance.get_runs_count()
        outcome = command(
            other,
            *("dagster", "asset", "materialize", "--select", SALES, "--partition-range", RANGE),
            *("-m", "ecommerce_dagster.definitions"),
        )
        assert outcome.succeeded, outcome.text
        with other.instance() as instance:
            assert instance.get_runs_count() == runs_before + 1
        assert other.partitions("raw.order_items") == set(DAYS)
        assert other.partitions("stg.order_items") == set(DAYS)

        step_by_step = new_shop(like=shop)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in step_by_step.environment.items():
                patch.setenv(name, value)
            patch.setenv("DUCKDB_PATH", str(step_by_step.warehouse))
            job = sales_job(build_defs(local.PIPELINE))
            for partition in DAYS:
                with step_by_step.instance() as instance:
                    assert job.execute_in_process(
                        instance=instance, partition_key=partition, run_config=QUIET
                    ).success
        assert step_by_step.tables() == other.tables()
        [(orders,)] = other.source("SELECT count(*) FROM orders")
        assert other.query("SELECT sum(orders_count) FROM mart.sales_daily") == [(orders,)]

    def test_rebuilding_a_partition_again_changes_nothing(
        self, day: Shop, new_shop: NewShop
    ) -> None:
        again = new_shop(like=day)
        outcome = command(
            again,
            *("dagster", "asset", "materialize", "--select", SALES, "--partition", DAY),
            *("-m", "ecommerce_dagster.definitions"),
        )
        assert outcome.succeeded, outcome.text
        assert again.tables() == day.tables()


def sales_job(definitions: dg.Definitions) -> dg.JobDefinition:
    assets = list(definitions.assets or [])
    selection = dg.AssetSelection.assets(dg.AssetKey(["mart", "sales_daily"])).upstream()
    with_job = dg.Definitions(
        assets=assets,
        resources=definitions.resources,
        executor=dg.in_process_executor,
        jobs=[dg.define_asset_job("sales", selection=selection)],
    )
    return with_job.resolve_job_def("sales")


class TestDg:
    def test_launch_builds_the_marts_without_any_flag(self, new_shop: NewShop, day: Shop) -> None:
        shop = new_shop(like=day)
        outcome = command(shop, "dg", "launch", "--assets", "tag:mart")
        assert outcome.succeeded, outcome.text
        assert len(materializations(shop)) == 13
        assert shop.tables() == day.tables()
        assert WARNING.findall(outcome.stderr) == []

    def test_list_defs_shows_every_asset_and_check(self, day: Shop) -> None:
        outcome = command(day, "dg", "list", "defs", "--json")
        assert outcome.succeeded, outcome.text
        listed = json.loads(outcome.stdout)
        assert len(listed["assets"]) == 23
        checks = build_defs(local.PIPELINE).resolve_asset_graph().asset_check_keys
        assert len(listed["asset_checks"]) == len(checks)
        assert [job["name"] for job in listed["jobs"]] == ["orders_performance"]
        assert WARNING.findall(outcome.stderr) == []

    def test_check_defs_finds_nothing_wrong(self, day: Shop) -> None:
        outcome = command(day, "dg", "check", "defs", PYTHONWARNINGS="always")
        assert outcome.succeeded, outcome.text
        ours = [line for line in outcome.stderr.splitlines() if f"{ROOT}/ecommerce" in line]
        assert [line for line in ours if "Warning" in line] == []


class TestDefinitionsValidate:
    def test_it_succeeds_without_a_warning_of_ours(self, day: Shop) -> None:
        outcome = command(day, "dagster", "definitions", "validate")
        assert outcome.succeeded, outcome.text
        assert warnings_of(outcome) == set()


class TestWithTheLocalPostgres:
    """Nobody configured a database: the commands bring their own, for as long as they need it."""

    def test_dagster_starts_it_for_a_run_and_leaves_nothing(self, demo: Shop) -> None:
        outcome = command(demo, "dg", "launch", "--assets", 'key:"raw/customers"')
        assert outcome.succeeded, outcome.text
        assert materializations(demo) == {"raw/customers"}
        assert eventually(lambda: not processes_of(demo.home))

    def test_with_postgres_runs_any_command_beside_it(self, demo: Shop) -> None:
        code = (
            "import os, psycopg\n"
            "host, port, user, password, db = (os.environ['POSTGRES_' + name] for name in"
            " ('HOST', 'PORT', 'USER', 'PASSWORD', 'DB'))\n"
            "login = dict(host=host, port=port, user=user, password=password, dbname=db)\n"
            "print(psycopg.connect(**login).execute('SELECT count(*) FROM orders').fetchone())"
        )
        outcome = demo.ecommerce("with-postgres", "--", script("python"), "-c", code)
        assert outcome.stdout == "(500,)\n"
        assert eventually(lambda: not processes_of(demo.home))

    def test_with_postgres_hands_on_the_exit_code(self, demo: Shop) -> None:
        assert demo.ecommerce("with-postgres", "--", "sh", "-c", "exit 7").code == 7
