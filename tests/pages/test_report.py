"""The page that the asset `report.sales` writes: what people see on it, and whether it is true."""

from __future__ import annotations

import re
import shutil
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from orchestration.helpers import DAY, NewShop, Shop, Tiny
from playwright.sync_api import Page, expect

from ecommerce_dagster.pages.formats import amount

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


def ready(page: Page, shows: str = "") -> Page:
    """The page when its script has drawn what is chosen."""
    page.wait_for_function(
        "shows => (document.body.dataset.shows ?? '').includes(shows)", arg=shows or "#"
    )
    return page


def table(page: Page, title: str) -> list[list[str]]:
    """The cells below the header of the table in the figure of that title, when it has some."""
    body = page.get_by_role("figure", name=title, exact=True).locator("tbody")
    body.locator("tr").first.wait_for(state="attached")
    # At once: the script may be about to write other rows.
    rows: list[list[str]] = body.evaluate(
        "body => [...body.rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return rows


def tiles(page: Page) -> dict[str, str]:
    """The value on each tile, by its title."""
    return {
        tile.locator("dt").inner_text(): tile.locator(".value").inner_text()
        for tile in page.locator(".tile").all()
    }


class TestThePage:
    """Without its script: everything that there is, summed up."""

    @pytest.fixture
    def still(self, day: Shop, open_page: OpenPage) -> Page:
        return open_page(page_of(day), scripts=False)

    def test_a_run_of_everything_writes_it(self, day: Shop, still: Page) -> None:
        expect(still.get_by_role("heading", level=1)).to_have_text("The shop in numbers")
        assert page_of(day).stat().st_size < 2_000_000
        expect(still.get_by_role("form")).to_be_hidden()
        expect(still.get_by_role("button")).to_have_count(0)

    def test_its_main_numbers_are_those_of_the_marts(self, day: Shop, still: Page) -> None:
        [(value, pieces)] = day.query(
            "SELECT average_order_value, units_per_order FROM mart.order_kpis_daily"
        )
        [(buyers, rate)] = day.query(
            "SELECT customers, repeat_purchase_rate FROM mart.repeat_purchase_rate"
        )
        [(ordered,)] = day.query("SELECT sum(revenue) FROM mart.revenue_by_category")
        [(profit,)] = day.query("SELECT profit FROM mart.profitability_monthly")
        [(mean, median)] = day.query(
            "SELECT sum(revenue) / count(*), median(revenue) FROM mart.customer_lifetime_value "
            "WHERE orders_count > 0"
        )
        assert tiles(still) == {
            "Revenue": "232,856.13",
            "Ordered value": f"{ordered:,.2f}",
            "Orders": "500",
            "Average order value": f"{value:,.2f}",
            "Pieces per order": f"{pieces:.2f}",
            "Profit": f"{profit:,.2f}",
            "Average lifetime value": f"{mean:,.2f}",
            "Median lifetime value": f"{median:,.2f}",
            "Repeat purchase rate": f"{rate:.1%}",
            "Buyers": f"{buyers}",
            "Customer accounts": "100",
        }

    def test_its_tables_are_the_marts(self, day: Shop, still: Page) -> None:
        [(ordered,)] = day.query("SELECT sum(revenue) FROM mart.revenue_by_category")
        assert table(still, "Revenue of paid and shipped orders by day (amount)") == [
            [DAY, "232,856.13", f"{ordered:,.2f}"]
        ]
        assert table(still, "Orders of all statuses by day") == [[DAY, "500"]]
        assert table(
            still, "The ten best sellers by revenue of paid and shipped orders (amount)"
        ) == [
            [sku, name, f"{revenue:,.2f}", str(units)]
            for sku, name, revenue, units in day.query(
                "SELECT * EXCLUDE (rank) FROM mart.top_skus ORDER BY rank LIMIT 10"
            )
        ]
        by_category = table(still, "Revenue of paid and shipped orders by category (amount)")
        assert {row[0]: row[4] for row in by_category} == {
            category: f"{value:,.2f}"
            for category, value in day.query(
                "SELECT category, revenue FROM mart.revenue_by_category"
            )
        }
        assert [row[:3] for row in by_category] == [
            [category, f"{revenue:,.2f}", str(units)]
            for category, revenue, units in day.query(
                "SELECT category, sum(gross_revenue) AS r, sum(items_sold) "
                "FROM mart.product_performance GROUP BY ALL ORDER BY r DESC"
            )
        ]
        assert table(still, "Accounts by age in years") == [
            ["18-24", "18"], ["25-34", "19"], ["35-49", "24"], ["50+", "39"]
        ]  # fmt: skip
        assert table(still, "Accounts by country, the ten largest") == [
            [country, str(accounts)]
            for country, accounts in day.query(
                "FROM mart.customers_by_country ORDER BY total_customers DESC, country LIMIT 10"
            )
        ]
        [(_, revenue, cost, profit, margin)] = day.query("FROM mart.profitability_monthly")
        assert table(still, "Profit in revenue of paid and shipped orders by day (amount)") == [
            [DAY, f"{profit:,.2f}", f"{revenue:,.2f}", f"{cost:,.2f}", f"{margin:.1%}"]
        ]
        assert table(still, "The ten customers with the highest lifetime value (amount)") == [
            [str(customer), f"{revenue:,.2f}", str(orders)]
            for customer, revenue, orders in day.query(
                "SELECT customer_id, revenue, orders_count FROM mart.customer_lifetime_value "
                "ORDER BY revenue DESC LIMIT 10"
            )
        ]

    def test_every_buyer_is_in_one_bar_of_lifetime_value(self, day: Shop, still: Page) -> None:
        bars = table(still, "Buyers by lifetime value, paid and shipped orders (amount)")
        spent = [
            row[0]
            for row in day.query(
                "SELECT revenue FROM mart.customer_lifetime_value WHERE orders_count > 0"
            )
        ]
        assert 4 <= len(bars) <= 10
        width = int(bars[1][0])
        for least, customers in bars:
            assert int(customers) == sum(0 <= value - int(least) < width for value in spent)
        assert sum(int(bar[1]) for bar in bars) == len(spent)

    def test_the_bars_carry_the_numbers(self, still: Page) -> None:
        figure = still.get_by_role("figure", name="Accounts by age in years")
        labels = figure.locator(".wide svg text").all_text_contents()
        assert {"18", "19", "24", "39", "18-24", "50+"} <= set(labels)

    def test_it_says_when_and_of_which_time_it_is(self, still: Page) -> None:
        text = still.inner_text("body")
        assert f"Orders placed from {DAY} to {DAY}, whole days." in text
        assert re.search(
            r"Data of 20.{14} UTC\. ✓ All \d+ checks behind these numbers passed", text
        )
        behind = still.get_by_role("row", name="stg.customers")
        assert [cell.strip() for cell in behind.locator("td").all_inner_texts()][::2] == [
            "100",
            "6 of 6",
        ]


FIRST, LAST = "2025-01-20", "2025-03-14"  # of `season`
SOLD = "o.status IN ('paid', 'shipped')"


@pytest.fixture(scope="module")
def season(new_shop: NewShop) -> Shop:
    """Eight weeks of orders of a few customers, who come back."""
    shop = new_shop()
    shop.generate(
        *("--starting-at", FIRST, "--ending-at", f"{LAST}T23:59:59.999999"),
        *("--customers", "40", "--orders", "600"),
    )
    outcome = shop.invoke("run", "--start-date", FIRST, "--end-date", LAST)
    assert outcome.succeeded, outcome.text
    return shop


def asked(shop: Shop, measure: str, where: str) -> Any:
    """A sum over the lines of staged orders, by SQL that knows nothing of the marts."""
    [(value,)] = shop.query(f"""
        SELECT {measure} FROM stg.orders AS o
        JOIN stg.customers AS c ON c.customer_id = o.customer_id
        JOIN stg.order_items AS i ON i.order_id = o.order_id
        JOIN stg.product_variants AS v ON v.variant_id = i.variant_id
        JOIN stg.products AS p ON p.product_id = v.product_id
        WHERE {where}""")
    return value


ORDERS, VALUE, PIECES = "count(DISTINCT o.order_id)", "sum(i.total_price)", "sum(i.quantity)"
COLUMNS = {"Category": "p.category", "Country": "c.country", "Status": "o.status"}
PROFIT = "sum(i.total_price - i.quantity * v.manufacturing_price)"


def between(first: str, last: str, condition: str = "true") -> str:
    zone = "AT TIME ZONE 'UTC'"
    return f"CAST(o.order_date {zone} AS DATE) BETWEEN '{first}' AND '{last}' AND {condition}"


class TestTheDashboard:
    """Chosen by a reader, and compared with SQL on the staging tables."""

    @pytest.mark.parametrize(
        ("range_", "dates", "picks"),
        [
            ("all", (FIRST, LAST), {}),
            ("30", ("2025-02-13", LAST), {"Category": "shoes"}),
            ("month", ("2025-03-01", LAST), {"Status": "paid"}),
            ("7", ("2025-03-08", LAST), {"Category": "hoodies", "Status": "pending"}),
            ("own", ("2025-02-03", "2025-02-20"), {"Country": "", "Category": "shoes"}),
        ],
    )
    def test_the_numbers_are_those_of_sql(
        self,
        season: Shop,
        open_page: OpenPage,
        range_: str,
        dates: tuple[str, str],
        picks: dict[str, str],
    ) -> None:
        page = ready(open_page(page_of(season)))
        page.locator(f"[name=range][value='{range_}']").check(force=True)
        if range_ == "own":
            page.get_by_label("From").fill(dates[0])
            page.get_by_label("to", exact=True).fill(dates[1])
        condition = "true"
        for name, picked in picks.items():
            [(country,)] = season.query("SELECT max(country) FROM mart.customers_by_country")
            page.get_by_label(name, exact=True).select_option(picked or country)
            condition += f" AND {COLUMNS[name]} = '{picked or country}'"
        ready(page, page.evaluate("location.hash"))

        where, sold = between(*dates, condition), between(*dates, f"{condition} AND {SOLD}")
        revenue, orders = asked(season, VALUE, sold), Decimal(asked(season, ORDERS, sold))
        shown = tiles(page)
        assert shown["Revenue"] == f"{revenue or 0:,.2f}"
        assert shown["Ordered value"] == f"{asked(season, VALUE, where):,.2f}"
        assert shown["Orders"] == f"{asked(season, ORDERS, where)}"
        assert shown["Average order value"] == (amount(revenue / orders) if orders else "-")
        assert shown["Pieces per order"] == (
            f"{asked(season, PIECES, sold) / orders:,.2f}" if orders else "-"
        )
        assert shown["Profit"] == f"{asked(season, PROFIT, sold) or 0:,.2f}"

        figure = page.get_by_role("figure", name="Orders of all statuses by day", exact=True)
        figure.locator("summary").click()
        for day, orders in table(page, "Orders of all statuses by day"):
            assert orders == str(asked(season, ORDERS, between(day, day, condition)))

        # Sent to others, the address shows the same.
        other = ready(open_page(page_of(season), fragment=page.evaluate("location.hash")))
        assert tiles(other) == shown

    def test_a_change_is_to_the_days_before(self, season: Shop, open_page: OpenPage) -> None:
        page = ready(open_page(page_of(season), fragment="#range=7"))
        now = asked(season, ORDERS, between("2025-03-08", LAST))
        before = asked(season, ORDERS, between("2025-03-01", "2025-03-07"))
        change = page.locator(".tile:has(dt:text-is('Orders')) .change").inner_text()
        assert change.endswith(f"{abs(now - before) / before:.1%} from {before}")
        expect(page.locator("#covers")).to_contain_text("compared with 1 Mar 2025 to 7 Mar 2025")
        # The data begin too late for the 90 days before.
        ready(page.locator("[value='90']").check(force=True) or page, "range=90")
        expect(page.locator(".change").first).to_have_text("nothing to compare with")

    def test_a_country_changes_what_customers_are_worth(
        self, season: Shop, open_page: OpenPage
    ) -> None:
        [(country,)] = season.query(
            "SELECT min(country) FROM mart.customer_lifetime_value WHERE orders_count > 0"
        )
        page = ready(open_page(page_of(season), fragment=f"#country={country}&category=shoes"))
        [(buyers, mean, median)] = season.query(
            "SELECT count(*), sum(revenue) / count(*), median(revenue) "
            f"FROM mart.customer_lifetime_value WHERE orders_count > 0 AND country = '{country}'"
        )
        shown = tiles(page)
        assert shown["Buyers"] == str(buyers)
        assert shown["Average lifetime value"] == f"{mean:,.2f}"
        assert shown["Median lifetime value"] == f"{median:,.2f}"
        title = "Share of new buyers who buy again, by months since their first order"
        page.get_by_role("figure", name=title).locator("summary").click()
        assert table(page, title) == [
            [f"{month:%Y-%m}", str(since), f"{active / size:.1%}", str(active), str(size)]
            for month, since, size, active in season.query(
                "SELECT cohort_month, months_since, cohort_customers, active_customers "
                f"FROM mart.customer_cohorts WHERE country = '{country}' ORDER BY 1, 2"
            )
        ]

    def test_a_chart_can_be_saved_as_csv(self, season: Shop, open_page: OpenPage) -> None:
        page = ready(open_page(page_of(season), fragment="#range=7&category=shoes"))
        with page.expect_download() as saving:
            page.get_by_role("button", name="CSV: Orders of all statuses by day").click()
        saved = saving.value
        assert saved.suggested_filename == "orders-of-all-statuses-by-day.csv"
        days = [f"2025-03-{day:02}" for day in range(8, 15)]
        counts = [asked(season, ORDERS, between(d, d, "p.category = 'shoes'")) for d in days]
        assert saved.path().read_bytes().decode() == "From (UTC),Orders\r\n" + "".join(
            f"{day},{count}\r\n" for day, count in zip(days, counts, strict=True)
        )

    def test_the_pointer_shows_a_value(self, season: Shop, open_page: OpenPage) -> None:
        page = ready(open_page(page_of(season), fragment="#range=7"))
        page.get_by_role("figure", name="Orders of all statuses by day").locator(
            ".mark-rect path"
        ).first.hover()
        expect(page.locator("#vg-tooltip-element")).to_contain_text("2025-03-08: ")

    def test_the_keyboard_does_everything(self, season: Shop, open_page: OpenPage) -> None:
        page = ready(open_page(page_of(season)))
        page.keyboard.press("Tab")  # the link to the numbers
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.value") == "30"
        page.keyboard.press("ArrowLeft")
        ready(page, "range=7")
        page.keyboard.press("Tab")
        page.keyboard.type("sho")
        ready(page, "range=7&category=shoes")
        before = tiles(page)
        title = "Revenue of paid and shipped orders by day (amount)"
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.tagName") == "SUMMARY":
                break
        page.keyboard.press("Enter")
        expect(page.get_by_role("table", name=title)).to_be_visible()
        assert len(table(page, title)) == 7
        page.keyboard.press("Home")
        page.get_by_role("button", name="Reset").focus()
        page.keyboard.press("Enter")
        ready(page, "range=30")
        assert tiles(page) != before

    @pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
    def test_nothing_bars_anybody_and_all_of_it_fits(
        self, season: Shop, open_page: OpenPage, width: int, dark: bool
    ) -> None:
        from axe_playwright_python.sync_playwright import Axe

        page = ready(open_page(page_of(season), width=width, dark=dark))
        for summary in page.locator("summary").all():
            summary.click()
        assert fits(page)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


class TestReading:
    @pytest.mark.parametrize("scripts", [True, False])
    def test_it_fits_on_a_phone(self, day: Shop, open_page: OpenPage, scripts: bool) -> None:
        page = open_page(page_of(day), width=390, scripts=scripts)
        if scripts:
            ready(page)
        assert fits(page)
        title = "Revenue of paid and shipped orders by day (amount)"
        chart = page.get_by_role("img", name=title, exact=True)
        expect(chart).to_have_count(1)
        box = chart.bounding_box()
        assert box is not None
        assert box["width"] > 300
        drawn = chart.locator("text").first.evaluate("e => e.getBoundingClientRect().height")
        assert drawn >= 10  # letters large enough to be read

    @pytest.mark.parametrize("scripts", [True, False])
    def test_dark_mode_turns_ground_text_and_charts(
        self, day: Shop, open_page: OpenPage, scripts: bool
    ) -> None:
        light = open_page(page_of(day), scripts=scripts)
        dark = open_page(page_of(day), dark=True, scripts=scripts)
        if scripts:
            ready(light)
            ready(dark)
        bar = "figure:not(:has(details[open])) .mark-rect path"
        assert luminance(light, "body", "backgroundColor") > 200
        assert luminance(dark, "body", "backgroundColor") < 40
        assert luminance(dark, "body", "color") > 200
        assert luminance(dark, bar, "fill") > luminance(light, bar, "fill") + 30
        assert luminance(dark, ".mark-text text", "fill") > 120

    def test_a_screen_reader_hears_headings_pictures_and_tables(
        self, day: Shop, open_page: OpenPage
    ) -> None:
        page = ready(open_page(page_of(day)))
        levels = [int(tag[1]) for tag in page.locator("h1, h2, h3").evaluate_all(
            "all => all.map(e => e.tagName)")]  # fmt: skip
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        figures = page.get_by_role("figure").all()
        assert len(figures) == 16
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
            "DROP TABLE mart.customer_cohorts",
            "DELETE FROM mart.orders_daily",
            "DELETE FROM mart.customer_lifetime_value",
        )
        outcome = apart(shop, "report")
        assert outcome.succeeded, outcome.text
        page = ready(open_page(page_of(shop), fragment="#category=shoes"))
        sellers = page.get_by_role("figure", name="The ten best sellers")
        expect(sellers).to_contain_text("Table with name top_skus does not exist")
        expect(page.get_by_role("figure", name="Orders of all")).to_contain_text("no rows yet")
        page.get_by_role("figure", name="Accounts by age in years").locator("summary").click()
        assert table(page, "Accounts by age in years")
        assert tiles(page)["Repeat purchase rate"] == "-"
        still = open_page(page_of(shop), scripts=False)
        expect(still.get_by_text("There are no orders yet.")).to_be_visible()

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
            f"UPDATE mart.variant_profitability SET variant_sku = '{quoted}' "
            "WHERE variant_sku = (SELECT variant_sku FROM mart.top_skus WHERE rank = 1)",
            f"UPDATE mart.top_skus SET variant_sku = '{quoted}', product_name = '{quoted}' WHERE rank = 1",
            f"UPDATE mart.orders_daily SET country = '{quoted}' WHERE country = 'Finland'",
            f"UPDATE mart.customers_by_country SET country = '{quoted}' WHERE country = 'Finland'",
        )
        assert apart(changed, "report").succeeded
        title = "The ten best sellers by revenue of paid and shipped orders (amount)"
        for scripts in (True, False):
            page = open_page(page_of(changed), scripts=scripts)
            if scripts:
                ready(page).get_by_role("figure", name=title).locator("summary").click()
            assert page.locator("img").count() == 0
            assert page.locator("script").count() == 3
            assert table(page, title)[0][:2] == [MALICE, MALICE]

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
        assert "Revenue of paid and shipped orders by day (EUR)" in target.read_text()
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
