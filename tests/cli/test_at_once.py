"""Backfills as Dagster's pages ask for them, and runs that come from everywhere at once."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import pytest
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import ModuleTarget
from dagster._scheduler.scheduler import launch_scheduled_runs
from filelock import FileLock
from orchestration.helpers import (
    ROOT,
    NewShop,
    Shop,
    dev,
    ended,
    eventually,
    free_port,
    graphql,
)

FIRST = ("--orders", "5", "--starting-at", "2025-03-01", "--ending-at", "2025-03-01T23:59:59")
HISTORY = ("--orders", "60", "--starting-at", "2025-03-03", "--ending-at", "2025-03-06")
DAYS = [f"2025-03-0{day}" for day in range(1, 9)]
PARTITIONED = [["raw", "orders"], ["stg", "orders"]]
CODE = "ecommerce_dagster.definitions"
# Of the shop's pipeline what the tests are about.
FEW = (
    *("raw.customers.asset.yml", "raw.products.asset.yml", "raw.orders.asset.yml"),
    *("stg.customers.sql", "stg.orders.sql"),
    *("mart.customers_by_age.sql", "mart.repeat_purchase_rate.sql"),
)


@dataclass(frozen=True)
class Served:
    shop: Shop
    port: int

    def ask(self, query: str) -> Any:
        (answer,) = graphql(self.port, query).values()
        assert not answer["__typename"].endswith("Error"), answer
        return answer

    def launch(self, assets: list[list[str]], partition: str | None = None) -> str:
        """What 'Materialize' sends. The id of the run."""
        keys = ", ".join(f"{{path: {json.dumps(path)}}}" for path in assets)
        tags = f'{{key: "dagster/partition", value: "{partition}"}}' if partition else ""
        answer = self.ask(f"""
            mutation {{ launchRun(executionParams: {{
                mode: "default", runConfigData: "{{}}", executionMetadata: {{tags: [{tags}]}},
                selector: {{
                    repositoryLocationName: "{CODE}",
                    repositoryName: "__repository__",
                    jobName: "__ASSET_JOB", assetSelection: [{keys}]
                }}
            }}) {{ __typename ... on PythonError {{ message }}
                ... on LaunchRunSuccess {{ run {{ runId }} }} }} }}
        """)
        return str(answer["run"]["runId"])

    def backfill(self, assets: list[list[str]], partitions: list[str]) -> str:
        """What 'Launch backfill' sends. The id of the backfill."""
        keys = ", ".join(f"{{path: {json.dumps(path)}}}" for path in assets)
        answer = self.ask(f"""
            mutation {{ launchPartitionBackfill(backfillParams: {{
                assetSelection: [{keys}], partitionNames: {json.dumps(partitions)}
            }}) {{ __typename ... on PythonError {{ message }}
                ... on LaunchBackfillSuccess {{ backfillId }} }} }}
        """)
        return str(answer["backfillId"])

    def midnight(self) -> None:
        """What Dagster's scheduler does with all schedules when the next midnight has come."""
        midnight = datetime.now(UTC) + timedelta(days=1)
        target = ModuleTarget(CODE, attribute=None, working_directory=None, location_name=CODE)
        with (
            mock.patch.dict(os.environ, {**self.shop.environment, "ECOMMERCE_WATCH": "1"}),
            self.shop.instance() as instance,
            create_test_daemon_workspace_context(target, instance) as context,
        ):
            scheduler = logging.getLogger("scheduler")
            assert not any(launch_scheduled_runs(context, scheduler, midnight, {}))

    def execute_again(self, run_id: str, strategy: str) -> str:
        """What 'Re-execute' sends. The id of the new run."""
        answer = self.ask(f"""
            mutation {{ launchRunReexecution(reexecutionParams: {{
                parentRunId: "{run_id}", strategy: {strategy}
            }}) {{ __typename ... on PythonError {{ message }}
                ... on LaunchRunSuccess {{ run {{ runId }} }} }} }}
        """)
        return str(answer["run"]["runId"])

    def state_of_backfill(self, backfill: str) -> str:
        answer = self.ask(f"""
            {{ partitionBackfillOrError(backfillId: "{backfill}") {{
                __typename ... on PartitionBackfill {{ status }} }} }}
        """)
        return str(answer["status"])

    def statuses(self, asset: list[str]) -> dict[str, str]:
        """The partitions of an asset that are not missing, as its page shows them."""
        answer = self.ask(f"""
            {{ assetNodeOrError(assetKey: {{path: {json.dumps(asset)}}}) {{
                __typename ... on AssetNode {{ assetPartitionStatuses {{
                    ... on TimePartitionStatuses {{ ranges {{ status startKey endKey }} }}
            }} }} }} }}
        """)
        return {
            day: found["status"]
            for found in answer["assetPartitionStatuses"]["ranges"]
            for day in DAYS
            if found["startKey"] <= day <= found["endKey"]
        }

    def waits(self, run_id: str) -> bool:
        """Whether a run has said that it waits for the warehouse."""
        with self.shop.instance() as instance:
            told = [entry.user_message for entry in instance.all_logs(run_id)]
        return any(text.startswith("waiting for another run to finish") for text in told)


@pytest.fixture(scope="module")
def served(new_shop: NewShop) -> Iterator[Served]:
    """A shop whose four days the sensor has had loaded, with one between them that has no row."""
    shop = new_shop()
    shop.folder = few_assets(shop.home / "few")
    shop.environment["ECOMMERCE_PIPELINE"] = str(shop.folder)
    shop.generate(*FIRST)
    shop.generate(*HISTORY)
    with dev(shop, port := free_port()):
        served = Served(shop, port)
        assert eventually(served.shop.is_idle, 180)
        yield served


