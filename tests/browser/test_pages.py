"""Dagster's pages, in a real browser, after `ecommerce dev` has found new data by itself."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest
from orchestration.helpers import ONE_DAY, NewShop, Shop, dev, eventually, free_port
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

expect.set_options(timeout=20_000)


@dataclass(frozen=True)
class Site:
    shop: Shop
    address: str


@pytest.fixture(scope="module")
def site(new_shop: NewShop) -> Iterator[Site]:
    """A shop with a day of data that nobody has run, a minute after `ecommerce dev`."""
    shop = new_shop()
    shop.generate(*ONE_DAY)
    port = free_port()
    with dev(shop, port):
        site = Site(shop, f"http://127.0.0.1:{port}")
        assert eventually(site.shop.is_idle, 120)
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1600, "height": 1200})
    yield page
    page.close()


def button(page: Page, text: str) -> Locator:
    return page.locator("button", has_text=re.compile(f"^{text}$"))


def test_new_data_is_loaded_and_built_without_anybody_asking(site: Site) -> None:
    [run] = site.shop.runs()
    assert run.is_success
    assert "dagster/sensor_name" in run.tags
    assert site.shop.query("SELECT orders_count, revenue::VARCHAR FROM mart.sales_daily") == [
        (500, "232856.13")
    ]


def test_the_lineage_page_shows_the_layers_and_no_dialog(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/asset-groups")
    expect(page.get_by_text("Global asset lineage")).to_be_visible()
    for layer in ("raw", "stg", "mart"):
        expect(page.get_by_text(layer, exact=True).first).to_be_visible()
    page.wait_for_timeout(1500)  # dialogs come late
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_text("Join the Dagster community")).to_have_count(0)


def test_a_layers_page_shows_how_many_checks_of_each_table_passed(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/locations/ecommerce_dagster.definitions/asset-groups/stg")
    expect(page.get_by_text("14 / 14 Passed")).to_be_visible()
    expect(page.get_by_text("16 / 16 Passed")).to_be_visible()


def test_an_assets_page_shows_its_prose_its_query_and_its_columns(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/assets/stg/product_variants")
    expect(page.get_by_text("One row per variant, that is a product").first).to_be_visible()
    expect(page.get_by_text("FROM raw.product_variants AS v").first).to_be_visible()
    expect(page.get_by_text("Stock keeping unit of the variant").first).to_be_visible()
    body = page.inner_text("body")
    assert "DECIMAL(10,2)" in body
    assert "Data Team" in body
    assert re.search(r"Row count\s+127\b", body)
    assert re.search(r"Latest check results\s+14\b", body)


def test_one_check_is_executed_from_its_page(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/assets/stg/customers?view=checks&checkDetail=email__not_null")
    expect(page.get_by_text("Each email has a value.").first).to_be_visible()
    before = len(site.shop.runs())
    button(page, "Execute").click()
    assert eventually(lambda: len(site.shop.runs()) == before + 1, 20)
    assert eventually(site.shop.is_idle, 60)
    run = site.shop.runs()[0]
    assert run.is_success
    assert run.asset_check_selection == {
        dg.AssetCheckKey(dg.AssetKey(["stg", "customers"]), "email__not_null")
    }
    events = site.shop.events(dg.DagsterEventType.ASSET_CHECK_EVALUATION, run.run_id)
    assert [event.asset_check_evaluation_data.check_name for event in events] == ["email__not_null"]
    assert site.shop.events(dg.DagsterEventType.ASSET_MATERIALIZATION, run.run_id) == []


def test_the_page_of_the_run_says_that_it_succeeded(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/runs/{site.shop.runs()[-1].run_id}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_marts_are_selected_by_their_tag_and_materialized_by_a_click(
    site: Site, page: Page
) -> None:
    page.goto(f"{site.address}/asset-groups")
    page.locator(".CodeMirror").first.click()
    page.keyboard.type("tag:mart")
    page.keyboard.press("Enter")
    expect(page.get_by_text("top_skus").first).to_be_visible()
    expect(page.get_by_text("product_variants", exact=True)).to_have_count(0)
    before = len(site.shop.runs())
    button(page, "Materialize all").click()
    assert eventually(lambda: len(site.shop.runs()) == before + 1, 20)
    assert eventually(site.shop.is_idle, 60)
    run = site.shop.runs()[0]
    assert run.is_success
    assert {key.path[0] for key in run.asset_selection or ()} == {"mart"}
    page.goto(f"{site.address}/assets/mart/top_skus")
    expect(
        page.get_by_text(run.run_id[:8]).or_(page.get_by_text("seconds ago")).first
    ).to_be_visible()


def test_the_missing_days_of_a_range_are_filled_by_a_click(site: Site, page: Page) -> None:
    """The shop's days begin with its first order."""
    assert site.shop.invoke("run", "raw.orders", "--start-date", "2025-03-07").succeeded
    page.goto(f"{site.address}/assets/raw/orders?view=partitions")
    page.locator("button", has_text="Materialize").first.click()
    page.get_by_text("Show all partitions").click()
    chosen = page.get_by_role("dialog").locator("input[type=text]").first
    chosen.fill("[2025-03-05...2025-03-09]")
    chosen.press("Enter")
    page.get_by_text("Backfill only failed and missing partitions within selection").click()
    expect(page.get_by_text("Only 3 failed and missing partitions")).to_be_visible()
    before = {run.run_id for run in site.shop.runs()}
    button(page, "Launch backfill").click()

    def launched() -> list[dg.DagsterRun]:
        return [run for run in site.shop.runs() if run.run_id not in before]

    assert eventually(lambda: len(launched()) == 2 and site.shop.is_idle(), 120)
    ranges = {run.tags["dagster/asset_partition_range_start"]: run for run in launched()}
    assert set(ranges) == {"2025-03-06", "2025-03-08"}
    assert all(run.is_success for run in ranges.values())
    page.goto(f"{site.address}/assets/raw/orders?view=partitions")
    expect(page.get_by_text("Materialized (5)")).to_be_visible()


