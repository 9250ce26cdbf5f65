"""The shop's source database: the server that the user names, else the embedded one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecommerce_dagster import local

if TYPE_CHECKING:
    from ecommerce_dagster.orchestration.translator import BruinTranslator
    from ecommerce_dagster.shop.embedded_postgres import PostgresServer

FIRST_DAY = "SHOP_FIRST_DAY"
_FIRST_DAY = "SELECT min(order_date AT TIME ZONE 'UTC')::date FROM public.orders"

_CONNECTION = "pg-default"


def brings_own_postgres() -> bool:
    """Whether the user named a PostgreSQL server."""
    return bool(os.environ.get("POSTGRES_HOST"))


def postgres_data() -> Path:
    """The folder of the embedded PostgreSQL."""
    return local.state_dir() / "postgres"


def resources() -> dict[str, Any]:
    """The embedded PostgreSQL in place of the connection that is not configured, by its resource
    key."""
    if brings_own_postgres():
        return {}
    from ecommerce_dagster.shop.resource import EmbeddedPostgresResource

    return {"pg_default": EmbeddedPostgresResource.for_folder(postgres_data())}


@contextmanager
def postgres() -> Iterator[str]:
    """The DSN of the shop's database: the user's server, else the embedded one, running until
    the end of the block. Sets POSTGRES_* for this process and those it starts."""
    if brings_own_postgres():
        from data_generator.connect import dsn_from_environment

        yield dsn_from_environment(os.environ) or ""
        return
    from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres

    local.make_private()
    with EmbeddedPostgres(postgres_data()) as server, _named(server):
        yield server.dsn


@contextmanager
def _named(server: PostgresServer) -> Iterator[None]:
    """POSTGRES_* of this process and those it starts name a server."""
    variables = server.environment()
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)


@contextmanager
def joined() -> Iterator[frozenset[str]]:
    """Let a command look at the embedded PostgreSQL if it runs already; gives its connection when
    it does not."""
    if brings_own_postgres():
        yield frozenset()
        return
    from ecommerce_dagster.shop.embedded_postgres import running

    server = running(postgres_data())
    with _named(server) if server else nullcontext():
        yield frozenset() if server else frozenset({_CONNECTION})


@contextmanager
def asked(connection: str) -> Iterator[None]:
    """Run the embedded PostgreSQL, where a command reads it by the name of its connection. What
    was never made is not made for that."""
    is_here = not brings_own_postgres() and postgres_data().exists()
    with postgres() if connection == _CONNECTION and is_here else nullcontext():
        yield


@contextmanager
def filled_postgres() -> Iterator[None]:
    """The same with the orders of today in it, if it held none. Sets FIRST_DAY as `postgres` sets
    its variables."""
    import click

    from data_generator.load import generate
    from data_generator.options import Options

    with postgres() as dsn:
        if first_day(dsn) is None:
            summary = generate(dsn, Options())
            click.echo(f"Generated {summary.orders} orders for today.")
        os.environ[FIRST_DAY] = str(first_day(dsn))
        try:
            yield
        finally:
            os.environ.pop(FIRST_DAY, None)


def first_day(dsn: str) -> date | None:
    """The day of the first order, in UTC; None without orders."""
    import psycopg

    with psycopg.connect(dsn, connect_timeout=10) as connection:
        found = connection.execute("SELECT to_regclass('public.orders') IS NOT NULL").fetchone()
        if not found or not found[0]:
            return None
        day: date | None
        ((day,),) = connection.execute(_FIRST_DAY).fetchall()
        return day


def translator() -> BruinTranslator:
    """Partitions from the first order on, where FIRST_DAY says when that was: days without any
    would be shown as missing."""
    from ecommerce_dagster.shop.translator import ShopTranslator

    return ShopTranslator(os.environ.get(FIRST_DAY))
