"""The shop's pipeline on the generator's data: what every table must hold."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from ecommerce_dagster import build_defs, local
from orchestration.helpers import DAY, NewShop, Shop, ended

LAYERS = {
    "raw": {"customers", "products", "product_variants", "orders", "order_items"},
    "stg": {"customers", "products", "product_variants", "orders", "order_items"},
    "mart": {
        "customer_cohorts",
        "customer_lifetime_value",
        "customers_by_age",
        "customers_by_country",
        "order_kpis_daily",
        "order_lines_daily",
        "orders_daily",
        "product_performance",
        "profitability_monthly",
        "repeat_purchase_rate",
        "revenue_by_category",
        "revenue_by_product",
        "revenue_by_product_variant",
        "sales_daily",
        "top_skus",
        "variant_profitability",
    },
}
GROUPS = {**LAYERS, "report": {"sales"}}
# The checks of the tutorial's fifteen assets; the relationships and the order totals are ours.
TUTORIAL_CHECKS = {
    "raw/customers": 0,
    "raw/products": 0,
    "raw/product_variants": 0,
    "raw/orders": 0,
    "raw/order_items": 0,
    "stg/customers": 6,
    "stg/products": 8,
    "stg/product_variants": 12 + 1,
    "stg/orders": 9,
    "stg/order_items": 13,
    "mart/sales_daily": 5,
    "mart/product_performance": 7,
    "mart/variant_profitability": 9,
    "mart/customers_by_age": 0,
    "mart/customers_by_country": 0,
}
BEYOND_THE_TUTORIAL = re.compile(
    r"__relationships$|^order_total_equals_the_sum_of_its_items$|^volume$"
)


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_defs(local.PIPELINE)


class TestTheDefinitions:
    def test_every_table_and_the_report_is_an_asset_in_the_group_of_its_layer(
        self, definitions: dg.Definitions
    ) -> None:
        groups: dict[str, set[str]] = {}
        for spec in definitions.resolve_all_asset_specs():
            schema, table = spec.key.path
            assert spec.group_name == schema
            groups.setdefault(schema, set()).add(table)
        assert groups == GROUPS

    def test_the_tutorials_fifteen_assets_carry_exactly_its_seventy_checks(
        self, definitions: dg.Definitions
    ) -> None:
        counts = dict.fromkeys(TUTORIAL_CHECKS, 0)
        for key in all_checks(definitions):
            asset = key.asset_key.to_user_string()
            if asset in counts and not BEYOND_THE_TUTORIAL.search(key.name):
                counts[asset] += 1
        assert counts == TUTORIAL_CHECKS
        assert sum(counts.values()) == 70

    def test_staging_inherits_the_glossarys_checks(self, definitions: dg.Definitions) -> None:
        kinds = Counter(
            key.name.rpartition("__")[2]
            for key in all_checks(definitions)
            if key.asset_key.path[0] == "stg" and "__" in key.name
        )
        assert kinds == {
            "not_null": 31,
            "unique": 7,
            "range": 5,
            "positive": 4,
            "accepted_values": 1,
            "relationships": 4,
        }

    def test_the_marts_depend_on_what_their_queries_read(self, definitions: dg.Definitions) -> None:
        parents = {
            spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
            for spec in definitions.resolve_all_asset_specs()
        }
        assert parents["mart/top_skus"] == {"mart/revenue_by_product_variant", "stg/products"}
        assert parents["mart/sales_daily"] == {"stg/orders", "stg/order_items"}
        assert parents["mart/revenue_by_category"] == {
            "raw/order_items",
            "raw/product_variants",
            "raw/products",
        }
        assert parents["raw/order_items"] == {"raw/orders"}

    def test_the_marts_are_not_partitioned_and_the_daily_tables_are(
        self, definitions: dg.Definitions
    ) -> None:
        partitioned = {
            spec.key.to_user_string()
            for spec in definitions.resolve_all_asset_specs()
            if spec.partitions_def is not None
        }
        assert partitioned == {"raw/orders", "raw/order_items", "stg/orders", "stg/order_items"}


class TestOneDayOfTheDefaultData:
    def test_the_raw_tables_hold_the_whole_source(self, day: Shop) -> None:
        counts = {
            name: day.query(f"SELECT count(*) FROM raw.{name}")[0][0] for name in LAYERS["raw"]
        }
        assert counts == {
            "customers": 100,
            "products": 50,
            "product_variants": 127,
            "orders": 500,
            "order_items": 1506,
        }

    def test_the_statuses_are_the_known_ones(self, day: Shop) -> None:
        rows = day.query("SELECT status, count(*) FROM stg.orders GROUP BY ALL")
        assert dict(rows) == {"pending": 107, "paid": 251, "shipped": 95, "cancelled": 47}

    def test_sales_daily_is_one_row_with_the_known_revenue(self, day: Shop) -> None:
        rows = day.query("SELECT sale_date::VARCHAR, * EXCLUDE (sale_date) FROM mart.sales_daily")
        assert rows == [(DAY, 500, 1506, Decimal("232856.13"))]

    def test_the_age_groups_are_the_known_ones(self, day: Shop) -> None:
        rows = day.query("FROM mart.customers_by_age")
        assert rows == [("50+", 39), ("35-49", 24), ("25-34", 19), ("18-24", 18)]

    def test_the_command_tells_every_asset_and_the_totals(self, day: Shop) -> None:
        assert day.first_run is not None
        lines = day.first_run.stdout.splitlines()
        assert sum(line.startswith("PASS") for line in lines) == 26 + 1
        assert any("raw.order_items" in line and "1,506 rows" in line for line in lines)
        assert any("stg.customers" in line and "6/6 checks" in line for line in lines)
        assert re.match(r"27 assets: 27 succeeded; (\d+) of \1 checks passed; ", lines[-1])
        assert day.first_run.stderr == ""

    def test_dagster_has_a_materialization_of_every_asset(self, day: Shop) -> None:
        found = {
            event.asset_key.to_user_string()
            for event in day.events(dg.DagsterEventType.ASSET_MATERIALIZATION)
        }
        assert found == {f"{layer}/{name}" for layer, names in GROUPS.items() for name in names}

    def test_dagster_has_a_passed_result_of_every_check(
        self, day: Shop, definitions: dg.Definitions
    ) -> None:
        events = day.events(dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        results = [event.asset_check_evaluation_data for event in events]
        assert all(result.passed for result in results)
        assert {result.asset_check_key for result in results} == all_checks(definitions)

    def test_dagster_knows_the_days_that_have_rows(self, day: Shop) -> None:
        for asset in ("raw.orders", "raw.order_items", "stg.orders", "stg.order_items"):
            assert day.partitions(asset) == {DAY}

    def test_running_again_changes_no_table(self, day: Shop, again: Shop) -> None:
        assert again.tables() == day.tables()
        assert len(again.tables()) == 26


# What each mart must hold, asked of the source, in plain PostgreSQL.
SOLD = "(SELECT * FROM orders WHERE status IN ('paid', 'shipped'))"
COUNTRY = "CASE WHEN btrim(c.country) = '' THEN 'Unknown' ELSE btrim(c.country) END"
UTC_DAY = "(o.order_date AT TIME ZONE 'UTC')::date"
EXPECTED = {
    "sales_daily": f"""
        SELECT {UTC_DAY}, count(*),
            sum((SELECT count(*) FROM order_items i WHERE i.order_id = o.id)),
            coalesce(sum(o.total_amount) FILTER (WHERE o.status IN ('paid', 'shipped')), 0)
        FROM orders o GROUP BY 1""",
    "product_performance": f"""
        SELECT p.id, p.name, p.category, sum(i.quantity), sum(i.total_price),
            round(sum(i.total_price) / sum(i.quantity), 2)
        FROM order_items i JOIN {SOLD} o ON o.id = i.order_id
        JOIN product_variants v ON v.id = i.variant_id JOIN products p ON p.id = v.product_id
        GROUP BY p.id""",
    "variant_profitability": f"""
        SELECT p.name, v.id, v.variant_sku, p.id, sum(i.quantity), sum(i.total_price),
            sum(i.quantity) * v.manufacturing_price,
            sum(i.total_price) - sum(i.quantity) * v.manufacturing_price,
            (sum(i.total_price) - sum(i.quantity) * v.manufacturing_price)::float
                / sum(i.total_price)::float,
            v.selling_price < v.manufacturing_price
        FROM order_items i JOIN {SOLD} o ON o.id = i.order_id
        JOIN product_variants v ON v.id = i.variant_id JOIN products p ON p.id = v.product_id
        GROUP BY p.id, v.id""",
    "customers_by_age": """
        SELECT CASE WHEN age >= 50 THEN '50+' WHEN age >= 35 THEN '35-49'
            WHEN age >= 25 THEN '25-34' WHEN age >= 18 THEN '18-24' ELSE 'under 18' END, count(*)
        FROM customers GROUP BY 1""",
    "customers_by_country": f"""
        SELECT {COUNTRY}, count(*) FROM customers c GROUP BY 1""",
    "revenue_by_product": """
        SELECT p.id, p.name, sum(i.total_price), sum(i.quantity)
        FROM order_items i JOIN product_variants v ON v.id = i.variant_id
        JOIN products p ON p.id = v.product_id GROUP BY p.id""",
    "revenue_by_category": """
        SELECT p.category, sum(i.total_price), sum(i.quantity)
        FROM order_items i JOIN product_variants v ON v.id = i.variant_id
        JOIN products p ON p.id = v.product_id GROUP BY 1""",
    "revenue_by_product_variant": f"""
        SELECT v.id, v.variant_sku, v.product_id, sum(i.total_price), sum(i.quantity)
        FROM order_items i JOIN {SOLD} o ON o.id = i.order_id
        JOIN product_variants v ON v.id = i.variant_id GROUP BY v.id""",
    "order_kpis_daily": f"""
        SELECT {UTC_DAY}, count(*), sum(o.total_amount), round(avg(o.total_amount), 2),
            (sum((SELECT coalesce(sum(quantity), 0) FROM order_items WHERE order_id = o.id))
                / count(*))::float
        FROM {SOLD} o GROUP BY 1""",
    "top_skus": f"""
        SELECT row_number() OVER (
                ORDER BY sum(i.total_price) DESC, sum(i.quantity) DESC, v.variant_sku COLLATE "C"),
            v.variant_sku, p.name, sum(i.total_price), sum(i.quantity)
        FROM order_items i JOIN {SOLD} o ON o.id = i.order_id
        JOIN product_variants v ON v.id = i.variant_id JOIN products p ON p.id = v.product_id
        GROUP BY p.id, v.id""",
    "repeat_purchase_rate": f"""
        SELECT count(*), count(*) FILTER (WHERE n > 1),
            count(*) FILTER (WHERE n > 1)::float / count(*)::float
        FROM (SELECT count(*) AS n FROM {SOLD} o GROUP BY customer_id) buyers""",
    "customer_lifetime_value": f"""
        SELECT c.id, {COUNTRY}, min({UTC_DAY}), max({UTC_DAY}), count(o.id),
            coalesce(sum(o.total_amount), 0), round(avg(o.total_amount), 2)
        FROM customers c LEFT JOIN {SOLD} o ON o.customer_id = c.id GROUP BY c.id""",
    "customer_cohorts": f"""
        WITH bought AS (
            SELECT o.customer_id, o.total_amount, extract(year FROM {UTC_DAY}) * 12
                + extract(month FROM {UTC_DAY}) AS month
            FROM {SOLD} o),
        buyers AS (
            SELECT c.id, {COUNTRY} AS country, min(b.month) AS first
            FROM customers c JOIN bought b ON b.customer_id = c.id GROUP BY c.id),
        cohorts AS (SELECT first, country, count(*) AS size FROM buyers GROUP BY 1, 2)
        SELECT make_date(((k.first - 1)::int / 12), ((k.first - 1)::int % 12) + 1, 1), k.country,
            g.m - k.first, k.size, count(DISTINCT b.customer_id), count(b.customer_id),
            coalesce(sum(b.total_amount), 0)
        FROM cohorts k
        JOIN generate_series((SELECT min(month) FROM bought), (SELECT max(month) FROM bought)) g(m)
            ON g.m >= k.first
        LEFT JOIN (bought b JOIN buyers y ON y.id = b.customer_id)
            ON y.first = k.first AND y.country = k.country AND b.month = g.m
        GROUP BY 1, 2, 3, 4""",
    "orders_daily": f"""
        SELECT {UTC_DAY}, {COUNTRY}, o.status, count(*),
            sum((SELECT coalesce(sum(quantity), 0) FROM order_items WHERE order_id = o.id)),
            sum(o.total_amount)
        FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY 1, 2, 3""",
    "order_lines_daily": f"""
        SELECT {UTC_DAY}, p.category, {COUNTRY}, o.status, count(DISTINCT o.id), sum(i.quantity),
            sum(i.total_price), sum(i.quantity * v.manufacturing_price),
            sum(i.total_price) - sum(i.quantity * v.manufacturing_price)
        FROM order_items i JOIN orders o ON o.id = i.order_id
        JOIN customers c ON c.id = o.customer_id JOIN product_variants v ON v.id = i.variant_id
        JOIN products p ON p.id = v.product_id GROUP BY 1, 2, 3, 4""",
    "profitability_monthly": f"""
        SELECT date_trunc('month', o.order_date AT TIME ZONE 'UTC')::date, sum(i.total_price),
            sum(i.quantity * v.manufacturing_price),
            sum(i.total_price) - sum(i.quantity * v.manufacturing_price),
            ((sum(i.total_price) - sum(i.quantity * v.manufacturing_price))
                / sum(i.total_price))::float
        FROM order_items i JOIN {SOLD} o ON o.id = i.order_id
        JOIN product_variants v ON v.id = i.variant_id GROUP BY 1""",
}
STAGED = {
    "customers": """
        SELECT id, btrim(email), full_name,
            CASE WHEN btrim(country) = '' THEN 'Unknown' ELSE btrim(country) END,
            age, created_at, updated_at
        FROM customers""",
    "products": "SELECT id, name, category, sku, created_at, updated_at FROM products",
    "product_variants": """
        SELECT id, product_id, variant_sku, color, size, manufacturing_price, selling_price,
            stock_quantity, is_active, created_at, updated_at
        FROM product_variants""",
    "orders": "SELECT id, customer_id, order_date, status, total_amount FROM orders",
    "order_items": """
        SELECT id, order_id, variant_id, quantity, unit_price, total_price, created_at
        FROM order_items""",
}
# Days whose borders differ between UTC and New York, where the clocks change on March 9.
FIRST_DAY, LAST_DAY = "2025-02-27", "2025-03-10"
# Orders at the very edges of days and months, one without lines, one a cent, and odd customers.
EDGES = """
    UPDATE customers SET country = CASE id % 7 WHEN 0 THEN '   ' ELSE '  ' || country || ' ' END
    WHERE id % 3 = 0;
    UPDATE customers SET age = id % 20 WHERE id % 5 = 0;
    UPDATE product_variants SET selling_price = manufacturing_price - 1 WHERE id % 4 = 0;
    INSERT INTO orders (customer_id, order_date, status, total_amount, created_at)
    SELECT (SELECT max(id) FROM customers), moment, status, 0, moment
    FROM unnest(ARRAY[
        '2025-02-27 00:00:00+00', '2025-02-28 23:59:59.999999+00', '2025-03-01 00:00:00+00',
        '2025-03-09 06:59:59.999999+00', '2025-03-09 07:00:00+00', '2025-03-10 23:59:59.999999+00'
    ]::timestamptz[]) AS moment, unnest(ARRAY['paid', 'cancelled']) AS status;
    INSERT INTO order_items (order_id, variant_id, quantity, unit_price, created_at)
    SELECT id, (SELECT min(id) FROM product_variants), 3, 0.01, order_date
    FROM orders WHERE total_amount = 0 AND order_date < '2025-03-10';
    UPDATE orders o SET total_amount = i.total
    FROM (SELECT order_id, sum(total_price) AS total FROM order_items GROUP BY 1) i
    WHERE i.order_id = o.id
