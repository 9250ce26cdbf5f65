"""Days in the life of a shop: its source changes at random, the sensor and the schedule follow.

What they ask for is run; nothing else is. `Simulation.differences` compares the outcome with a
rebuild of everything.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from unittest import mock

import dagster as dg
import psycopg

from ecommerce_dagster import build_defs, local
from orchestration.helpers import QUIET, Shop, failures, tables

FIRST = date(2025, 3, 1)
SENSOR, SCHEDULE = "orders_performance_pg_default_changes", "orders_performance_schedule"


@dataclass
class Figures:
    """What was asked for, beside what had changed."""

    runs: int = 0
    days_changed: int = 0
    days_requested: int = 0
    nights: int = 0
    surprises: list[str] = field(default_factory=list)


class Simulation:
    """A shop with `history` days of orders, from the first on."""

    def __init__(self, shop: Shop, instance: dg.DagsterInstance, seed: int, history: int) -> None:
        self.shop, self.instance = shop, instance
        self.random = random.Random(seed)
        self.today = FIRST + timedelta(days=history)
        self.figures = Figures()
        self.cursor = ""
        self.touched: set[date] = set()

    @contextmanager
    def definitions(self) -> Iterator[dg.Definitions]:
        with mock.patch.dict(os.environ, self.shop.environment, clear=True):
            os.environ["DUCKDB_PATH"] = str(self.shop.warehouse)
            yield build_defs(local.PIPELINE)

    # Time passes.

    def day(self) -> None:
        """Some changes, each noticed by a tick of the sensor, and a tick of the schedule at night."""
        for _ in range(2):
            self.change()
            self.tick()
        self.today += timedelta(days=1)
        self.night()

    def tick(self) -> None:
        """The sensor looks; what it asks for is run, and must be what changed."""
        with self.definitions() as definitions:
            resources = {"pg_default": (definitions.resources or {})["pg_default"]}
            sensor = definitions.resolve_sensor_def(SENSOR)
            with dg.build_sensor_context(
                self.instance, self.cursor or None, resources=resources, definitions=definitions
            ) as context:
                result = sensor.evaluate_tick(context)
            self.cursor = result.cursor or self.cursor
            requested: list[date] = []
            for request in result.run_requests or []:
                requested += self.run(definitions, request, request.asset_selection)
        if sorted(requested) != sorted(self.touched):
            self.figures.surprises.append(f"{sorted(self.touched)} changed, {requested} requested")
        self.figures.days_changed += len(self.touched)
        self.figures.days_requested += len(requested)
        self.touched = set()

    def night(self) -> None:
        """The schedule's tick at the midnight before today."""
        midnight = datetime.combine(self.today, time.min, UTC)
        with self.definitions() as definitions:
            schedule = definitions.resolve_schedule_def(SCHEDULE)
            with dg.build_schedule_context(
                self.instance, scheduled_execution_time=midnight
            ) as context:
                result = schedule.evaluate_tick(context)
            for request in result.run_requests or []:
                tags = {**request.tags, "dagster/schedule_name": SCHEDULE}
                self.figures.nights += len(self.run(definitions, request, None, tags))

    def run(
        self,
        definitions: dg.Definitions,
        request: dg.RunRequest,
        selection: Any,
        tags: dict[str, str] | None = None,
    ) -> list[date]:
        """Run a request; the days that it is about."""
        job = definitions.resolve_implicit_global_asset_job_def()
        keys = selection or [
            spec.key
            for spec in definitions.resolve_all_asset_specs()
            if spec.key.path[0] != "report"
        ]
        job = job.get_subset(asset_selection=set(keys))
        tags = {**(tags or request.tags), "dagster/run_key": str(request.run_key)}
        result = job.execute_in_process(
            instance=self.instance, tags=tags, run_config=QUIET, raise_on_error=False
        )
        self.figures.runs += 1
        if not result.success:
            self.figures.surprises.append(f"{request.run_key} failed: {failures(result)}")
        first = tags.get("dagster/asset_partition_range_start")
        if first is None:
            return []
        start = date.fromisoformat(first)
        end = date.fromisoformat(tags["dagster/asset_partition_range_end"])
        return [start + timedelta(days=n) for n in range((end - start).days + 1)]

    # What happens in the shop.

    def change(self) -> None:
        """One transaction of random changes."""
        kinds = [self._order, self._order, self._status, self._delete, self._move, self._customer]
        with psycopg.connect(self.shop.dsn) as connection:
            connection.execute("SET TIME ZONE 'UTC'")
            for kind in self.random.sample(kinds, 3):
                kind(connection)

    def _order(self, connection: psycopg.Connection[Any]) -> None:
        """A new order of today, perhaps by a new customer."""
        customer = self._any(connection, "customers")
        if self.random.random() < 0.5:
            name = f"new{self.random.getrandbits(60)}"
            customer = self._id(
                connection,
                "INSERT INTO customers (full_name, email, country, age)"
                " VALUES (%(name)s, %(name)s || '@example.com', 'Malta', 30) RETURNING id",
                name=name,
            )
        order = self._id(
            connection,
            "INSERT INTO orders (customer_id, order_date, status, created_at)"
            " VALUES (%(customer)s, %(at)s, 'paid', %(at)s) RETURNING id",
            customer=customer,
            at=self._moment(self.today),
        )
        for _ in range(self.random.randint(1, 3)):
            connection.execute(
                "INSERT INTO order_items (order_id, variant_id, quantity, unit_price, created_at)"
                " SELECT id, %s, 2, 10.50, order_date FROM orders WHERE id = %s",
                [self._any(connection, "product_variants"), order],
            )
        connection.execute(
            "UPDATE orders SET total_amount = (SELECT sum(total_price) FROM order_items"
            " WHERE order_id = orders.id) WHERE id = %s",
            [order],
        )

    def _status(self, connection: psycopg.Connection[Any]) -> None:
        """Old orders are shipped."""
        for _ in range(2):
            order = self._any_order(connection)
            connection.execute(
                "UPDATE orders SET status = 'shipped', updated_at = clock_timestamp() WHERE id = %s",
                [order],
            )

    def _delete(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("DELETE FROM orders WHERE id = %s", [self._any_order(connection)])

    def _move(self, connection: psycopg.Connection[Any]) -> None:
        """An order gets another date, and its items with it."""
        order = self._any_order(connection)
        day = FIRST + timedelta(days=self.random.randrange((self.today - FIRST).days + 1))
        connection.execute(
            "UPDATE orders SET order_date = %s, updated_at = clock_timestamp() WHERE id = %s",
            [self._moment(day), order],
        )
        connection.execute(
            "UPDATE order_items SET created_at = order_date FROM orders"
            " WHERE orders.id = order_id AND order_id = %s",
            [order],
        )

    def _customer(self, connection: psycopg.Connection[Any]) -> None:
        """Somebody moves to Malta; somebody who never ordered is deleted."""
        connection.execute(
            "UPDATE customers SET country = 'Malta', updated_at = clock_timestamp() WHERE id = %s",
            [self._any(connection, "customers")],
        )
        connection.execute(
            "DELETE FROM customers WHERE id = (SELECT min(id) FROM customers WHERE NOT EXISTS"
            " (SELECT FROM orders WHERE customer_id = customers.id))"
        )

    def _any_order(self, connection: psycopg.Connection[Any]) -> int:
        """An order, whose day is touched."""
        order = self._any(connection, "orders")
        ((day,),) = connection.execute(
            "SELECT order_date::date FROM orders WHERE id = %s", [order]
        ).fetchall()
        self.touched.add(day)
        return order

    def _any(self, connection: psycopg.Connection[Any], table: str) -> int:
        ids = [row[0] for row in connection.execute(f"SELECT id FROM {table} ORDER BY id")]  # type: ignore[arg-type]
        return int(self.random.choice(ids))

    def _moment(self, day: date) -> datetime:
        self.touched.add(day)
        seconds = self.random.randrange(24 * 3600)
        return datetime.combine(day, time.min, UTC) + timedelta(seconds=seconds)

    def _id(self, connection: psycopg.Connection[Any], sql: str, **values: Any) -> int:
        ((found,),) = connection.execute(sql, values).fetchall()  # type: ignore[arg-type]
        return int(found)

    # The end.

    def differences(self) -> list[str]:
        """The staging tables and marts that are not as a rebuild of everything makes them."""
        anew = self.shop.home / "anew.duckdb"
        followed = tables(self.shop.warehouse)
        outcome = self.shop.ecommerce("run", "--full-refresh", DUCKDB_PATH=str(anew))
        assert outcome.succeeded, outcome.text
        rebuilt = tables(anew)
        return [
            f"{name}: {followed.get(name)} instead of {rows}"
            for name, rows in rebuilt.items()
            if name.startswith(("stg.", "mart.")) and followed.get(name) != rows
        ]
