"""@bruin
name: report.sales
type: python
description: >-
  The shop in numbers and charts, on one page for people who do not use a database. It is a file
  of its own (`ecommerce report --open`) that needs no network, and it is written anew whenever the
  tables below it are.
owner: Data Team
tags:
  - report
domains:
  - sales
  - customer-management

depends:
  - mart.customer_lifetime_value
  - mart.customers_by_age
  - mart.customers_by_country
  - mart.order_kpis_daily
  - mart.profitability_monthly
  - mart.repeat_purchase_rate
  - mart.revenue_by_category
  - mart.sales_daily
  - mart.top_skus

secrets:
  - key: duckdb-default
    inject_as: WAREHOUSE

# What breaks a page breaks it again.
retries: 0
@bruin"""

from collections.abc import Callable, Sequence
from math import floor, log10
from typing import Any

from ecommerce_dagster.local import report_file
from ecommerce_dagster.pages.charts import Chart, Kind, Point
from ecommerce_dagster.pages.formats import Field, amount, count, month, number, share
from ecommerce_dagster.pages.report import Figure, Report, Section, Tile, publish
from ecommerce_dagster.pages.source import Answer, Row, Source, source_from_environment

DAYS = 90  # that daily charts and tables go back

Rows = Sequence[Row]
Written = Callable[[Any], str]


def report(source: Source) -> Report:
    """The page for the tables as they are now."""
    unit = str(source.variables.get("currency") or "amount")
    return Report(
        title="The shop in numbers",
        covers=covers(source),
        tiles=tiles(source, unit),
        sections=[part(source, unit) for part in (by_day, products, customers, earnings)],
        assets=source.assets,
        unit="the shop's currency" if unit == "amount" else unit,
    )


def covers(source: Source) -> str:
    days = source.ask(
        "SELECT min(sale_date) AS first, max(sale_date) AS last FROM mart.sales_daily"
    ).first
    if not days.get("first"):
        return "There are no orders yet."
    return f"Orders placed from {days['first']} to {days['last']}, whole days."


def tiles(source: Source, unit: str) -> list[Tile]:
    sold = source.ask(
        "SELECT sum(revenue) AS revenue, sum(orders_count) AS orders FROM mart.sales_daily"
    ).first
    mean = source.ask(
        """
        SELECT sum(revenue) / sum(paid_orders) AS order_value,
            sum(units_per_order * paid_orders) / sum(paid_orders) AS pieces
        FROM mart.order_kpis_daily
        """
    ).first
    back = source.ask("FROM mart.repeat_purchase_rate").first
    accounts = source.ask(
        "SELECT sum(total_customers) AS customers FROM mart.customers_by_country"
    ).first
    repeated, buyers = count(back.get("repeat_customers")), count(back.get("customers"))
    return [
        Tile("Revenue", amount(sold.get("revenue")), f"{unit}, paid and shipped orders"),
        Tile("Orders", count(sold.get("orders")), "whatever their status"),
        Tile("Average order value", amount(mean.get("order_value")), f"{unit}, paid and shipped"),
        Tile("Pieces per order", number(mean.get("pieces")), "paid and shipped orders"),
        Tile(
            "Repeat purchase rate",
            share(back.get("repeat_purchase_rate")),
            f"{repeated} of {buyers} buyers bought again",
        ),
        Tile("Customer accounts", count(accounts.get("customers")), "whether or not they bought"),
    ]


def by_day(source: Source, unit: str) -> Section:
    def daily(title: str, field: Field, table: str, kind: Kind) -> Figure:
        latest = source.ask(
            f"SELECT sale_date, {field.name} FROM {table} WHERE {field.name} IS NOT NULL "
            f"ORDER BY sale_date DESC LIMIT {DAYS}"
        )

        def drawn(rows: Rows) -> Chart:
            return Chart(kind, [Point(r["sale_date"], float(r[field.name])) for r in rows])

        def best(rows: Rows) -> str:
            row = max(rows, key=lambda row: row[field.name])
            return f"Highest on {row['sale_date']}: {field.format(row[field.name])}."

        in_order = Answer(latest.rows[::-1], latest.missing)
        return Figure(title, [Field("sale_date", "Day (UTC)"), field], in_order, drawn, best)

    revenue = Field("revenue", f"Revenue, {unit}", amount)
    orders = Field("orders_count", "Orders", count)
    value = Field("average_order_value", f"Average order value, {unit}", amount)
    pieces = Field("units_per_order", "Pieces per order", number)
    return Section(
        "Sales by day",
        [
            daily(f"Revenue by day ({unit})", revenue, "mart.sales_daily", "bars"),
            daily("Orders by day (number)", orders, "mart.sales_daily", "bars"),
            daily(f"Average order value by day ({unit})", value, "mart.order_kpis_daily", "line"),
            daily("Pieces per order by day (number)", pieces, "mart.order_kpis_daily", "line"),
        ],
        f"The last {DAYS} days with orders. Revenue, order value and pieces are of paid and "
        "shipped orders; the number of orders is of all.",
    )


