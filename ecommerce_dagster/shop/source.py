"""The shop's source database: the server that the user names, else the embedded one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ecommerce_dagster import local

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
    with EmbeddedPostgres(postgres_data()) as server:
        variables = server.environment()
        os.environ.update(variables)
        try:
            yield server.dsn
        finally:
            for name in variables:
                os.environ.pop(name, None)


@contextmanager
def asked(connection: str) -> Iterator[None]:
    """Run the embedded PostgreSQL, where a command reads it by the name of its connection. What
    was never made is not made for that."""
    is_here = not brings_own_postgres() and postgres_data().exists()
    with postgres() if connection == _CONNECTION and is_here else nullcontext():
        yield


@contextmanager
def filled_postgres() -> Iterator[None]:
    """The same with the orders of today in it, if it held none."""
    import click

    from data_generator.load import generate
    from data_generator.options import Options

    with postgres() as dsn:
        if not _has_orders(dsn):
            summary = generate(dsn, Options())
            click.echo(f"Generated {summary.orders} orders for today.")
        yield


def _has_orders(dsn: str) -> bool:
    import psycopg

    with psycopg.connect(dsn, connect_timeout=10) as connection:
        found = connection.execute("SELECT to_regclass('public.orders') IS NOT NULL").fetchone()
        if not found or not found[0]:
            return False
        return connection.execute("SELECT 1 FROM public.orders LIMIT 1").fetchone() is not None
