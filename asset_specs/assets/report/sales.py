"""@bruin
name: report.sales
type: python
description: >-
  The shop in numbers and charts, on one page for people who do not use a database: dates,
  category, country and status can be chosen. It is a file of its own (`ecommerce report --open`)
  that needs no network, and it is written anew whenever the tables upstream of it are. It holds
  sums, and of single customers only their numbers.
owner: Data Team
tags:
  - report
domains:
  - sales
  - customer-management

depends:
  - mart.customer_cohorts
  - mart.customer_lifetime_value
  - mart.customers_by_age
  - mart.customers_by_country
  - mart.order_lines_daily
  - mart.orders_daily
  - mart.product_performance
  - mart.top_skus
  - mart.variant_profitability

secrets:
  - key: duckdb-default
    inject_as: WAREHOUSE

# What breaks a page breaks it again.
retries: 0
@bruin"""

from collections.abc import Sequence
from math import floor, log10

from ecommerce_dagster.local import report_file
from ecommerce_dagster.pages.figures import Cube, Figure, Measure, Tile
from ecommerce_dagster.pages.report import Report, Section, publish
from ecommerce_dagster.pages.source import Answer, Source, source_from_environment

COUNTRIES = 20  # that can be chosen; the others are one
SOLD = {"status": ["paid", "shipped"]}
# The country as it can be chosen. Its table is small, also where there are many customers.
COUNTRY = f"""
    CASE WHEN country IN (
        SELECT country FROM mart.customers_by_country
        ORDER BY total_customers DESC, country LIMIT {COUNTRIES}
    ) THEN country ELSE 'Other countries' END
"""


def report(source: Source) -> Report:
    """The page for the tables as they are now."""
    unit = str(source.variables.get("currency") or "amount")
    orders = cube(source, ORDERS, "day", "country", "status")
    lines = cube(source, LINES, "day", "category", "country", "status")
    # Orders add up over all but categories, so they are counted apart where no category is chosen.
    sales = [orders, lines]
    return Report(
        title="The shop in numbers",
        covers=covers(orders),
        tiles=main_tiles(sales, lines, unit),
        sections=[
            over_time(sales, unit),
            earnings(lines, unit),
            products(source, lines, unit),
            lifetime(source, unit),
            accounts(source),
        ],
        filters={"category": "Category", "country": "Country", "status": "Status"},
        assets=source.assets,
        unit="the shop's currency" if unit == "amount" else unit,
    )


def cube(source: Source, sql: str, *dimensions: str) -> Cube:
    return Cube(source.ask(sql), dimensions)


ORDERS = f"""
    SELECT sale_date AS day, {COUNTRY} AS country, status,
        CAST(sum(orders_count) AS BIGINT) AS orders, CAST(sum(units) AS BIGINT) AS units,
        sum(ordered_value) AS value
    FROM mart.orders_daily GROUP BY ALL ORDER BY ALL
"""
LINES = f"""
    SELECT sale_date AS day, category, {COUNTRY} AS country, status,
        CAST(sum(orders_count) AS BIGINT) AS orders, CAST(sum(units) AS BIGINT) AS units,
        sum(ordered_value) AS value, sum(cost) AS cost, sum(profit) AS profit
    FROM mart.order_lines_daily GROUP BY ALL ORDER BY ALL
"""


def covers(orders: Cube) -> str:
    days = orders.days
    if not days:
        return "There are no orders yet."
    return f"Orders placed from {min(days)} to {max(days)}, whole days."


def main_tiles(sales: Sequence[Cube], lines: Cube, unit: str) -> list[Tile]:
    def tile(title: str, measure: Measure, note: str, cubes: Sequence[Cube] = sales) -> Tile:
        return Tile(title, cubes, measure, note)

    return [
        tile("Revenue", revenue(unit), f"{unit}, paid and shipped orders"),
        tile("Ordered value", Measure("Ordered value", "value", "amount"), f"{unit}, all statuses"),
        tile("Orders", ORDERED, "all statuses"),
        tile("Average order value", order_value(unit), f"{unit}, paid and shipped orders"),
        tile("Pieces per order", PIECES, "paid and shipped orders"),
        tile("Profit", profit(unit), f"{unit}, paid and shipped orders", [lines]),
    ]


def revenue(unit: str) -> Measure:
    return Measure(f"Revenue, {unit}", "value", "amount", where=SOLD)


def profit(unit: str) -> Measure:
    return Measure(f"Profit, {unit}", "profit", "amount", where=SOLD)


def order_value(unit: str) -> Measure:
    return Measure(f"Average order value, {unit}", "value", "amount", "orders", SOLD)


ORDERED = Measure("Orders", "orders")
PIECES = Measure("Pieces per order", "units", "number", "orders", SOLD)
MARGIN = Measure("Margin", "profit", "share", "value", SOLD)


