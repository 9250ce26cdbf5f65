"""The shop's data in a PostgreSQL of the benchmark's own, in two sizes, made by the generator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql

from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer

BIN = Path(sys.executable).parent
_A_DAY = ("--starting-at", "2025-06-01", "--ending-at", "2025-06-01T23:59:59.999999")
A_YEAR = ("--starting-at", "2025-01-01", "--ending-at", "2025-12-31T23:59:59.999999")
SMALL = (*_A_DAY, "--customers", "100", "--products", "50", "--orders", "500")
# 50,000 variants and 3,000,000 items: 1 to 4 for each product, 1 to 5 for each order.
LARGE = (*A_YEAR, "--customers", "200000", "--products", "20000", "--orders", "1000000")

_TRIPLE = """
CREATE TABLE orders_3x AS SELECT o.id + n * 10000000 AS id, customer_id, order_date, status,
    total_amount, created_at, updated_at FROM orders o, generate_series(0, 2) n;
CREATE TABLE order_items_3x AS
    SELECT i.id + n * 10000000 AS id, order_id + n * 10000000 AS order_id, variant_id, quantity,
        unit_price, total_price, created_at
    FROM order_items i, generate_series(0, 2) n;
ANALYZE
"""


@dataclass(frozen=True)
class Shop:
    """A database with the five tables."""

    server: PostgresServer

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it, and nothing else that would change what it does."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return kept | self.server.environment() | {"DSN": self.server.dsn, "NO_COLOR": "1"}


@contextmanager
def server(folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL that lives as long as the block."""
    settings = {"shared_buffers": "1GB", "autovacuum": "off"}
    with EmbeddedPostgres(folder, settings=settings) as found:
        yield found


def filled(found: PostgresServer, name: str, options: tuple[str, ...]) -> Shop:
    """A database of this name with generated data, statistics and warm caches."""
    with psycopg.connect(found.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    shop = Shop(replace(found, database=name))
    generate(shop, options)
    with psycopg.connect(shop.server.dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return shop


def generate(shop: Shop, options: tuple[str, ...]) -> None:
    """Fill it."""
    command = [str(BIN / "generate-data"), "--dsn", shop.server.dsn, *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def tripled(shop: Shop) -> None:
    """Orders and items three times, in tables beside them."""
    with psycopg.connect(shop.server.dsn, autocommit=True) as connection:
        connection.execute(_TRIPLE)
