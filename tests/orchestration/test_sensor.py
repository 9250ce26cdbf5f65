"""The sensor on Postgres requests exactly what changed, once, and forgets nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from unittest import mock

import dagster as dg
import psycopg
import pytest

from ecommerce_dagster import BruinTranslator, build_defs, local
from ecommerce_dagster.orchestration.build import load_project
from ecommerce_dagster.orchestration.sensor_after_run import look_before_loading
from orchestration.helpers import COUNT_AT_ONCE, NewShop, Shop

SENSOR = "orders_performance_pg_default_changes"
MONTH = ("--orders", "60", "--starting-at", "2025-03-01", "--ending-at", "2025-03-20")


@dg.job
def anything() -> None: ...


class Watcher:
    """The sensor of a shop, with its cursor from tick to tick."""

    def __init__(self, shop: Shop, instance: dg.DagsterInstance) -> None:
        self.shop, self.instance, self.cursor = shop, instance, ""
        self.ticked: float | None = None
        # How the runs that it requests end.
        self.outcome = dg.DagsterRunStatus.SUCCESS

    def tick(self) -> Sequence[dg.RunRequest] | str:
        """The run requests of a tick, or why there is none."""
        with mock.patch.dict(os.environ, self.shop.environment, clear=True):
            definitions = build_defs(local.PIPELINE)
            sensor = definitions.resolve_sensor_def(SENSOR)
            resources = {"pg_default": definitions.resources["pg_default"]}  # type: ignore[index]
            with dg.build_sensor_context(
                instance=self.instance,
                cursor=self.cursor or None,
                resources=resources,
                definitions=definitions,
            ) as context:
                context._last_tick_completion_time = self.ticked
                result = sensor.evaluate_tick(context)
        self.cursor, self.ticked = result.cursor or "", time.time()
        if result.skip_message:
            return str(result.skip_message)
        requests = list(result.run_requests or [])
        for request in requests:
            tags = {"dagster/run_key": str(request.run_key)}
            self.instance.create_run_for_job(anything, tags=tags, status=self.outcome)
        return requests

    def fail_all(self) -> None:
        """Every run that has not ended fails now."""
        for run in self.instance.get_runs():
            if not run.is_finished:
                self.instance.report_run_failed(run)

    def execute(self, *statements: str) -> None:
        """Change the source, in one transaction."""
        with psycopg.connect(self.shop.dsn) as connection:
            for statement in (*statements, COUNT_AT_ONCE):
                connection.execute(statement)


@pytest.fixture(scope="module")
def month(new_shop: NewShop) -> Shop:
    shop = new_shop()
    shop.generate(*MONTH)
    return shop


@pytest.fixture
def watcher(new_shop: NewShop, month: Shop, instance: dg.DagsterInstance) -> Watcher:
    return Watcher(new_shop(like=month), instance)


def ranges(requests: Sequence[dg.RunRequest] | str) -> list[tuple[str, str]]:
    assert not isinstance(requests, str), requests
    return [
        (
            request.tags["dagster/asset_partition_range_start"],
            request.tags["dagster/asset_partition_range_end"],
        )
        for request in requests
    ]


def names(request: dg.RunRequest) -> set[str]:
    return {key.to_user_string() for key in request.asset_selection or ()}


def test_the_first_tick_asks_for_every_day_that_has_rows(watcher: Watcher) -> None:
    requests = watcher.tick()

    days = ranges(requests)
    assert days[0][0] >= "2025-03-01"
    assert days[-1][1] <= "2025-03-20"
    assert names(requests[-1]) >= {"raw/orders", "raw/customers", "mart/sales_daily"}  # type: ignore[arg-type]


def test_nothing_is_asked_for_when_nothing_changed(watcher: Watcher) -> None:
    watcher.tick()

    assert watcher.tick() == "nothing changed in 5 tables"


def test_a_changed_order_asks_for_its_day_and_what_is_below(watcher: Watcher) -> None:
    watcher.tick()
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")

    requests = watcher.tick()

    assert ranges(requests) == [("2025-03-07", "2025-03-07")]
    assert names(requests[0]) >= {"raw/orders", "stg/orders", "mart/sales_daily"}  # type: ignore[arg-type]
    assert "raw/customers" not in names(requests[0])  # type: ignore[arg-type]


def test_a_sensor_goes_on_from_the_look_of_the_process_that_loaded_everything(
    watcher: Watcher,
) -> None:
    def load(change: str) -> None:
        with mock.patch.dict(os.environ, watcher.shop.environment, clear=True):
            project = load_project(local.PIPELINE)
            hand_over = look_before_loading(project, watcher.instance, BruinTranslator())
            watcher.execute(change)  # the run may have seen it, or not
            hand_over(watcher.instance)

    load("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")
    assert ranges(watcher.tick()) == [("2025-03-07", "2025-03-07")]
    assert watcher.tick() == "nothing changed in 5 tables"
    # Also where the sensor has looked before; but not when its cursor is reset after that.
    watcher.execute("UPDATE orders SET status = 'paid'")
    load("DELETE FROM order_items WHERE created_at::date = '2025-03-09'")
    assert ranges(watcher.tick()) == [("2025-03-09", "2025-03-09")]
    watcher.cursor = ""
    assert ranges(watcher.tick())[0][0] == "2025-03-01"


def test_deleted_rows_are_noticed(watcher: Watcher) -> None:
    watcher.tick()
    watcher.execute("DELETE FROM order_items WHERE created_at::date = '2025-03-09'")

    assert ranges(watcher.tick()) == [("2025-03-09", "2025-03-09")]


def test_an_order_that_moves_asks_for_the_day_it_left_and_the_one_it_joins(
    watcher: Watcher,
) -> None:
    watcher.tick()
    watcher.execute(
        "UPDATE orders SET order_date = '2025-03-15 12:00+00' WHERE id ="
        " (SELECT min(id) FROM orders WHERE order_date::date = '2025-03-04')"
    )

    assert ranges(watcher.tick()) == [("2025-03-04", "2025-03-04"), ("2025-03-15", "2025-03-15")]


def test_neighbouring_days_are_one_run(watcher: Watcher) -> None:
    watcher.tick()
    watcher.execute(
        "UPDATE orders SET status = 'paid'"
        " WHERE order_date::date BETWEEN '2025-03-07' AND '2025-03-09'"
    )

    assert ranges(watcher.tick()) == [("2025-03-07", "2025-03-09")]


def test_a_changed_customer_asks_for_no_partition(watcher: Watcher) -> None:
    watcher.tick()
    watcher.execute("UPDATE customers SET country = 'Malta', updated_at = now() WHERE id = 1")

    (request,) = watcher.tick()

    assert isinstance(request, dg.RunRequest)
    assert "dagster/asset_partition_range_start" not in request.tags
    assert names(request) >= {"raw/customers", "stg/customers", "mart/customers_by_country"}
    assert "stg/orders" not in names(request)


def test_a_transaction_that_commits_late_is_not_missed(watcher: Watcher) -> None:
    watcher.tick()
    with psycopg.connect(watcher.shop.dsn) as slow:
        slow.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-03'")
        slow.execute(COUNT_AT_ONCE)
        watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-11'")
        assert ranges(watcher.tick()) == [("2025-03-11", "2025-03-11")]

    assert ranges(watcher.tick()) == [("2025-03-03", "2025-03-03")]


def test_counters_that_were_reset_lose_nothing(watcher: Watcher) -> None:
    watcher.tick()
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-08'")
    watcher.execute("SELECT pg_stat_reset()")

    assert ranges(watcher.tick()) == [("2025-03-08", "2025-03-08")]


@pytest.mark.parametrize(
    "statements",
    [
        ["SELECT pg_stat_reset()"],
        ["UPDATE orders SET status = 'paid'", "ROLLBACK"],
        ["VACUUM FULL orders"],
    ],
    ids=["a reset of the counters", "a transaction that is rolled back", "a rewrite of the table"],
)
def test_nothing_is_asked_for_after(watcher: Watcher, statements: list[str]) -> None:
    watcher.tick()
    with psycopg.connect(watcher.shop.dsn, autocommit=True) as connection:
        if "ROLLBACK" in statements:
            connection.execute("BEGIN")
        for statement in (*statements, COUNT_AT_ONCE):
            connection.execute(statement)

    assert watcher.tick() == "no row changed in 5 tables"
    assert watcher.tick() == "nothing changed in 5 tables"


def test_a_table_that_is_emptied_at_once_is_noticed(watcher: Watcher) -> None:
    watcher.tick()
    before = watcher.cursor
    watcher.execute("TRUNCATE order_items")

    requests = watcher.tick()

    assert watcher.cursor != before
    assert ranges(requests)
    assert "raw/orders" not in names(requests[0])  # type: ignore[arg-type]


def test_an_order_of_tomorrow_is_asked_for_when_tomorrow_has_come(watcher: Watcher) -> None:
    watcher.tick()
    tomorrow = "UPDATE orders SET order_date = now() + interval '{} days' WHERE id = 1"
    watcher.execute(tomorrow.format(40), "DELETE FROM order_items WHERE order_id = 1")
    watcher.tick()
    watcher.execute(tomorrow.format(0))

    assert len(ranges(watcher.tick())) == 1


def test_the_days_of_a_failed_run_are_asked_for_again(watcher: Watcher) -> None:
    watcher.tick()
    watcher.outcome = dg.DagsterRunStatus.FAILURE
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")
    assert ranges(watcher.tick()) == [("2025-03-07", "2025-03-07")]
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-10'")

    assert ranges(watcher.tick()) == [("2025-03-07", "2025-03-07"), ("2025-03-10", "2025-03-10")]


def test_a_failed_run_is_asked_for_again_although_nothing_changes_but_not_at_once(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher.tick()
    watcher.outcome = dg.DagsterRunStatus.STARTED
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")
    (first,) = watcher.tick()
    for minutes in (1, 2, 4):
        watcher.fail_all()
        assert watcher.tick() == "nothing changed in 5 tables"
        later = time.time() + 60 * minutes + 1
        with mock.patch("time.time", lambda later=later: later):
            (again,) = watcher.tick()

        assert isinstance(first, dg.RunRequest)
        assert isinstance(again, dg.RunRequest)
        assert ranges([again]) == [("2025-03-07", "2025-03-07")]
        assert again.run_key != first.run_key
        first = again


def test_a_run_that_somebody_cancelled_waits_for_the_next_change(watcher: Watcher) -> None:
    watcher.tick()
    watcher.outcome = dg.DagsterRunStatus.CANCELED
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")
    watcher.tick()

    assert watcher.tick() == "nothing changed in 5 tables"
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-08'")
    assert ranges(watcher.tick()) == [("2025-03-07", "2025-03-08")]


def test_what_changes_while_a_run_is_queued_is_one_request_after_it(watcher: Watcher) -> None:
    watcher.tick()
    watcher.outcome = dg.DagsterRunStatus.NOT_STARTED
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")
    watcher.tick()
    for day in ("2025-03-10", "2025-03-11", "2025-03-12"):
        watcher.execute(f"UPDATE orders SET status = 'paid' WHERE order_date::date = '{day}'")
        assert "has not started" in watcher.tick()
    watcher.outcome = dg.DagsterRunStatus.SUCCESS
    watcher.fail_all()

    assert ranges(watcher.tick()) == [("2025-03-07", "2025-03-07"), ("2025-03-10", "2025-03-12")]


def test_a_tick_whose_end_was_lost_asks_for_the_same_runs_again(watcher: Watcher) -> None:
    watcher.tick()
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")
    before = watcher.cursor
    (first,) = watcher.tick()
    watcher.cursor = before
    (again,) = watcher.tick()

    # Dagster starts no second run with the same key.
    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert first.run_key == again.run_key


def test_a_preview_changes_nothing(watcher: Watcher) -> None:
    watcher.tick()
    cursor = watcher.cursor
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")
    watcher.cursor = ""
    watcher.tick()
    watcher.cursor = cursor

    assert ranges(watcher.tick()) == [("2025-03-07", "2025-03-07")]


def test_new_customers_are_loaded_before_their_orders_in_every_run(watcher: Watcher) -> None:
    watcher.tick()
    watcher.execute(
        "UPDATE customers SET country = 'Malta', updated_at = now() WHERE id = 1",
        "UPDATE orders SET status = 'paid' WHERE order_date::date IN ('2025-03-07', '2025-03-09')",
    )

    first, last = watcher.tick()

    assert isinstance(first, dg.RunRequest)
    assert isinstance(last, dg.RunRequest)
    assert names(first) >= {"raw/customers", "stg/customers", "raw/orders", "stg/orders"}
    assert names(last) >= names(first)
    assert "mart/sales_daily" in names(last) - names(first)


def test_another_database_is_loaded_from_the_start(watcher: Watcher, new_shop: NewShop) -> None:
    first = ranges(watcher.tick())
    watcher.shop = new_shop(like=watcher.shop)

    assert ranges(watcher.tick()) == first


def test_the_cursor_stays_small(watcher: Watcher) -> None:
    watcher.tick()
    watcher.tick()

    # Dagster stores it at every tick.
    assert len(watcher.cursor) < 1000
    assert json.loads(watcher.cursor)["asked"] == {}


def test_a_run_that_has_not_ended_is_not_asked_for_twice(watcher: Watcher) -> None:
    watcher.tick()
    watcher.outcome = dg.DagsterRunStatus.STARTED
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")
    watcher.tick()
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-10'")

    assert ranges(watcher.tick()) == [("2025-03-10", "2025-03-10")]


def test_a_cursor_that_cannot_be_read_is_like_none(watcher: Watcher) -> None:
    watcher.cursor = "something of an older version"

    assert ranges(watcher.tick())


def test_postgres_that_does_not_answer_is_a_reason_to_skip(watcher: Watcher) -> None:
    watcher.shop.environment = {**watcher.shop.environment, "POSTGRES_PORT": "1"}

    reason = watcher.tick()

    assert isinstance(reason, str)
    assert "127.0.0.1:1" in reason
    assert watcher.shop.environment["POSTGRES_PASSWORD"] not in reason


def test_changes_while_postgres_was_away_are_found_when_it_is_back(watcher: Watcher) -> None:
    watcher.tick()
    environment = watcher.shop.environment
    watcher.shop.environment = {**environment, "POSTGRES_PORT": "1"}
    watcher.tick()
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")
    watcher.shop.environment = environment

    assert ranges(watcher.tick()) == [("2025-03-07", "2025-03-07")]