def products(source: Source, unit: str) -> Section:
    revenue, pieces = Field("revenue", f"Revenue, {unit}", amount), Field("units", "Pieces", count)
    sellers = Figure(
        f"The ten best sellers by revenue ({unit})",
        [
            Field("rank", "Rank", count),
            Field("variant_sku", "SKU"),
            Field("product_name", "Product"),
            revenue,
            pieces,
        ],
        source.ask(
            """
            SELECT rank, variant_sku, product_name, revenue, units
            FROM mart.top_skus ORDER BY rank LIMIT 10
            """
        ),
        drawn("rows", "variant_sku", "revenue", amount),
        lambda rows: f"First: {rows[0]['product_name']}, {count(rows[0]['units'])} pieces.",
    )
    categories = Figure(
        f"Value of all orders by category ({unit})",
        [Field("category", "Category"), revenue, pieces],
        source.ask(
            """
            SELECT category, revenue, units, revenue / nullif(sum(revenue) OVER (), 0) AS part
            FROM mart.revenue_by_category ORDER BY revenue DESC, category
            """
        ),
        drawn("rows", "category", "revenue", amount),
        lambda rows: f"The largest is {rows[0]['category']}: {share(rows[0]['part'])} of all.",
    )
    return Section(
        "Products",
        [sellers, categories],
        "Best sellers are of paid and shipped orders, categories of everything ordered.",
    )


def customers(source: Source, unit: str) -> Section:
    accounts = Field("total_customers", "Accounts", count)
    ages = Figure(
        "Accounts by age in years (number)",
        [Field("age_group", "Age"), accounts],
        source.ask(
            """
            FROM mart.customers_by_age
            ORDER BY age_group = 'unknown', age_group <> 'under 18', age_group
            """
        ),
        drawn("columns", "age_group", "total_customers", count),
    )
    countries = Figure(
        "Accounts by country, the ten largest (number)",
        [Field("country", "Country"), accounts],
        source.ask(
            """
            SELECT country, total_customers, count(*) OVER () AS countries,
                sum(total_customers) OVER (ORDER BY total_customers DESC, country)
                    / sum(total_customers) OVER () AS part
            FROM mart.customers_by_country ORDER BY total_customers DESC, country LIMIT 10
            """
        ),
        drawn("rows", "country", "total_customers", count),
        lambda rows: (
            f"These {len(rows)} of {count(rows[0]['countries'])} countries have "
            f"{share(rows[-1]['part'])} of all accounts."
        ),
    )
    return Section("Customers", [ages, countries])


def earnings(source: Source, unit: str) -> Section:
    profit = Figure(
        f"Revenue and profit by month ({unit})",
        [
            Field("month", "Month (UTC)", month),
            Field("revenue", f"Revenue, {unit}", amount),
            Field("cost", f"Cost, {unit}", amount),
            Field("profit", f"Profit, {unit}", amount),
            Field("margin_pct", "Margin", share),
        ],
        source.ask(
            "FROM (FROM mart.profitability_monthly ORDER BY month DESC LIMIT 24) ORDER BY month"
        ),
        lambda rows: Chart(
            "columns",
            [
                Point(
                    month(r["month"]),
                    float(r["profit"]),
                    share(r["margin_pct"]),
                    float(r["revenue"]),
                )
                for r in rows
            ],
        ),
        lambda rows: (
            "The outer bar is revenue, the inner one profit. "
            f"In the latest month {share(rows[-1]['margin_pct'])} were left after cost."
        ),
    )
    spent = Figure(
        f"Customers by lifetime value ({unit})",
        [
            Field("least", f"From, {unit}", count),
            Field("below", f"Below, {unit}", count),
            Field("customers", "Customers", count),
        ],
        spending(source),
        lambda rows: Chart(
            "columns",
            [Point(count(r["least"]), r["customers"], count(r["customers"])) for r in rows],
        ),
        lambda rows: (
            f"Half of those who bought spent {amount(rows[0]['half'])} or less; "
            f"{count(rows[0]['never'])} accounts never bought. A bar begins at its number."
        ),
    )
    return Section(
        "Profit and customer lifetime value",
        [profit, spent],
        "Paid and shipped orders. Cost is taken at today's manufacturing price.",
    )


def spending(source: Source) -> Answer:
    """How many customers spent how much, in ten steps or fewer."""
    known = source.ask(
        """
        SELECT max(revenue) AS most, median(revenue) FILTER (WHERE orders_count > 0) AS half,
            count(*) FILTER (WHERE orders_count = 0) AS never
        FROM mart.customer_lifetime_value
        """
    )
    if known.first.get("most") is None:
        return Answer(missing=known.missing)
    width = readable_step(float(known.first["most"]) / 9)
    counted = source.ask(
        f"""
        SELECT CAST(floor(revenue / {width}) AS BIGINT) AS step, count(*) AS customers
        FROM mart.customer_lifetime_value WHERE orders_count > 0 GROUP BY ALL
        """
    )
    by_step = {row["step"]: row["customers"] for row in counted.rows}
    return Answer(
        [
            {
                "least": step * width,
                "below": (step + 1) * width,
                "customers": by_step.get(step, 0),
                **known.first,
            }
            for step in range(max(by_step, default=-1) + 1)
        ]
    )


def readable_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is not below `least`."""
    power: int = 10 ** max(0, floor(log10(max(least, 1))))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least)


def drawn(kind: Kind, name: str, value: str, written: Written) -> Callable[[Rows], Chart]:
    """A chart of named values, each with its number."""
    return lambda rows: Chart(
        kind, [Point(str(r[name]), float(r[value]), written(r[value])) for r in rows]
    )


if __name__ == "__main__":
    with source_from_environment("WAREHOUSE") as source:
        page = report(source)
    publish(page, report_file("report.sales"))
