"""The `generate-data` command."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
import psycopg
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from data_generator import job
from data_generator.connect import InvalidDsnError, connect, dsn_from_environment
from data_generator.load import Summary, generate, set_sizes
from data_generator.options import GeneratorError, InvalidOptionsError, Options
from data_generator.schema import migrate, reset
from ecommerce_dagster import local
from ecommerce_dagster.errors import MissingExtra
from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgresError
from ecommerce_dagster.shop.source import postgres

_ORDERS_WORTH_A_BAR = 20_000
_SAID_ALONE = {"dsn", "chaos_percent", "migrate_only", "reset_tables"}
_ONLY_SIZES = """

Orders, customers and products are as they were; only sizes were set. For other orders say which:
--days 1, --orders 500, --starting-at 2025-03-01."""
_EXAMPLE = """
\b
Examples:
  generate-data --days 90 --orders 9000 --customers 4000   # a shop with a past
  generate-data --chaos-percent 5                          # make sizes wrong ...
  generate-data                                            # ... and right again
\b
Three thousand orders of one day, 5 % of the sizes wrong:
  generate-data --dsn postgresql://shop:secret@localhost:5432/shop \\
    --orders 3000 --chaos-percent 5 \\
    --starting-at 2025-03-01 --ending-at 2025-03-01T23:59:59.999999
"""


@click.command(epilog=_EXAMPLE, context_settings={"show_default": True})
@click.option(
    "--dsn",
    help="Postgres to write to; else POSTGRES_DSN, else POSTGRES_HOST etc., else the local one.",
)
@click.option("--customers", type=int, default=Options.customers)
@click.option("--products", type=int, default=Options.products, help="With 1 to 4 variants each.")
@click.option("--orders", type=int, default=Options.orders)
@click.option(
    "--max-items-per-order",
    type=int,
    default=Options.max_items_per_order,
    help="Never more than there are variants.",
)
@click.option(
    "--chaos-percent",
    type=float,
    default=Options.chaos_percent,
    help="Share of the variants, 0 to 100, that get a size of the wrong kind.",
)
@click.option(
    "--scale", type=int, default=Options.scale, help="Multiplies customers, products and orders."
)
@click.option(
    "--seed", type=int, default=Options.seed, help="The same seed gives the same numbers."
)
@click.option(
    "--days",
    type=int,
    help="So many days up to now, as a shop with a past has them: seasons, weekdays, growth, "
    "customers who come back. --orders and --customers are those of all days.",
)
@click.option(
    "--starting-at",
    metavar="ISO",
    help="First moment of the orders; UTC unless it has an offset.  [default: today, 00:00 UTC]",
)
@click.option(
    "--ending-at",
    metavar="ISO",
    help="Last moment of the orders, none of which is in the future.  [default: end of today, UTC]",
)
@click.option("--migrate-only", is_flag=True, help="Create missing tables and stop.")
@click.option(
    "--reset", "reset_tables", is_flag=True, help="Drop the tables, create them anew, and stop."
)
@click.pass_context
def main(
    context: click.Context,
    /,
    dsn: str | None,
    starting_at: str | None,
    ending_at: str | None,
    migrate_only: bool,
    reset_tables: bool,
    **numbers: Any,
) -> None:
    """Fill a Postgres database with the shop's customers, products, variants, orders and items.

    Missing tables are created. Customers, products and variants of earlier runs are brought up to
    date, the orders of the window are replaced, other orders stay. With --chaos-percent alone, and
    without options where there are orders of today, a database keeps its orders: only sizes are
    set, wrong or right. It is all one transaction: a run that fails or is interrupted changes
    nothing.
    """
    problems: list[str] = []
    moments = _moments({"starting_at": starting_at, "ending_at": ending_at}, problems)
    options = Options(**moments, **numbers)
    try:
        options.window()
    except InvalidOptionsError as error:
        problems.extend(error.problems)
    if problems:
        raise click.UsageError("\n  ".join(problems))
    with _errors_in_one_line(), _database(dsn) as address:
        if reset_tables:
            with connect(address) as connection:
                reset(connection)
            click.echo("The tables are there, and empty.")
        elif migrate_only:
            with connect(address) as connection:
                migrate(connection)
            click.echo("The tables are there.")
        elif _is_said_alone(context) and (found := _set_sizes(context, address, options)):
            click.echo(_text(found) + _ONLY_SIZES)
        else:
            click.echo(_text(_generate(address, options)))


def _is_said_alone(context: click.Context) -> bool:
    """Whether nothing was said of which rows are wanted."""
    default = ParameterSource.DEFAULT
    return all(context.get_parameter_source(n) == default for n in {*context.params} - _SAID_ALONE)


def _set_sizes(context: click.Context, address: str, options: Options) -> Summary | None:
    """Set sizes alone; None where orders have to be made: on a day that has none, unless sizes are
    to be wrong."""
    is_chaos = context.get_parameter_source("chaos_percent") != ParameterSource.DEFAULT
    since = None if is_chaos else options.window().starting_at
    return set_sizes(address, options.chaos_percent, since=since)


@contextmanager
def _database(dsn: str | None) -> Iterator[str]:
    """The database that the user names, else the embedded one while it is needed."""
    local.load_environment()
    named = dsn or dsn_from_environment(os.environ)
    if named:
        yield named
    else:
        with postgres() as embedded:
            yield embedded


def _moments(texts: Mapping[str, str | None], problems: list[str]) -> dict[str, Any]:
    """Return the moments that were given, or none of them when one cannot be read."""
    moments = {}
    unreadable = []
    for name, text in texts.items():
        try:
            if text is not None:
                moments[name] = datetime.fromisoformat(text)
        except ValueError:
            unreadable.append(f"{name.replace('_', '-')} is not an ISO date or time: {text!r}")
    problems += unreadable
    return {} if unreadable else moments


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    # Of a connection that was interrupted psycopg logs that it cannot roll back any more. Without
    # a handler Python would print that.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    try:
        yield
    except InvalidDsnError as error:
        raise click.UsageError(str(error)) from None
    except (GeneratorError, EmbeddedPostgresError, MissingExtra) as error:
        raise click.ClickException(str(error)) from None
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise click.ClickException(f"nothing was changed, Postgres says: {reason}") from None
    except KeyboardInterrupt:
        click.echo("Interrupted: nothing was changed.", err=True)
        raise SystemExit(130) from None


def _generate(dsn: str, options: Options) -> Summary:
    console = Console(stderr=True)
    if not console.is_terminal or options.orders * options.scale < _ORDERS_WORTH_A_BAR:
        return generate(dsn, options)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        return generate(dsn, options, progress=_show_on(bars))


def _show_on(bars: Progress) -> job.Progress:
    """Return a callback that keeps one bar for each kind of row."""
    tasks = {}

    def show(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = bars.add_task(name, total=total)
        bars.update(tasks[name], completed=done)

    return show


def _text(summary: Summary) -> str:
    rows = [
        ("window from", summary.window.starting_at.isoformat(" ")),
        ("window to", summary.window.ending_at.isoformat(" ")),
    ]
    for name in ("customers", "products", "variants", "orders", "items"):
        rows.append((name, str(getattr(summary, name))))
    rows.append(("invalid sizes", f"{sum(summary.invalid_sizes.values())} in the database"))
    rows.extend((f"  {category}", str(n)) for category, n in summary.invalid_sizes.items())
    return "\n".join(f"{name:<15}{value}" for name, value in rows)
