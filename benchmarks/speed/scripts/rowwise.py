"""Orders and their items the way a first script writes them: rows handed over by executemany, the
foreign keys checked for each. `python rowwise.py ORDERS`, into the tables that DSN names."""

import os
import random
import sys
from datetime import UTC, datetime, timedelta

import psycopg

ORDER = (
    "INSERT INTO orders (id, customer_id, order_date, status, total_amount, created_at)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)
ITEM = (
    "INSERT INTO order_items (order_id, variant_id, quantity, unit_price, created_at)"
    " VALUES (%s, %s, %s, %s, %s)"
)
rng, start = random.Random(1), datetime(2025, 1, 1, tzinfo=UTC)
with psycopg.connect(os.environ["DSN"]) as connection, connection.cursor() as cursor:
    customers = [row[0] for row in connection.execute("SELECT id FROM customers")]
    variants = [row[0] for row in connection.execute("SELECT id FROM product_variants")]
    orders, items = [], []
    for number in range(int(sys.argv[1])):
        at = start + timedelta(seconds=rng.randrange(365 * 24 * 3600))
        lines = [(rng.choice(variants), rng.randint(1, 3), rng.uniform(20, 200)) for _ in range(3)]
        total = round(sum(quantity * price for _, quantity, price in lines), 2)
        id = 100_000_000 + number
        orders.append((id, rng.choice(customers), at, "paid", total, at))
        items += [
            (id, variant, quantity, round(price, 2), at) for variant, quantity, price in lines
        ]
    cursor.executemany(ORDER, orders)
    cursor.executemany(ITEM, items)