"""


@pytest.fixture(scope="module")
def later_runs(new_shop: NewShop, day: Shop) -> tuple[Shop, Shop]:
    """A second run of the same day, and a run of random data over several days; both at once."""
    again, days = new_shop(like=day), new_shop()
    repeating = again.start("ecommerce", "run")
    days.generate(
        *("--starting-at", FIRST_DAY, "--ending-at", f"{LAST_DAY}T23:59:59.999999"),
        *("--seed", "20250309", "--customers", "140", "--orders", "900"),
    )
    database = days.environment["POSTGRES_DB"]
    days.source(*EDGES.split(";"), f"ALTER DATABASE {database} SET timezone = 'Asia/Tokyo'")
    dates = ("--start-date", FIRST_DAY, "--end-date", LAST_DAY)
    for outcome in (days.ecommerce("run", *dates, TZ="America/New_York"), ended(repeating)):
        assert outcome.succeeded, outcome.text
    return again, days


@pytest.fixture(scope="module")
def again(later_runs: tuple[Shop, Shop]) -> Shop:
    return later_runs[0]


@pytest.fixture(scope="module")
def days(later_runs: tuple[Shop, Shop]) -> Shop:
    return later_runs[1]


class TestRandomDataOverSeveralDays:
    """On a machine in New York, with a source that is set to Tokyo: days are UTC days."""

    @pytest.mark.parametrize("mart", sorted(LAYERS["mart"]))
    def test_a_mart_equals_what_postgres_computes_from_the_source(
        self, days: Shop, mart: str
    ) -> None:
        expected = {tuple(map(comparable, row)) for row in days.source(EXPECTED[mart])}
        found = [tuple(map(comparable, row)) for row in days.query(f"FROM mart.{mart}")]
        assert set(found) == expected
        assert len(found) == len(expected) > 0

    @pytest.mark.parametrize("table", sorted(LAYERS["stg"]))
    def test_a_staging_table_equals_what_postgres_computes_from_the_source(
        self, days: Shop, table: str
    ) -> None:
        expected = sorted(days.source(STAGED[table]))
        assert sorted(days.query(f"FROM stg.{table}")) == expected
        assert expected

    def test_every_day_of_the_run_is_a_partition(self, days: Shop) -> None:
        expected = {
            row[0] for row in days.source(f"SELECT to_char(d, 'YYYY-MM-DD') FROM generate_series"
            f"('{FIRST_DAY}'::timestamp, '{LAST_DAY}', '1 day') d")
        }  # fmt: skip
        assert days.partitions("stg.order_items") == expected
        assert len(expected) == 12

    def test_the_money_of_the_raw_tables_is_that_of_the_source(self, days: Shop) -> None:
        for table, column in (("orders", "total_amount"), ("order_items", "total_price")):
            [(source,)] = days.source(f"SELECT sum({column}) FROM {table}")
            [(raw,)] = days.query(f"SELECT sum({column}) FROM raw.{table}")
            [(staged,)] = days.query(f"SELECT sum({column}) FROM stg.{table}")
            assert source == raw == staged


def comparable(value: Any) -> Any:
    """Ratios are shown with four decimals; everything else must be equal exactly."""
    if isinstance(value, float):
        return round(value, 4)
    return int(value) if isinstance(value, Decimal) and value == int(value) else value


def all_checks(definitions: dg.Definitions) -> set[dg.AssetCheckKey]:
    graph = definitions.resolve_asset_graph()
    return set(graph.asset_check_keys)
