"""Every night yesterday's partition and everything below it; nights that were missed are caught up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._scheduler.scheduler import launch_scheduled_runs

from orchestration.helpers import Tiny

DAILY = """
name: tiny
schedule: daily
start_date: "2025-03-01"
retries: 2
"""
QUERY = "SELECT TIMESTAMPTZ '{{ start_timestamp }}' AS at, 1 AS n"


@pytest.fixture
def nightly(tiny: Tiny) -> Tiny:
    tiny.write("pipeline/pipeline.yml", DAILY)
    how = "type: table, strategy: time_interval, incremental_key: at, time_granularity: timestamp"
    tiny.sql("main.days", QUERY, f"materialization: {{{how}}}", table=False)
    tiny.sql("main.total", "SELECT count(*) AS n FROM main.days", "depends: [main.days]")
    return tiny


class Nights:
    """The ticks of a schedule without a daemon: who evaluates one may run what it asks for."""

    def __init__(self, tiny: Tiny, instance: dg.DagsterInstance) -> None:
        self.tiny, self.instance = tiny, instance

    def tick(self, moment: str) -> tuple[str, str] | str:
        """The first and last partition that a tick asks for, or why it asks for none."""
        definitions = self.tiny.definitions()
        schedule = definitions.resolve_schedule_def("tiny_schedule")
        at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        with dg.build_schedule_context(self.instance, scheduled_execution_time=at) as context:
            result = schedule.evaluate_tick(context)
        if not result.run_requests:
            return str(result.skip_message)
        (request,) = result.run_requests
        self.instance.create_run_for_job(
            definitions.resolve_job_def("tiny"),
            tags={**request.tags, "dagster/schedule_name": "tiny_schedule"},
        )
        return (
            request.tags["dagster/asset_partition_range_start"],
            request.tags["dagster/asset_partition_range_end"],
        )


@pytest.fixture
def nights(nightly: Tiny) -> Iterator[Nights]:
    with dg.instance_for_test() as instance:
        yield Nights(nightly, instance)


def test_each_night_runs_the_day_before(nights: Nights) -> None:
    assert nights.tick("2025-03-05") == ("2025-03-04", "2025-03-04")
    assert nights.tick("2025-03-06") == ("2025-03-05", "2025-03-05")


def test_a_night_is_not_run_twice(nights: Nights) -> None:
    nights.tick("2025-03-05")

    assert nights.tick("2025-03-05") == "2025-03-04 was run already"


def test_nights_that_were_missed_are_one_run(nights: Nights) -> None:
    nights.tick("2025-03-05")

    assert nights.tick("2025-03-09") == ("2025-03-05", "2025-03-08")


def test_a_month_is_caught_up_at_most(nights: Nights) -> None:
    nights.tick("2025-03-05")

    assert nights.tick("2025-08-01") == ("2025-07-01", "2025-07-31")


def test_a_new_schedule_goes_on_after_what_is_materialized(nights: Nights) -> None:
    days = dg.AssetKey(["main", "days"])
    nights.instance.report_runless_asset_event(
        dg.AssetMaterialization(days, partition="2025-03-10")
    )

    assert nights.tick("2025-03-14") == ("2025-03-11", "2025-03-13")


def test_a_new_deployment_loads_no_old_days(nights: Nights) -> None:
    assert nights.tick("2025-06-01") == ("2025-05-31", "2025-05-31")


def test_catchup_false_runs_the_last_night_only(nights: Nights) -> None:
    nights.tiny.write("pipeline/pipeline.yml", f"{DAILY}catchup: false\n")
    nights.tick("2025-03-05")

    assert nights.tick("2025-03-09") == ("2025-03-08", "2025-03-08")


def test_catchup_all_begins_with_the_start_date(nights: Nights) -> None:
    nights.tiny.write("pipeline/pipeline.yml", f"{DAILY}catchup: all\n")

    assert nights.tick("2025-06-01") == ("2025-03-01", "2025-05-31")


def test_before_the_first_day_is_over_there_is_nothing_to_do(nights: Nights) -> None:
    assert "start_date" in nights.tick("2025-03-01")


@pytest.mark.parametrize(
    ("schedule", "moment", "partition"),
    [
        ("hourly", "2025-03-05T10:00", "2025-03-05-09:00"),
        ("weekly", "2025-03-09", "2025-03-02"),
        ("monthly", "2025-05-01", "2025-04-01"),
        ("'*/15 * * * *'", "2025-03-05T10:15", "2025-03-05-10:00"),
    ],
)
def test_other_schedules_run_what_has_just_ended(
    nights: Nights, schedule: str, moment: str, partition: str
) -> None:
    nights.tiny.write("pipeline/pipeline.yml", DAILY.replace("daily", schedule))

    assert nights.tick(moment) == (partition, partition)


class TestWithTheRealScheduler:
    @pytest.fixture
    def scheduler(self, nightly: Tiny) -> Iterator[dg.DagsterInstance]:
        code = f"from ecommerce_dagster import build_defs\ndefs = build_defs({str(nightly.directory)!r})\n"
        file = nightly.write("code.py", code)
        queue = {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"}
        with dg.instance_for_test(overrides={"run_coordinator": queue}) as instance:
            target = PythonFileTarget(
                python_file=str(file),
                attribute=None,
                working_directory=str(Path(file).parent),
                location_name="tiny",
            )
            with create_test_daemon_workspace_context(target, instance) as context:
                location = context.create_request_context().get_code_location("tiny")
                schedule = location.get_repository("__repository__").get_schedule("tiny_schedule")
                with freeze_time(datetime(2025, 3, 4, 12, tzinfo=UTC)):
                    instance.start_schedule(schedule)
                self.context = context
                yield instance

    def ticks_until(self, moment: datetime) -> None:
        """What the daemon does when it looks at the clock."""
        with freeze_time(moment):
            errors = list(
                launch_scheduled_runs(self.context, logging.getLogger("scheduler"), moment, {})
            )
        assert not [error for error in errors if hasattr(error, "message")], errors

    def test_a_daemon_that_was_down_for_three_nights_runs_each_of_them_once(
        self, scheduler: dg.DagsterInstance
    ) -> None:
        self.ticks_until(datetime(2025, 3, 5, 0, 0, 1, tzinfo=UTC))
        self.ticks_until(datetime(2025, 3, 5, 0, 0, 31, tzinfo=UTC))
        self.ticks_until(datetime(2025, 3, 8, 9, tzinfo=UTC))
        self.ticks_until(datetime(2025, 3, 8, 10, tzinfo=UTC))

        runs = reversed(scheduler.get_runs())
        days = [day for run in runs for day in days_of(run)]
        assert days == ["2025-03-04", "2025-03-05", "2025-03-06", "2025-03-07"]
        assert {run.tags["dagster/max_retries"] for run in scheduler.get_runs()} == {"2"}


def days_of(run: dg.DagsterRun) -> list[str]:
    first, last = (run.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
    days = dg.DailyPartitionsDefinition("2025-03-01", timezone="UTC")
    return list(days.get_partition_keys_in_range(dg.PartitionKeyRange(first, last)))