def over_time(sales: Sequence[Cube], unit: str) -> Section:
    day = {"day": "From (UTC)"}
    value = Measure(f"Ordered value, {unit}", "value", "amount")
    return Section(
        "Sales over time",
        [
            Figure(
                f"Revenue of paid and shipped orders by {{step}} ({unit})",
                "bars",
                sales,
                day,
                [revenue(unit), value],
            ),
            Figure(
                "Orders of all statuses by {step}",
                "bars",
                sales,
                day,
                [ORDERED],
            ),
            Figure(
                f"Average value of paid and shipped orders by {{step}} ({unit})",
                "line",
                sales,
                day,
                [order_value(unit)],
            ),
            Figure("Pieces per paid and shipped order by {step}", "line", sales, day, [PIECES]),
        ],
        "Pale is what is not over yet, or only in part among the dates. With a category chosen, "
        "orders are those with something of it, values and pieces those of the category alone.",
    )


def earnings(lines: Cube, unit: str) -> Section:
    cost = Measure(f"Cost, {unit}", "cost", "amount", where=SOLD)
    return Section(
        "Profitability",
        [
            Figure(
                f"Profit in revenue of paid and shipped orders by {{step}} ({unit})",
                "bars",
                [lines],
                {"day": "From (UTC)"},
                [profit(unit), revenue(unit), cost, MARGIN],
                behind=True,
                step="month",
                note="The lower part of a bar is profit, the whole bar revenue.",
            ),
            Figure(
                f"Profit of paid and shipped orders by category and {{step}} ({unit})",
                "lines",
                [lines],
                {"day": "From (UTC)", "category": "Category"},
                [profit(unit), revenue(unit), MARGIN],
                step="week",
                note="Weeks and months that are not over are in the table alone.",
            ),
        ],
        "Cost is taken at today's manufacturing price.",
    )


def products(source: Source, lines: Cube, unit: str) -> Section:
    # The ten best of each category, so that a category can be chosen.
    sellers = cube(
        source,
        """
        SELECT p.category, t.variant_sku, t.product_name, t.revenue AS value, t.units
        FROM mart.top_skus AS t
        JOIN mart.variant_profitability AS v ON v.variant_sku = t.variant_sku
        JOIN mart.product_performance AS p ON p.product_id = v.product_id
        QUALIFY row_number() OVER (PARTITION BY p.category ORDER BY t.rank) <= 10
        ORDER BY t.rank
        """,
        "category",
        "variant_sku",
        "product_name",
    )
    units = Measure("Pieces", "units")
    return Section(
        "Products",
        [
            Figure(
                f"Revenue of paid and shipped orders by category ({unit})",
                "rows",
                [lines],
                {"category": "Category"},
                [
                    revenue(unit),
                    Measure("Pieces", "units", where=SOLD),
                    MARGIN,
                    Measure(f"Ordered value of all statuses, {unit}", "value", "amount"),
                ],
                limit=10,
            ),
            Figure(
                f"The ten best sellers by revenue of paid and shipped orders ({unit})",
                "rows",
                [sellers],
                {"variant_sku": "SKU", "product_name": "Product"},
                [Measure(f"Revenue, {unit}", "value", "amount"), units],
                limit=10,
            ),
        ],
    )


def lifetime(source: Source, unit: str) -> Section:
    """What customers have spent so far, and how they come back."""
    buyers = cube(
        source,
        f"""
        SELECT {COUNTRY} AS country, count(*) AS buyers, sum(revenue) AS value,
            count(*) FILTER (WHERE orders_count > 1) AS repeated
        FROM mart.customer_lifetime_value WHERE orders_count > 0 GROUP BY ALL
        """,
        "country",
    )
    median = "CAST(median(revenue) AS DECIMAL(18, 2)) AS value"
    bought = "FROM mart.customer_lifetime_value WHERE orders_count > 0"
    # A median does not add up: one of all, and one of each country.
    medians = [
        cube(source, f"SELECT {median} {bought} HAVING count(*) > 0"),
        cube(source, f"SELECT {COUNTRY} AS country, {median} {bought} GROUP BY ALL", "country"),
    ]
    worth = Measure(f"Lifetime value, {unit}", "value", "amount")
    back = Measure("Came back", "repeated", "share", "buyers")
    return Section(
        "Customer lifetime value",
        [
            Figure(
                f"Buyers by lifetime value, paid and shipped orders ({unit})",
                "columns",
                [spending(source)],
                {"least": f"From, {unit}"},
                [Measure("Buyers", "buyers")],
                note="A bar begins at its number.",
            ),
            Figure(
                "Buyers by their number of paid and shipped orders",
                "columns",
                [orders_of_buyers(source)],
                {"orders": "Orders"},
                [Measure("Buyers", "buyers")],
                note="Ten stands for ten and more.",
            ),
            *cohorts(source, unit),
            Figure(
                f"The ten customers with the highest lifetime value ({unit})",
                "rows",
                [top_customers(source)],
                {"customer": "Customer number"},
                [worth, ORDERED],
                limit=10,
            ),
            Figure(
                f"Revenue of all buyers by country, the ten largest ({unit})",
                "rows",
                [buyers],
                {"country": "Country"},
                [
                    Measure(f"Revenue, {unit}", "value", "amount"),
                    Measure("Buyers", "buyers"),
                    Measure(f"Average lifetime value, {unit}", "value", "amount", "buyers"),
                ],
                limit=10,
            ),
        ],
        "Everything that a customer has bought so far, paid and shipped orders.",
        [
            Tile(
                "Average lifetime value",
                [buyers],
                Measure("Average", "value", "amount", "buyers"),
                f"{unit} a buyer",
            ),
            Tile("Median lifetime value", medians, worth, f"{unit}; half of the buyers spent more"),
            Tile("Repeat purchase rate", [buyers], back, "of the buyers bought again"),
            Tile("Buyers", [buyers], Measure("Buyers", "buyers"), "one paid order or more"),
        ],
    )


