"""The command `ecommerce` with what belongs to the demonstration."""

from __future__ import annotations

import sys

import click

from ecommerce_dagster import local
from ecommerce_dagster.cli import main
from ecommerce_dagster.cli.errors import user_errors
from ecommerce_dagster.cli.help_sections import under
from ecommerce_dagster.cli.local_services import LocalServices, local_services
from ecommerce_dagster.cli.options import example
from ecommerce_dagster.shop.source import asked, filled_postgres, joined, resources

local_services[local.PIPELINE] = LocalServices(resources, filled_postgres, asked, joined)


@under("Run")
@main.command(epilog=example("ecommerce demo\necommerce demo --days 7"))
@click.option("--days", type=click.IntRange(1, 365), default=90, show_default=True)
def demo(days: int) -> None:
    """Generate data up to today, run everything, show marts."""
    with user_errors():
        from ecommerce_dagster.shop.demo import run_demo

        sys.exit(run_demo(days))


@under("Set up")
@main.command(
    "with-postgres",
    context_settings={"ignore_unknown_options": True},
    epilog=example("ecommerce with-postgres -- dagster definitions validate"),
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def with_postgres(command: tuple[str, ...]) -> None:
    """Run COMMAND while the local PostgreSQL is up.

    POSTGRES_* and DUCKDB_PATH are set for it.
    """
    with user_errors():
        from ecommerce_dagster.shop.with_postgres import run_with_postgres

        sys.exit(run_with_postgres(command))
