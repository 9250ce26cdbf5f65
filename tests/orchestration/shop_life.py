"""Days in the life of a shop: random orders, and changes of old ones, in Postgres."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg

from orchestration.helpers import COUNT_AT_ONCE, Shop

FIRST = date(2025, 3, 1)


class ShopLife:
    """A shop with orders since FIRST. `touched` are the days whose orders or items changed."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop = shop
        self.random = random.Random(seed)
        days = {row[0] for row in shop.source("SELECT DISTINCT order_date::date FROM orders")}
        self.today = max(days) + timedelta(days=1)
        self.touched = days

    def change(self) -> None:
        """One transaction of random changes, which PostgreSQL has counted when this returns."""
        kinds = [self._order, self._order, self._status, self._delete, self._move, self._customer]
        with psycopg.connect(self.shop.dsn) as connection:
            connection.execute("SET TIME ZONE 'UTC'")
            for kind in self.random.sample(kinds, 3):
                kind(connection)
            connection.execute(COUNT_AT_ONCE)

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