def cohorts(source: Source, unit: str) -> list[Figure]:
    found = cube(
        source,
        f"""
        SELECT strftime(cohort_month, '%Y-%m') AS cohort, CAST(months_since AS VARCHAR) AS month,
            {COUNTRY} AS country, CAST(sum(cohort_customers) AS BIGINT) AS customers,
            CAST(sum(active_customers) AS BIGINT) AS active, sum(revenue) AS value
        FROM mart.customer_cohorts GROUP BY ALL ORDER BY ALL
        """,
        "cohort",
        "month",
        "country",
    )
    by = {"cohort": "Month of the first order", "month": "Months since"}
    buyers, active = Measure("Customers", "customers"), Measure("Bought", "active")
    note = "A row is of those who first bought in its month. Its last month may not be over."
    return [
        Figure(
            "Share of new buyers who buy again, by months since their first order",
            "grid",
            [found],
            by,
            [Measure("Share", "active", "share", "customers"), active, buyers],
            note=note,
        ),
        Figure(
            f"Revenue for each new buyer, by months since the first order ({unit})",
            "grid",
            [found],
            by,
            [
                Measure(f"Revenue a buyer, {unit}", "value", "amount", "customers"),
                Measure(f"Revenue, {unit}", "value", "amount"),
                buyers,
            ],
            note=note,
        ),
    ]


def top_customers(source: Source) -> Cube:
    """The ten best of each country, so that a country can be chosen."""
    return cube(
        source,
        f"""
        SELECT country, customer, value, orders FROM (
            SELECT {COUNTRY} AS country, CAST(customer_id AS VARCHAR) AS customer, revenue AS value,
                orders_count AS orders
            FROM mart.customer_lifetime_value WHERE orders_count > 0
        )
        QUALIFY row_number() OVER (PARTITION BY country ORDER BY value DESC, customer) <= 10
        ORDER BY value DESC, customer
        """,
        "country",
        "customer",
    )


def orders_of_buyers(source: Source) -> Cube:
    return cube(
        source,
        f"""
        SELECT {COUNTRY} AS country, CAST(least(orders_count, 10) AS VARCHAR) AS orders,
            count(*) AS buyers
        FROM mart.customer_lifetime_value WHERE orders_count > 0 GROUP BY ALL
        """,
        "country",
        "orders",
    )


def spending(source: Source) -> Cube:
    """How many customers spent how much, in ten steps or fewer; also steps without customers."""
    known = source.ask("SELECT max(revenue) AS most FROM mart.customer_lifetime_value")
    if known.first.get("most") is None:
        return Cube(Answer(missing=known.missing, tables=known.tables))
    width = readable_step(float(known.first["most"]) / 9)
    return cube(
        source,
        f"""
        WITH found AS (
            SELECT {COUNTRY} AS country, CAST(floor(revenue / {width}) AS BIGINT) AS step
            FROM mart.customer_lifetime_value WHERE orders_count > 0
        )
        SELECT country, CAST(s.step * {width} AS VARCHAR) AS least,
            count(*) FILTER (WHERE f.step = s.step) AS buyers
        FROM found AS f
        CROSS JOIN (SELECT unnest(range((SELECT max(step) + 1 FROM found))) AS step) AS s
        GROUP BY ALL
        """,
        "country",
        "least",
    )


def readable_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is not below `least`."""
    power: int = 10 ** max(0, floor(log10(max(least, 1))))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least)


def accounts(source: Source) -> Section:
    number = Measure("Accounts", "accounts")
    ages = cube(
        source,
        """
        SELECT age_group AS age, total_customers AS accounts FROM mart.customers_by_age
        """,
        "age",
    )
    countries = cube(
        source,
        """
        SELECT country AS home, total_customers AS accounts FROM mart.customers_by_country
        ORDER BY total_customers DESC, country
        """,
        "home",
    )
    return Section(
        "Customer accounts",
        [
            Figure("Accounts by age in years", "columns", [ages], {"age": "Age"}, [number]),
            Figure(
                "Accounts by country, the ten largest",
                "rows",
                [countries],
                {"home": "Country"},
                [number],
                limit=10,
            ),
        ],
        "Whether or not they ever bought.",
        [Tile("Customer accounts", [countries], number)],
    )


if __name__ == "__main__":
    with source_from_environment("WAREHOUSE") as source:
        page = report(source)
    publish(page, report_file("report.sales"))