def few_assets(project: Path) -> Path:
    """Copy the shop's pipeline with a few of its assets. Returns the folder of pipeline.yml."""
    pipeline = project / "asset_specs"
    (pipeline / "assets").mkdir(parents=True)
    for name in ("glossary.yml", ".bruin.yml", "asset_specs/pipeline.yml"):
        shutil.copy(ROOT / name, project / name)
    for name in FEW:
        shutil.copy(
            ROOT / "asset_specs" / "assets" / name.partition(".")[0] / name, pipeline / "assets"
        )
    return pipeline


def test_a_backfill_of_what_failed_or_is_missing_is_one_run_for_each_stretch(
    served: Served,
) -> None:
    loaded = served.shop.runs()
    served.shop.source("ALTER TABLE orders RENAME COLUMN order_date TO ordered")
    failing = served.launch(PARTITIONED, "2025-03-07")
    assert eventually(
        lambda: served.shop.runs()[0].run_id == failing and served.shop.is_idle(), 120
    )
    served.shop.source("ALTER TABLE orders RENAME COLUMN ordered TO order_date")
    statuses = served.statuses(["raw", "orders"])
    assert statuses == {
        **dict.fromkeys(["2025-03-01", *DAYS[2:5]], "MATERIALIZED"),
        "2025-03-07": "FAILED",
    }

    wanted = [day for day in DAYS if statuses.get(day) != "MATERIALIZED"]
    backfill = served.backfill(PARTITIONED, wanted)

    assert eventually(lambda: served.state_of_backfill(backfill).startswith("COMPLETED"), 180)
    assert served.state_of_backfill(backfill) == "COMPLETED_SUCCESS"
    runs = served.shop.runs(**{"dagster/backfill": backfill})
    ends = [
        [run.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
        for run in runs
    ]
    assert sorted(ends) == [["2025-03-02", "2025-03-02"], ["2025-03-06", "2025-03-08"]]
    for asset in PARTITIONED:
        assert served.statuses(asset) == dict.fromkeys(DAYS, "MATERIALIZED")
    # Nobody else was asked for anything.
    assert {run.run_id for run in served.shop.runs()} == {
        failing,
        *(run.run_id for run in (*loaded, *runs)),
    }


def test_sensor_schedule_backfill_click_and_terminal_at_once_all_finish_and_say_what_they_wait_for(
    served: Served,
) -> None:
    shop = served.shop
    before = {run.run_id for run in served.shop.runs()}

    def new() -> list[dg.DagsterRun]:
        return [run for run in served.shop.runs() if run.run_id not in before]

    with FileLock(f"{shop.warehouse}.lock"):  # nobody gets on before all have been started
        terminal = shop.start("ecommerce", "run", "mart.customers_by_age")
        shop.source("UPDATE orders SET status = 'shipped' WHERE order_date::date = '2025-03-04'")
        backfill = served.backfill([["stg", "orders"]], ["2025-03-01"])
        click = served.launch([["mart", "repeat_purchase_rate"]])
        served.midnight()
        assert terminal.stdout is not None
        assert "waiting for another run to finish" in terminal.stdout.readline()
        assert eventually(lambda: len(new()) == 5, 180), new()
        assert eventually(lambda: any(served.waits(run.run_id) for run in new()), 180)
        # Dagster's own runs queue: one of them has begun.
        assert eventually(
            lambda: [run.status for run in new()].count(dg.DagsterRunStatus.QUEUED) == 3, 180
        ), new()
    assert ended(terminal).succeeded
    assert eventually(served.shop.is_idle, 180)

    runs = new()
    assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * 5
    assert click in {run.run_id for run in runs}
    asked_by = {"dagster/sensor_name", "dagster/schedule_name", "dagster/backfill"}
    assert {*asked_by, "bruin/pipeline"} <= {tag for run in runs for tag in run.tags}
    assert eventually(lambda: served.state_of_backfill(backfill) == "COMPLETED_SUCCESS", 180)
    shipped = "SELECT count(*) FROM {} WHERE status = 'shipped'"
    assert shop.query(shipped.format("stg.orders")) == shop.source(shipped.format("orders"))


def test_a_run_of_the_terminal_is_executed_again_from_its_page(served: Served) -> None:
    shop, assets = served.shop, ["raw.customers", "raw.products", "stg.customers"]

    def materialized(run_id: str) -> set[str]:
        found = shop.events(dg.DagsterEventType.ASSET_MATERIALIZATION, run_id)
        return {".".join(event.asset_key.path) for event in found}

    def again(strategy: str) -> set[str]:
        """What the new run builds; nothing unless it succeeds."""
        run_id = served.execute_again(failed.run_id, strategy)

        def succeeded() -> bool:
            with shop.instance() as instance:
                run = instance.get_run_by_id(run_id)
            return run is not None and run.is_success

        return materialized(run_id) if eventually(succeeded, 120) else set()

    shop.source("ALTER TABLE customers RENAME TO customers_gone")
    assert not shop.ecommerce("run", *assets).succeeded
    shop.source("ALTER TABLE customers_gone RENAME TO customers")
    [failed] = shop.runs(ecommerce=f"run {' '.join(assets)}")
    assert materialized(failed.run_id) == {"raw.products"}

    timeline = served.ask(f"""
        {{ runsOrError(filter: {{runIds: ["{failed.run_id}"]}}) {{
            __typename ... on Runs {{ results {{ repositoryOrigin {{ repositoryLocationName }} }} }}
        }} }}
    """)
    assert timeline["results"] == [{"repositoryOrigin": {"repositoryLocationName": CODE}}]
    assert again("FROM_FAILURE") == {"raw.customers", "stg.customers"}
    assert again("ALL_STEPS") == set(assets)
