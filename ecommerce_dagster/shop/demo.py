"""`ecommerce demo`: from nothing to marts on screen, in one command."""

from __future__ import annotations

import os

import click
from rich.console import Console

from data_generator.load import generate
from data_generator.options import Options
from ecommerce_dagster import local
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.cli.instance import dagster_instance
from ecommerce_dagster.cli.query import fetch, print_table
from ecommerce_dagster.cli.run import RunRequest, run_and_report
from ecommerce_dagster.cli.workspace import open_project
from ecommerce_dagster.orchestration.sensor_after_run import look_before_loading
from ecommerce_dagster.shop.source import first_day, postgres
from ecommerce_dagster.shop.translator import ShopTranslator

# A day on average, and new ones a day.
_ORDERS, _CUSTOMERS = 100, 45
_SHOWN_ROWS = 5
# What is shown of three marts, the key measure beside what it is of, and in which order.
_SHOWN = {
    "mart.sales_daily": (
        "SELECT sale_date, revenue, orders_count, items_count",
        "sale_date DESC",
    ),
    "mart.top_skus": ("SELECT rank, revenue, units, product_name, variant_sku", "rank"),
    "mart.customer_lifetime_value": (
        "SELECT customer_id, revenue, orders_count, average_order_value, last_order_date",
        "revenue DESC, customer_id",
    ),
}
_WIDTH = 120  # columns, where the terminal does not say
_NEXT = """
Next, after `source .venv/bin/activate`:
  ecommerce dev                            the lineage graph, the checks and the runs in a browser
  ecommerce report --open                  the shop in charts: {report}
  ecommerce docs --open                    every table, column and check, to be searched
  ecommerce query "FROM mart.top_skus"     ask the warehouse
  ecommerce status                         what failed, what is stale, what is running
  generate-data --chaos-percent 5          break some sizes, then:
  ecommerce run                            watch the check stop them (generate-data repairs them)
"""


def run_demo(days: int) -> int:
    """Generate, run, show. The exit code: 0 when every asset and check succeeded.

    Raises click.ClickException where the package is installed without its checkout.
    """
    if not local.IS_CHECKOUT:
        raise click.ClickException(
            "the demonstration is in the repository of ecommerce-dagster, not in the package; "
            "clone it, and there: make demo"
        )
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    local.load_environment()
    options = Options(days=days, orders=_ORDERS * days, customers=_CUSTOMERS * days)
    console.print(f"Generating the orders of {counted(days, 'day')} ...", highlight=False)
    with postgres() as dsn:
        summary = generate(dsn, options)
        console.print(
            f"  {summary.customers:,} customers, {summary.products:,} products, "
            f"{summary.variants:,} variants, {summary.orders:,} orders, {summary.items:,} items\n",
            highlight=False,
        )
        project = open_project(None, None, None)
        # The first `ecommerce dev` then has nothing to load.
        with dagster_instance() as instance:
            shops = ShopTranslator(str(first_day(dsn)))
            hand_over = look_before_loading(project, instance, shops)
        code = run_and_report(project, RunRequest(command="demo"))
        if code == 0:
            with dagster_instance() as instance:
                hand_over(instance)
    for mart, (columns, order) in _SHOWN.items():
        names, rows, more = fetch(project, f"{columns} FROM {mart} ORDER BY {order}", _SHOWN_ROWS)
        print_table(console, names, rows, title=f"{mart}{' ...' if more else ''}")
    page = os.path.relpath(local.report_file("report.sales"))
    console.print(_NEXT.format(report=page), highlight=False, soft_wrap=True)
    return code