def test_a_marts_page_shows_where_its_columns_come_from_its_rows_and_its_file(
    site: Site, page: Page
) -> None:
    page.goto(f"{site.address}/assets/mart/sales_daily")
    origin = "revenue from stg.orders.status, stg.orders.total_amount, in the end"
    expect(page.get_by_text(origin).first).to_be_visible()
    expect(page.get_by_text("public.orders.total_amount").first).to_be_visible()
    expect(page.get_by_text("232856.13").first).to_be_visible()
    expect(page.get_by_text("domain/sales").first).to_be_visible()
    file = page.get_by_role("link", name=re.compile(r"Open .*sales_daily\.sql"))
    assert "mart.sales_daily.sql:2" in str(file.get_attribute("href"))
    page.goto(f"{site.address}/assets/mart/sales_daily?view=lineage")
    expect(page.get_by_text("order_items", exact=True).first).to_be_visible()


def test_a_column_shows_its_rules_and_its_word_in_the_glossary(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/assets/stg/product_variants")
    expect(page.get_by_text("glossary: Variant.ProductID").first).to_be_visible()
    expect(page.get_by_text("is above 0").first).to_be_visible()


@pytest.fixture(scope="module")
def chaos(site: Site) -> None:
    """A load with wrong sizes, which is noticed and run."""
    site.shop.generate(*ONE_DAY, "--chaos-percent", "5")
    assert eventually(lambda: site.shop.runs()[0].status == dg.DagsterRunStatus.FAILURE, 120)


@pytest.mark.usefixtures("chaos")
class TestBadData:
    PAGE = "/assets/stg/product_variants"
    CHECK = f"{PAGE}?view=checks&checkDetail=validate_product_variant_sizes"

    def test_the_failed_check_shows_its_rule_and_the_bad_rows(self, site: Site, page: Page) -> None:
        page.goto(site.address + self.CHECK)
        expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
        expect(page.get_by_text("Shoes carry a number as their size").first).to_be_visible()
        expect(page.get_by_text("expected 0").first).to_be_visible()
        expect(page.get_by_text("variant_sku").last).to_be_visible()
        bad = re.compile(r"^(TSH|HOO|SHO|ACC|JAC)-\d+-\d$")
        expect(page.get_by_text(bad).first).to_be_visible()
        assert "stg.product_variants.sql:" in page.inner_text("body")

    def test_the_page_of_its_table_says_that_the_old_data_stays(
        self, site: Site, page: Page
    ) -> None:
        page.goto(f"{site.address}{self.PAGE}?view=events")
        kept = (
            "Not published: 1 blocking check failed. stg.product_variants still shows the data of"
        )
        expect(page.get_by_text(kept).first).to_be_visible()
        expect(page.get_by_text("validate product variant sizes").first).to_be_visible()

    def test_the_check_passes_on_the_old_data_when_it_runs_alone(
        self, site: Site, page: Page
    ) -> None:
        page.goto(site.address + self.CHECK)
        button(page, "Execute").click()
        wanted = dg.AssetCheckKey(
            dg.AssetKey(["stg", "product_variants"]), "validate_product_variant_sizes"
        )

        def done() -> bool:
            runs = [run for run in site.shop.runs() if run.asset_check_selection == {wanted}]
            return bool(runs) and runs[0].is_success

        assert eventually(done, 60)
