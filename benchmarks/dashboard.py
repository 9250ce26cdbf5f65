"""How long the shop's dashboard takes to follow a choice, with a million orders of a year.

    python benchmarks/dashboard.py [PAGE]

Makes the staging tables in memory, the marts by their own queries, the page by its own file, opens
it in Chromium and chooses, five times each. Prints sizes and times; keeps the page when PAGE says
where.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from playwright.sync_api import CDPSession, Page, sync_playwright

from ecommerce_dagster.pages.source import Source

ASSETS = Path(__file__).resolve().parent.parent / "asset_specs/assets"
STAGING = """
    CREATE SCHEMA raw; CREATE SCHEMA stg; CREATE SCHEMA mart; SELECT setseed(0.5);
    CREATE TABLE stg.customers AS
        SELECT i AS customer_id, 'Country ' || floor(25 * random() * random())::INT AS country,
            18 + (i % 53)::INT AS age
        FROM range(200_000) AS t(i);
    CREATE TABLE stg.products AS
        SELECT i AS product_id, 'Product ' || i AS name,
            ['t-shirts', 'hoodies', 'shoes', 'accessories', 'jackets'][1 + (i % 5)::INT] AS category
        FROM range(500) AS t(i);
    CREATE TABLE stg.product_variants AS
        SELECT i AS variant_id, i % 500 AS product_id, 'SKU-' || i AS variant_sku,
            (10 + i % 70)::DECIMAL(10, 2) AS manufacturing_price,
            (20 + i % 90)::DECIMAL(10, 2) AS selling_price
        FROM range(1500) AS t(i);
    CREATE TABLE stg.order_items AS
        SELECT i AS order_item_id, i % 1_000_000 AS order_id, 1 + (i % 3)::INT AS quantity,
            floor(1500 * random())::BIGINT AS variant_id,
            (20 + i % 180)::DECIMAL(10, 2) AS unit_price, quantity * unit_price AS total_price
        FROM range(3_000_000) AS t(i);
    CREATE TABLE stg.orders AS
        SELECT order_id, floor(200_000 * random())::BIGINT AS customer_id,
            TIMESTAMPTZ '2025-01-01 00:00:00+00'
                + INTERVAL 1 SECOND * floor(365 * 86400 * random()) AS order_date,
            CASE WHEN order_id % 10 < 5 THEN 'paid' WHEN order_id % 10 < 7 THEN 'shipped'
                WHEN order_id % 10 < 9 THEN 'pending' ELSE 'cancelled' END AS status,
            sum(total_price) AS total_amount
        FROM stg.order_items GROUP BY order_id;
"""
MARTS = (
    "customer_cohorts",
    "customer_lifetime_value",
    "customers_by_age",
    "customers_by_country",
    "order_lines_daily",
    "orders_daily",
    "product_performance",
    "revenue_by_product_variant",
    "top_skus",
    "variant_profitability",
)
CHOICES = [
    "range=7", "range=30", "range=90", "range=month", "range=all", "range=all&category=shoes",
    "range=90&category=shoes&status=paid", "range=90&country=Country 3", "range=all&status=pending",
]  # fmt: skip


def main() -> None:
    """Make it, open it, choose."""
    spec = importlib.util.spec_from_file_location("sales", ASSETS / "report/sales.py")
    assert spec is not None
    assert spec.loader is not None
    sales = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sales)
    with duckdb.connect() as connection:
        connection.execute(STAGING)
        for mart in MARTS:
            body = (ASSETS / f"mart/mart.{mart}.sql").read_text().partition("@bruin */")[2]
            began = time.perf_counter()
            connection.execute(f"CREATE TABLE mart.{mart} AS {body}")
            print(f"mart.{mart}: {time.perf_counter() - began:.2f} s")
        worked = time.process_time()
        report = sales.report(Source(connection))
        html = report.html()
        rows = {
            id(cube): len(cube.answer.rows) for figure in report.figures for cube in figure.cubes
        }
        seconds = time.process_time() - worked
        print(
            f"the page: {seconds:.1f} s of a processor, {len(html) / 1e6:.1f} MB, "
            f"{sum(rows.values()):,} rows"
        )
    with tempfile.TemporaryDirectory() as folder:
        page = Path(sys.argv[1] if len(sys.argv) > 1 else f"{folder}/page.html")
        page.write_text(html)
        measure(page)


def worked_for(tab: Page, session: CDPSession, choice: str) -> float:
    """The milliseconds of a processor in which the page follows a choice, drawing included."""
    tab.evaluate("location.hash = 'range=7&status=shipped'")
    tab.wait_for_function("document.body.dataset.shows.endsWith('shipped')")
    before = seconds(session)
    tab.evaluate("h => { performance.clearMeasures(); location.hash = h; }", choice)
    tab.wait_for_function("performance.getEntriesByName('update').length > 0")
    return 1000 * (seconds(session) - before)


def seconds(session: CDPSession) -> float:
    """What the page's thread has worked so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float({each["name"]: each["value"] for each in metrics}["TaskDuration"])


def measure(page: Path) -> None:
    """Choose each of CHOICES five times in a browser, and print what that took."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(page.absolute().as_uri())
        tab.wait_for_function("document.body.dataset.shows")
        session = tab.context.new_cdp_session(tab)
        # Time of a processor, also where others work on this machine.
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        for choice in CHOICES:
            took = sorted(worked_for(tab, session, choice) for _ in range(5))
            print(f"{choice:38} {took[0]:4.0f} to {took[-1]:4.0f} ms, median {took[2]:.0f}")
        browser.close()


if __name__ == "__main__":
    main()
