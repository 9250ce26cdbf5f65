"""The page that the asset `report.sales` writes: what people see on it, and whether it is true."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from orchestration.helpers import DAY, NewShop, Shop, Tiny
from playwright.sync_api import Page, expect

from .conftest import OpenPage, apart, fits, luminance

MALICE = "</td></script><img src=x onerror=alert(1)>\"'&"


def page_of(shop: Shop) -> Path:
    return shop.home / "reports" / "sales.html"


@pytest.fixture(scope="module")
def changed(new_shop: NewShop, day: Shop) -> Shop:
    """A copy of the shop for tests that change its tables."""
    return new_shop(like=day)


def change(shop: Shop, *statements: str) -> None:
    with duckdb.connect(str(shop.warehouse)) as connection:
        for statement in statements:
            connection.execute(statement)


def table(page: Page, title: str) -> list[list[str]]:
    """The cells below the header of the table in the figure of that title."""
    rows = page.get_by_role("figure", name=title, exact=True).locator("tbody tr").all()
    return [row.locator("td").all_text_contents() for row in rows]


class TestThePage:
    def test_a_run_of_everything_writes_it(self, day: Shop, open_page: OpenPage) -> None:
        page = open_page(page_of(day))
        expect(page.get_by_role("heading", level=1)).to_have_text("The shop in numbers")
        assert page_of(day).stat().st_size < 400_000

    def test_its_main_numbers_are_those_of_the_marts(self, day: Shop, open_page: OpenPage) -> None:
        tiles = open_page(page_of(day)).locator(".tile").all_inner_texts()
        shown = {title: value for title, value, _ in (tile.split("\n") for tile in tiles)}
        [(value, pieces)] = day.query(
            "SELECT average_order_value, units_per_order FROM mart.order_kpis_daily"
        )
        [(rate,)] = day.query("SELECT repeat_purchase_rate FROM mart.repeat_purchase_rate")
        assert shown == {
            "Revenue": "232,856.13",
            "Orders": "500",
            "Average order value": f"{value:,.2f}",
            "Pieces per order": f"{pieces:.2f}",
            "Repeat purchase rate": f"{rate:.1%}",
            "Customer accounts": "100",
        }

    def test_its_tables_are_the_marts(self, day: Shop, open_page: OpenPage) -> None:
        page = open_page(page_of(day))
        [(revenue,)] = day.query("SELECT revenue FROM mart.sales_daily")
        assert table(page, "Revenue by day (amount)") == [[DAY, f"{revenue:,.2f}"]]
        assert table(page, "Orders by day (number)") == [[DAY, "500"]]
        assert table(page, "The ten best sellers by revenue (amount)") == [
            [str(rank), sku, name, f"{revenue:,.2f}", str(units)]
            for rank, sku, name, revenue, units in day.query(
                "FROM mart.top_skus ORDER BY rank LIMIT 10"
            )
        ]
        assert table(page, "Value of all orders by category (amount)") == [
            [category, f"{revenue:,.2f}", f"{units:,}"]
            for category, revenue, units in day.query(
                "FROM mart.revenue_by_category ORDER BY revenue DESC"
            )
        ]
        assert table(page, "Accounts by age in years (number)") == [
            ["18-24", "18"], ["25-34", "19"], ["35-49", "24"], ["50+", "39"]
        ]  # fmt: skip
        assert table(page, "Accounts by country, the ten largest (number)") == [
            [country, str(accounts)]
            for country, accounts in day.query(
                "FROM mart.customers_by_country ORDER BY total_customers DESC, country LIMIT 10"
            )
        ]
        [(month, *money, margin)] = day.query("FROM mart.profitability_monthly")
        assert table(page, "Revenue and profit by month (amount)") == [
            [f"{month:%Y-%m}", *(f"{value:,.2f}" for value in money), f"{margin:.1%}"]
        ]

    def test_every_buyer_is_in_one_bar_of_lifetime_value(
        self, day: Shop, open_page: OpenPage
    ) -> None:
        bars = table(open_page(page_of(day)), "Customers by lifetime value (amount)")
        spent = [
            row[0]
            for row in day.query(
                "SELECT revenue FROM mart.customer_lifetime_value WHERE orders_count > 0"
            )
        ]
        assert 4 <= len(bars) <= 10
        for least, below, customers in bars:
            low, high = (int(bound.replace(",", "")) for bound in (least, below))
            assert int(customers) == sum(low <= value < high for value in spent)
        assert sum(int(bar[2]) for bar in bars) == len(spent)

    def test_the_bars_carry_the_numbers(self, day: Shop, open_page: OpenPage) -> None:
        figure = open_page(page_of(day)).get_by_role("figure", name="Accounts by age in years")
        labels = figure.locator(".wide svg text").all_text_contents()
        assert {"18", "19", "24", "39", "18-24", "50+"} <= set(labels)

    def test_it_says_when_and_of_which_time_it_is(self, day: Shop, open_page: OpenPage) -> None:
        head = open_page(page_of(day)).locator("header").inner_text()
        assert f"Orders placed from {DAY} to {DAY}, whole days. All times are UTC" in head
        assert " UTC." in head.partition("As of 20")[2]

    def test_all_checks_passed(self, day: Shop, open_page: OpenPage) -> None:
        page = open_page(page_of(day))
        expect(page.locator("#trust")).to_contain_text("checks behind these numbers passed")
        assert page.locator("#trust").inner_text().startswith("✓ All ")
        behind = page.get_by_role("row", name="stg.customers")
        assert [cell.strip() for cell in behind.locator("td").all_inner_texts()][::2] == [
            "100",
            "6 of 6",
        ]


class TestReading:
    def test_it_fits_on_a_phone(self, day: Shop, open_page: OpenPage) -> None:
        page = open_page(page_of(day), width=390)
        assert fits(page)
        chart = page.get_by_role("img", name="Revenue by day (amount)")
        expect(chart).to_have_count(1)
        box = chart.bounding_box()
        assert box is not None
        assert box["width"] > 300
        drawn = chart.locator("text").first.evaluate("e => e.getBoundingClientRect().height")
        assert drawn >= 10  # letters large enough to be read

    def test_dark_mode_turns_ground_text_and_charts(self, day: Shop, open_page: OpenPage) -> None:
        light, dark = open_page(page_of(day)), open_page(page_of(day), dark=True)
        bar = ".wide .mark-rect path"
        assert luminance(light, "body", "backgroundColor") > 200
        assert luminance(dark, "body", "backgroundColor") < 40
        assert luminance(dark, "body", "color") > 200
        assert luminance(dark, bar, "fill") > luminance(light, bar, "fill") + 30
        assert luminance(dark, ".mark-text text", "fill") > 120

    def test_a_screen_reader_hears_headings_pictures_and_tables(
        self, day: Shop, open_page: OpenPage
    ) -> None:
        page = open_page(page_of(day))
        levels = [int(tag[1]) for tag in page.locator("h1, h2, h3").evaluate_all(
            "all => all.map(e => e.tagName)")]  # fmt: skip
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        figures = page.get_by_role("figure").all()
        assert len(figures) == 10
        for figure in figures:
            title = figure.get_by_role("heading").inner_text()
            picture = figure.get_by_role("img")
            expect(picture).to_have_count(1)
            assert (picture.get_attribute("aria-label") or "").startswith(title)
            figure.locator("summary").click()
            expect(figure.get_by_role("table", name=title)).to_be_visible()
            assert figure.locator("th[scope=col]").count() >= 2


class TestWhatIsWrong:
    def test_a_mart_that_is_missing_and_one_without_rows_cost_their_figures_only(
        self, new_shop: NewShop, changed: Shop, open_page: OpenPage
    ) -> None:
        shop = new_shop(like=changed)
        change(
            shop,
            "DROP TABLE mart.top_skus",
            "DROP TABLE mart.repeat_purchase_rate",
            "DELETE FROM mart.sales_daily",
            "DELETE FROM mart.customer_lifetime_value",
        )
        outcome = apart(shop, "report")
        assert outcome.succeeded, outcome.text
        page = open_page(page_of(shop))
        sellers = page.get_by_role("figure", name="The ten best sellers")
        expect(sellers).to_contain_text("Table with name top_skus does not exist")
        expect(page.get_by_role("figure", name="Revenue by day")).to_contain_text("no rows yet")
        expect(page.get_by_text("There are no orders yet.")).to_be_visible()
        assert table(page, "Accounts by age in years (number)")
        assert "Repeat purchase rate\n-\n" in page.locator(".tiles").inner_text()

    def test_a_failed_check_stands_on_top_with_its_table_and_rule(
        self, new_shop: NewShop, changed: Shop, open_page: OpenPage
    ) -> None:
        shop = new_shop(like=changed)
        change(shop, "UPDATE stg.customers SET age = -1 WHERE customer_id = 1")
        apart(shop, "run", "--single-check", "stg.customers:age:range")
        outcome = apart(shop, "report")
        assert outcome.succeeded, outcome.text
        page = open_page(page_of(shop))
        expect(page.locator("#trust")).to_contain_text("1 of 1")
        expect(page.locator("#trust")).to_contain_text("checks behind these numbers failed")
        expect(page.get_by_role("note")).to_contain_text("stg.customers: Each age is at least 0.")
        assert page.get_by_role("row", name="stg.customers").locator("td").last.inner_text() == (
            "5 of 6"
        )

    def test_names_from_the_data_are_shown_as_text(
        self, changed: Shop, open_page: OpenPage
    ) -> None:
        quoted = MALICE.replace("'", "''")
        change(
            changed,
            f"UPDATE mart.top_skus SET variant_sku = '{quoted}', product_name = '{quoted}' WHERE rank = 1",
            f"UPDATE mart.customers_by_country SET country = '{quoted}' WHERE country = 'Finland'",
        )
        assert apart(changed, "report").succeeded
        page = open_page(page_of(changed))
        assert page.locator("img, script").count() == 0
        assert table(page, "The ten best sellers by revenue (amount)")[0][1:3] == [MALICE, MALICE]

    def test_a_report_that_fails_leaves_the_tables_and_the_old_page(
        self, new_shop: NewShop, day: Shop
    ) -> None:
        shop = new_shop(like=day)
        shutil.rmtree(shop.home / "reports")
        (shop.home / "reports").write_text("in the way")
        outcome = apart(shop, "run", "mart.sales_daily", "report.sales")
        assert outcome.code == 1
        assert "PASS  mart.sales_daily" in outcome.stdout
        assert "FAIL  report.sales" in outcome.stdout
        assert shop.tables() == day.tables()


class TestTheCommand:
    def test_it_writes_a_copy_where_it_is_told(self, changed: Shop, tmp_path: Path) -> None:
        target = tmp_path / "new" / "shop.html"
        outcome = apart(changed, "report", "--output", str(target), "--var", "currency=EUR")
        assert outcome.succeeded, outcome.text
        assert outcome.stdout.splitlines()[-1] == str(target)
        assert "Revenue by day (EUR)" in target.read_text()
        assert target.read_bytes() == page_of(changed).read_bytes()

    @pytest.mark.parametrize("asset", ["mart.sales_daily", "report.sale"])
    def test_what_is_no_report_is_not_run(self, day: Shop, asset: str) -> None:
        before = page_of(day).stat().st_mtime
        outcome = apart(day, "report", asset)
        assert outcome.code == 2
        assert "say which report: report.sales" in outcome.stderr or (
            "did you mean 'report.sales'" in outcome.stderr
        )
        assert (outcome.stdout, page_of(day).stat().st_mtime) == ("", before)

    def test_a_pipeline_without_a_report_is_told_what_one_is(self, tiny: Tiny) -> None:
        tiny.sql("main.numbers", "SELECT 1 AS n")
        outcome = tiny.ecommerce("report")
        assert outcome.code == 2
        assert (
            "this pipeline has no report, that is a Python asset called report." in outcome.stderr
        )

    def test_without_a_warehouse_it_says_what_to_do(self, new_shop: NewShop) -> None:
        shop = new_shop()
        outcome = apart(shop, "report")
        assert outcome.code == 1
        assert "warehouse.duckdb does not exist yet; run the pipeline first" in outcome.stdout
        assert not page_of(shop).exists()

    def test_dagster_shows_the_numbers_and_a_picture(self, day: Shop) -> None:
        [event] = [
            e
            for e in day.events(dg.DagsterEventType.ASSET_MATERIALIZATION)
            if e.asset_key == dg.AssetKey(["report", "sales"])
        ]
        summary = event.step_materialization_data.materialization.metadata["summary"].value
        assert "| Revenue | **232,856.13** |" in summary
        assert str(page_of(day)) in summary
        assert "](data:image/svg+xml;base64," in summary
