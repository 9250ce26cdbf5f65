"""The sensor on Postgres requests exactly what changed, once, and forgets nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from unittest import mock

import dagster as dg
import psycopg
import pytest

from ecommerce_dagster import build_defs, local
from orchestration.helpers import NewShop, Shop

SENSOR = "orders_performance_pg_default_changes"
MONTH = ("--orders", "60", "--starting-at", "2025-03-01", "--ending-at", "2025-03-20")


@dg.job
def anything() -> None: ...


class Watcher:
    """The sensor of a shop, with its cursor from tick to tick."""

    def __init__(self, shop: Shop, instance: dg.DagsterInstance) -> None:
        self.shop, self.instance, self.cursor = shop, instance, ""
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
                result = sensor.evaluate_tick(context)
        if result.skip_message:
            return str(result.skip_message)
        self.cursor = result.cursor or ""
        requests = list(result.run_requests or [])
        for request in requests:
            tags = {"dagster/run_key": str(request.run_key)}
            self.instance.create_run_for_job(anything, tags=tags, status=self.outcome)
        return requests

    def execute(self, *statements: str) -> None:
        """Change the source. Postgres shows what it counted when the session ends."""
        with psycopg.connect(self.shop.dsn) as connection:
            for statement in statements:
                connection.execute(statement)


@pytest.fixture
def watcher(new_shop: NewShop, instance: dg.DagsterInstance) -> Watcher:
    shop = new_shop()
    shop.generate(*MONTH)
    return Watcher(shop, instance)


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

    assert watcher.tick() == "nothing changed"


def test_a_changed_order_asks_for_its_day_and_what_is_below(watcher: Watcher) -> None:
    watcher.tick()
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")

    requests = watcher.tick()

    assert ranges(requests) == [("2025-03-07", "2025-03-07")]
    assert names(requests[0]) >= {"raw/orders", "stg/orders", "mart/sales_daily"}  # type: ignore[arg-type]
    assert "raw/customers" not in names(requests[0])  # type: ignore[arg-type]


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
        watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-11'")
        assert ranges(watcher.tick()) == [("2025-03-11", "2025-03-11")]

    assert ("2025-03-03", "2025-03-03") in ranges(watcher.tick())


def test_counters_that_were_reset_lose_nothing(watcher: Watcher) -> None:
    watcher.tick()
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-08'")
    watcher.execute("SELECT pg_stat_reset()")

    assert ("2025-03-08", "2025-03-08") in ranges(watcher.tick())


def test_the_days_of_a_failed_run_are_asked_for_again(watcher: Watcher) -> None:
    watcher.tick()
    watcher.outcome = dg.DagsterRunStatus.FAILURE
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-07'")
    assert ranges(watcher.tick()) == [("2025-03-07", "2025-03-07")]
    watcher.execute("UPDATE orders SET status = 'paid' WHERE order_date::date = '2025-03-10'")

    assert ranges(watcher.tick()) == [("2025-03-07", "2025-03-07"), ("2025-03-10", "2025-03-10")]


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
