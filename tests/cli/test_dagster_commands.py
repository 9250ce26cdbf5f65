"""Dagster's own commands on the shop's state, each as a user types it in the checkout."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import dagster as dg
import pytest
from orchestration.helpers import (
    DAY,
    ROOT,
    NewShop,
    Outcome,
    Shop,
    ended,
    script,
)

from ecommerce_dagster import build_defs, local

DAYS = [DAY, "2025-03-06"]
MODULE = "ecommerce_dagster.definitions"
MATERIALIZE = ("asset", "materialize", "--select")
# Everything that sales_daily needs.
SALES = '+key:"mart/sales_daily"'
COMMANDS = {
    "marts": ("env", f"DAGSTER_MODULE_NAME={MODULE}", script("dagster"), *MATERIALIZE, "tag:mart"),
    "launch": ("dg", "launch", "--assets", "tag:mart"),
    "partition": ("dagster", *MATERIALIZE, "*", "-m", MODULE, "--partition", DAYS[1]),
    "range": (
        *("dagster", *MATERIALIZE, SALES, "-m", MODULE),
        *("--partition-range", "...".join(DAYS)),
    ),
}
WARNING = re.compile(r"(\w+Warning): (.*)")
SUPERSEDED = re.compile(r"SupersessionWarning: Function `\w+_command` is superseded")


@dataclass
class Command:
    """A command that was started, on a shop of its own."""

    shop: Shop
    process: subprocess.Popen[str]

    @cached_property
    def outcome(self) -> Outcome:
        return ended(self.process)

    def built(self) -> set[str]:
        """The assets that its run reports as built."""
        assert self.outcome.succeeded, self.outcome.text
        events = self.shop.events(dg.DagsterEventType.ASSET_MATERIALIZATION)
        return {event.asset_key.to_user_string() for event in events}


@pytest.fixture(scope="module")
def shop(new_shop: NewShop, day: Shop) -> Shop:
    """One day was run; the source has one more."""
    shop = new_shop(like=day)
    shop.generate("--starting-at", DAYS[1], "--ending-at", f"{DAYS[1]}T23:59:59", "--orders", "300")
    return shop


@pytest.fixture(scope="module")
def commands(new_shop: NewShop, shop: Shop) -> Iterator[dict[str, Command]]:
    """The slow commands, all of them at once."""
    shops = {name: new_shop(like=shop) for name in COMMANDS}
    started = {
        name: Command(shops[name], shops[name].start(*command, **instance_of(shops[name])))
        for name, command in COMMANDS.items()
    }
    yield started
    for command in started.values():
        assert command.outcome is not None


def instance_of(shop: Shop) -> dict[str, str]:
    return {"DAGSTER_HOME": str(shop.home / "dagster")}


def run(shop: Shop, *command: str, **variables: str) -> Outcome:
    return shop.run(*command, **instance_of(shop), **variables)


def warnings_of(outcome: Outcome) -> set[str]:
    """The warnings of a command, without Dagster's word on that command itself."""
    found = {f"{name}: {text}" for name, text in WARNING.findall(outcome.stderr)}
    return {text for text in found if not SUPERSEDED.match(text)}


class TestAssetMaterialize:
    def test_select_tag_mart_builds_the_marts_of_the_module_that_the_environment_names(
        self, day: Shop, commands: dict[str, Command]
    ) -> None:
        command = commands["marts"]
        built = command.built()
        assert len(built) == 16
        assert {key.split("/")[0] for key in built} == {"mart"}
        assert command.shop.tables() == day.tables()  # from the staging tables as they were
        assert warnings_of(command.outcome) == set()

    def test_its_output_has_two_lines_for_each_asset_and_no_secret(
        self, commands: dict[str, Command]
    ) -> None:
        outcome = commands["marts"].outcome
        lines = [line for line in outcome.stderr.splitlines() if "mart.customers_by_age:" in line]
        assert len(lines) == 2
        assert "started" in lines[0]
        assert "4 rows" in lines[1]
        assert "DEBUG" not in outcome.stderr
        assert commands["marts"].shop.environment["POSTGRES_PASSWORD"] not in outcome.text

    def test_everything_can_be_built_for_one_partition(self, commands: dict[str, Command]) -> None:
        command = commands["partition"]
        assert len(command.built()) == 26 + 1
        for asset in ("raw.orders", "raw.order_items", "stg.orders", "stg.order_items"):
            assert command.shop.partitions(asset) == set(DAYS)
        query = "SELECT sale_date::VARCHAR, orders_count FROM mart.sales_daily ORDER BY 1"
        assert command.shop.query(query) == [(DAYS[0], 500), (DAYS[1], 300)]

    def test_a_range_of_partitions_is_one_run(
        self, shop: Shop, commands: dict[str, Command]
    ) -> None:
        command = commands["range"]
        assert len(command.built()) == 8
        assert run_count(command.shop) == run_count(shop) + 1
        for asset in ("raw.orders", "raw.order_items", "stg.orders", "stg.order_items"):
            assert command.shop.partitions(asset) == set(DAYS)
        [(orders,)] = shop.source("SELECT count(*) FROM orders")
        assert command.shop.query("SELECT sum(orders_count) FROM mart.sales_daily") == [(orders,)]


def run_count(shop: Shop) -> int:
    with shop.instance() as instance:
        return instance.get_runs_count()


class TestDg:
    def test_launch_builds_the_marts_without_any_flag(
        self, day: Shop, commands: dict[str, Command]
    ) -> None:
        command = commands["launch"]
        assert len(command.built()) == 16
        assert command.shop.tables() == day.tables()
        assert WARNING.findall(command.outcome.stderr) == []

    def test_list_defs_shows_every_asset_and_check(self, day: Shop) -> None:
        outcome = run(day, "dg", "list", "defs", "--json")
        assert outcome.succeeded, outcome.text
        listed = json.loads(outcome.stdout)
        assert len(listed["assets"]) == 26 + 1
        checks = build_defs(local.PIPELINE).resolve_asset_graph().asset_check_keys
        assert len(listed["asset_checks"]) == len(checks)
        assert [job["name"] for job in listed["jobs"]] == [
            "orders_performance",
            "orders_performance_reconcile",
        ]
        assert WARNING.findall(outcome.stderr) == []

    def test_check_defs_finds_nothing_wrong(self, day: Shop) -> None:
        outcome = run(day, "dg", "check", "defs", PYTHONWARNINGS="always")
        assert outcome.succeeded, outcome.text
        ours = [line for line in outcome.stderr.splitlines() if f"{ROOT}/ecommerce" in line]
        assert [line for line in ours if "Warning" in line] == []


class TestDefinitionsValidate:
    def test_it_succeeds_without_a_warning_of_ours(self, day: Shop) -> None:
        outcome = run(day, "dagster", "definitions", "validate")
        assert outcome.succeeded, outcome.text
        assert warnings_of(outcome) == set()
