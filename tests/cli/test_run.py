"""`ecommerce run`: which rows it takes, what it records, what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from orchestration.helpers import DAY, NewShop, Shop, Tiny

# Three orders on each of the days around the first one, with one line each.
DAYS = ("2025-03-04", "2025-03-06", "2025-03-08")
MORE_ORDERS = """
    INSERT INTO orders (customer_id, order_date, status, total_amount, created_at)
    SELECT (SELECT min(id) FROM customers), day::timestamptz + hour * interval '1 hour', 'paid',
        10, day::timestamptz
    FROM unnest(ARRAY['2025-03-04Z', '2025-03-06Z', '2025-03-08Z']) AS day,
        unnest(ARRAY[0, 12, 18]) AS hour
"""
ORDERS = ("raw.orders", "stg.orders")


@pytest.fixture(scope="module")
def grown(new_shop: NewShop, day: Shop) -> Shop:
    """The shop after one day was run; its source has since got orders of three other days."""
    shop = new_shop(like=day)
    shop.source(MORE_ORDERS)
    return shop


@pytest.fixture
def shop(new_shop: NewShop, grown: Shop) -> Shop:
    return new_shop(like=grown)


@pytest.fixture(scope="module")
def undated(new_shop: NewShop, grown: Shop) -> Shop:
    """After a run without dates; one order of each day had been deleted before."""
    shop = new_shop(like=grown)
    shop.source(
        "DELETE FROM orders WHERE id IN (SELECT min(id) FROM orders GROUP BY order_date::date)"
    )
    outcome = shop.invoke("run", *ORDERS)
    assert outcome.succeeded, outcome.text
    return shop


@pytest.fixture(scope="module")
def ranged(new_shop: NewShop, grown: Shop) -> Shop:
    """After a run over three days, of which the middle one is empty; other days were emptied."""
    shop = new_shop(like=grown)
    shop.source(f"DELETE FROM orders WHERE order_date::date = '{DAY}'")
    outcome = shop.invoke("run", *ORDERS, "--start-date", "2025-03-06", "--end-date", "2025-03-08")
    assert outcome.succeeded, outcome.text
    return shop


@pytest.fixture(scope="module")
def part(new_shop: NewShop, grown: Shop) -> Shop:
    """After a run over the middle of a day."""
    shop = new_shop(like=grown)
    moments = ("--start-date", "2025-03-06 06:00:00", "--end-date", "2025-03-06T17:59:59")
    outcome = shop.invoke("run", *ORDERS, *moments)
    assert outcome.succeeded, outcome.text
    return shop


def days_of(shop: Shop, table: str) -> dict[str, int]:
    rows = shop.query(f"SELECT order_date::DATE::VARCHAR, count(*) FROM {table} GROUP BY ALL")
    return dict(rows)


class TestWithoutDates:
    def test_everything_the_source_holds_is_taken_and_nothing_else(self, undated: Shop) -> None:
        expected = {DAY: 499, **dict.fromkeys(DAYS, 2)}
        assert days_of(undated, "raw.orders") == days_of(undated, "stg.orders") == expected

    def test_the_partitions_with_rows_are_recorded(self, undated: Shop) -> None:
        for asset in ORDERS:
            assert undated.partitions(asset) == {DAY, *DAYS}

    def test_rows_from_before_the_start_date_reach_staging_too(self, shop: Shop) -> None:
        shop.source("UPDATE orders SET order_date = '2023-06-01Z' WHERE order_date < '2025-03-05Z'")
        outcome = shop.invoke("run", *ORDERS)
        assert outcome.succeeded, outcome.text
        expected = {"2023-06-01": 3, DAY: 500, "2025-03-06": 3, "2025-03-08": 3}
        assert days_of(shop, "raw.orders") == expected
        assert days_of(shop, "stg.orders") == expected

    def test_changed_rows_replace_their_older_selves(self, shop: Shop) -> None:
        shop.source("UPDATE customers SET country = 'Utopia', updated_at = now() WHERE id % 2 = 0")
        outcome = shop.invoke("run", "raw.customers", "stg.customers")
        assert outcome.succeeded, outcome.text
        query = "SELECT country = 'Utopia', count(*) FROM stg.customers GROUP BY ALL ORDER BY ALL"
        assert shop.query(query) == [(False, 50), (True, 50)]


class TestWithDates:
    def test_a_range_loads_its_days_and_leaves_the_others(self, ranged: Shop) -> None:
        expected = {DAY: 500, "2025-03-06": 3, "2025-03-08": 3}
        assert days_of(ranged, "raw.orders") == days_of(ranged, "stg.orders") == expected

    def test_every_day_of_the_range_is_recorded_also_an_empty_one(self, ranged: Shop) -> None:
        for asset in ORDERS:
            assert ranged.partitions(asset) == {DAY, "2025-03-06", "2025-03-07", "2025-03-08"}

    def test_one_date_means_that_day(self, shop: Shop) -> None:
        outcome = shop.invoke("run", *ORDERS, "--start-date", "2025-03-06")
        assert "for 2025-03-06:" in outcome.stdout
        assert days_of(shop, "stg.orders") == {DAY: 500, "2025-03-06": 3}
        assert shop.partitions("stg.orders") == {DAY, "2025-03-06"}

    def test_moments_replace_exactly_the_time_between_them(self, part: Shop) -> None:
        for table in ORDERS:
            assert days_of(part, table) == {DAY: 500, "2025-03-06": 1}
            assert part.query(f"SELECT hour(max(order_date)) FROM {table}") == [(12,)]

    def test_part_of_a_day_is_not_recorded_as_the_day(self, part: Shop) -> None:
        for asset in ORDERS:
            assert part.partitions(asset) == {DAY}

    def test_days_before_the_start_date_are_loaded_but_are_no_partitions(self, shop: Shop) -> None:
        shop.source("UPDATE orders SET order_date = '2023-12-30Z' WHERE order_date < '2025-03-05Z'")
        outcome = shop.invoke(
            "run", *ORDERS, "--start-date", "2023-12-29", "--end-date", "2023-12-31"
        )
        assert outcome.succeeded, outcome.text
        expected = {"2023-12-30": 3, DAY: 500}
        assert days_of(shop, "raw.orders") == days_of(shop, "stg.orders") == expected
        assert shop.partitions("stg.orders") == {DAY}

    def test_running_a_day_again_repairs_what_changed_in_it(self, shop: Shop) -> None:
        shop.source("UPDATE orders SET status = 'cancelled' WHERE order_date >= '2025-03-05Z'")
        shop.invoke("run", *ORDERS, "--start-date", DAY)
        assert shop.query("SELECT status, count(*) FROM stg.orders GROUP BY ALL") == [
            ("cancelled", 500)
        ]

    @pytest.mark.parametrize(
        ("dates", "complaint"),
        [
            (("2025-03-07", "2025-03-05"), ["'2025-03-07'", "before", "'2025-03-05'"]),
            (("2025-03-05", "soon"), ["'soon' is not a date"]),
            (("2025-02-30", "2025-03-05"), ["'2025-02-30' is not a date"]),
            (("", "2025-03-05"), ["start"]),
        ],
    )
    def test_dates_that_make_no_sense_are_usage_errors(
        self, day: Shop, dates: tuple[str, str], complaint: list[str]
    ) -> None:
        start, end = dates
        outcome = day.invoke("run", "--start-date", start, "--end-date", end)
        assert outcome.code == 2
        assert outcome.stdout == ""
        assert all(words in outcome.stderr for words in complaint), outcome.stderr


class TestFullRefresh:
    def test_it_never_truncates_to_the_days_it_was_given(self, shop: Shop) -> None:
        outcome = shop.invoke("run", *ORDERS, "--full-refresh", "--start-date", "2025-03-06")
        assert outcome.succeeded, outcome.text
        expected = {DAY: 500, **dict.fromkeys(DAYS, 3)}
        assert days_of(shop, "raw.orders") == days_of(shop, "stg.orders") == expected

    def test_it_rebuilds_from_scratch(self, shop: Shop) -> None:
        customers, age = ("raw.customers", "stg.customers"), "SELECT age = 77 FROM stg.customers"
        earlier = "UPDATE customers SET updated_at = updated_at - interval '2 days' WHERE id = 1"
        shop.source(earlier)
        shop.invoke("run", *customers)
        shop.source("UPDATE customers SET age = 77 WHERE id = 1")  # and its updated_at stays
        shop.invoke("run", *customers)
        assert shop.query(f"{age} WHERE customer_id = 1") == [(False,)]
        shop.invoke("run", *customers, "--full-refresh")
        assert shop.query(f"{age} WHERE customer_id = 1") == [(True,)]


@pytest.fixture(scope="module")
def reused(new_shop: NewShop, day: Shop) -> Shop:
    """A copy of the shop for tests whose runs do not disturb each other."""
    return new_shop(like=day)


class TestSelection:
    def test_a_tag_selects_its_assets(self, reused: Shop) -> None:
        outcome = reused.invoke("run", "--tag", "amazing-tag")
        assert outcome.succeeded
        assert ran(outcome.stdout) == {"mart.customers_by_age"}

    def test_names_select_exactly_these_assets(self, reused: Shop) -> None:
        outcome = reused.invoke("run", "mart.customers_by_age", "stg.customers")
        assert outcome.succeeded
        assert ran(outcome.stdout) == {"stg.customers", "mart.customers_by_age"}

    def test_names_and_a_tag_select_what_is_both(self, reused: Shop) -> None:
        outcome = reused.invoke("run", "mart.customers_by_age", "stg.customers", "-t", "mart")
        assert ran(outcome.stdout) == {"mart.customers_by_age"}

    def test_an_unknown_tag_names_the_nearest_one(self, reused: Shop) -> None:
        outcome = reused.invoke("run", "--tag", "marts")
        assert (outcome.code, outcome.stdout) == (2, "")
        assert "'marts'; did you mean 'mart'?" in outcome.stderr

    def test_an_unknown_asset_names_the_nearest_one(self, reused: Shop) -> None:
        outcome = reused.invoke("run", "mart.sale_daily")
        assert (outcome.code, outcome.stdout) == (2, "")
        assert "'mart.sale_daily'; did you mean 'mart.sales_daily'?" in outcome.stderr

    def test_a_selection_that_matches_nothing_runs_nothing(self, reused: Shop) -> None:
        before = reused.tables()
        outcome = reused.invoke("run", "stg.customers", "--tag", "mart")
        assert (outcome.code, outcome.stdout) == (2, "")
        assert outcome.stderr != ""
        assert reused.tables() == before


class TestAnotherPipeline:
    def test_its_tables_are_built_in_its_own_warehouse(self, tiny: Tiny) -> None:
        tiny.sql("main.numbers", "SELECT unnest([1, 2, 3]) AS n")
        tiny.sql("main.total", "SELECT sum(n)::BIGINT AS total FROM main.numbers", DEPENDS)
        outcome = tiny.ecommerce("run")
        assert outcome.succeeded, outcome.text
        assert "2 assets: 2 succeeded; no checks;" in outcome.stdout
        assert tiny.query("FROM main.total") == [(6,)]

    def test_rows_that_break_a_rule_are_shown_as_sql_calls_their_values(self, tiny: Tiny) -> None:
        rule = "columns: [{name: n, checks: [{name: not_null}]}]"
        tiny.sql("main.numbers", "SELECT NULL::INTEGER AS n, true AS b", rule)
        shown = [line.split() for line in tiny.ecommerce("run").stdout.splitlines()]
        assert ["NULL", "true"] in shown

    def test_no_embedded_postgres_is_started_for_it(self, tiny: Tiny) -> None:
        tiny.sql("main.numbers", "SELECT 1 AS n")
        tiny.ecommerce("run")
        assert not (tiny.folder / "state" / "postgres").exists()

    def test_a_folder_that_does_not_exist_is_a_usage_error(self, day: Shop) -> None:
        outcome = day.invoke("run", "--pipeline", "nowhere")
        assert outcome.code == 2
        assert "'nowhere' does not exist" in outcome.stderr


DEPENDS = "depends: [main.numbers]"


def ran(stdout: str) -> set[str]:
    return {line.split()[1] for line in stdout.splitlines() if line.startswith("PASS")}


def test_where_the_time_of_a_run_went_is_told(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    tiny.sql("mart.slow", "SELECT sum(range) AS n FROM range(20_000_000)")
    tiny.sql("mart.quick", "SELECT 1 AS n", "columns: [{name: n, checks: [{name: not_null}]}]")

    outcome = tiny.ecommerce("run", "--profile")

    assert outcome.succeeded, outcome.text
    lines = [line.split() for line in outcome.stdout.splitlines()]
    at = lines.index(["seconds", "source", "build", "checks", "Dagster", "all"])
    table = {" ".join(line[:-5]): [float(cell) for cell in line[-5:]] for line in lines[at + 1 :]}
    assert [*table][-2:] == ["start and end of the run", "all"]
    assert {*table} > {"mart.slow", "mart.quick"}
    for *parts, everything in table.values():
        assert sum(parts) == pytest.approx(everything, abs=0.05)
    assert table["mart.slow"][1] > table["mart.quick"][1]


def test_a_pipeline_with_variants_is_run_in_one_of_them(tiny: Tiny) -> None:
    tiny.write(
        "pipeline/pipeline.yml",
        "name: tiny\nvariables: {n: {default: 1}}\nvariants: {two: {n: 2}, three: {n: 3}}\n",
    )
    tiny.sql("main.t", "SELECT {{ var.n }} AS n")
    refused = tiny.ecommerce("run")
    assert (refused.code, tiny.warehouse.exists()) == (2, False)
    assert "pipeline.yml:3: the pipeline has the variants two, three; choose one" in refused.text
    assert tiny.ecommerce("run", "--variant", "three").code == 0
    assert tiny.query("FROM main.t") == [(3,)]


def test_nothing_is_written_to_a_connection_that_is_read_only(tiny: Tiny) -> None:
    tiny.sql("main.t", "SELECT 1 AS n")
    assert tiny.ecommerce("run").code == 0
    config = (tiny.folder / ".bruin.yml").read_text()
    tiny.write(".bruin.yml", f"{config}          read_only: true\n")
    tiny.sql("main.t", "SELECT 2 AS n")
    outcome = tiny.ecommerce("run")
    assert outcome.code == 1
    assert "is read_only" in outcome.text
    assert tiny.query("FROM main.t") == [(1,)]


def test_a_dashboard_is_a_node_of_the_graph(tiny: Tiny) -> None:
    tiny.sql("main.t", "SELECT 1 AS n")
    for kind in ("metabase", "tableau.workbook", "looker_studio"):
        tiny.write(
            f"pipeline/assets/{kind}.asset.yml",
            f"name: see.{kind}\ntype: {kind}\ndepends: [main.t]\n",
        )
    outcome = tiny.ecommerce("run")
    assert (outcome.code, "warning" in outcome.text) == (0, False)
    assert "4 assets: 4 succeeded" in outcome.text


@pytest.mark.parametrize(
    "pattern", ["orders", "orders.asset.yml", "orders.asset", "ord*", "raw.b", "raw.b.sql"]
)
def test_a_selector_names_a_file_with_or_without_its_ending(tiny: Tiny, pattern: str) -> None:
    tiny.write("pipeline/assets/orders.asset.yml", "name: main.made\ntype: empty\n")
    tiny.sql("raw.b", "SELECT 1 AS n")
    outcome = tiny.ecommerce("run", "--selector", f"file:{pattern}")
    assert outcome.code == 0, outcome.text
    assert ("main.made" in outcome.stdout, "raw.b" in outcome.stdout) == (
        pattern.startswith("ord"),
        pattern.startswith("raw"),
    )
