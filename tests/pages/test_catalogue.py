"""`ecommerce docs`: the pages of a catalogue, as people find and read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from orchestration.helpers import Shop, Tiny, run_all
from playwright.sync_api import Page, expect

from ecommerce_dagster import local
from ecommerce_dagster.orchestration import catalogue_records as module
from ecommerce_dagster.orchestration.build import load_project
from ecommerce_dagster.pages.addresses import page_names
from ecommerce_dagster.pages.catalogue import Elsewhere, catalogue_of
from ecommerce_dagster.pages.site import write_site

from .conftest import OpenPage, apart, fits, luminance

MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
EVIL = "</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def site(day: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalogue of the shop after a run."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    outcome = apart(day, "docs", "--output", str(folder))
    assert outcome.succeeded, outcome.text
    assert outcome.stdout == f"{folder / 'index.html'}\n"
    return folder


def cells(page: Page, row: str) -> list[str]:
    """The cells of the row of a table that is called so."""
    found = page.locator("tr").filter(has=page.get_by_role("rowheader", name=row, exact=True))
    return [text.strip() for text in found.first.locator("td").all_inner_texts()]


class TestTheOverview:
    def test_it_lists_every_asset_by_layer_with_its_rows_and_checks(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "index.html")
        assert page.locator("h2").all_inner_texts() == ["raw", "stg", "mart", "report"]
        expect(page.locator("tbody tr")).to_have_count(27)
        what, rows, published, checks = cells(page, "stg.customers")
        assert what.startswith("One row per customer account")
        assert (rows, checks) == ("100", "✓ 6 passed")
        assert re.fullmatch(MOMENT, published)
        expect(page.locator("footer")).to_have_text(re.compile(rf"Written {MOMENT}, with the"))

    def test_a_name_leads_to_its_page(self, site: Path, open_page: OpenPage) -> None:
        page = open_page(site / "index.html")
        page.get_by_role("link", name="mart.top_skus").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("mart.top_skus")


class TestAnAsset:
    def test_its_page_says_what_it_is_and_how_it_is_made(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "assets" / "stg.orders.html")
        facts = page.locator("dl.facts").first.inner_text()
        for fact in (
            "Type\nduckdb.sql",
            "Stored as\ntable time_interval",
            "Partitions\ndaily, since 2024-01-01, UTC",
            "Owner\nData Team",
            "File\nasset_specs/assets/stg/stg.orders.sql",
            "Rows\n500",
        ):
            assert fact in facts, facts
        expect(page.locator("pre .h-k", has_text="SELECT").first).to_be_visible()
        assert "FROM raw.orders" in page.locator("pre").inner_text()

    def test_a_column_has_its_type_meaning_rules_and_glossary_entry(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "assets" / "stg.customers.html")
        kind, meaning, *_ = cells(page, "email")
        assert kind == "string"
        assert meaning.splitlines()[0].startswith("E-mail address the customer signed up with")
        assert "Each email has a value." in meaning
        page.get_by_role("link", name="Customer.Email").click()
        expect(page.locator("tr:target")).to_contain_text("stg.customers.email")

    def test_a_column_leads_to_where_it_comes_from_and_goes(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "assets" / "mart.customer_lifetime_value.html")
        assert cells(page, "revenue")[2].splitlines() == [
            "stg.orders.total_amount",
            "begins at public.orders.total_amount (pg-default)",
        ]
        page.get_by_role("link", name="stg.orders.total_amount").first.click()
        row = page.locator("tr:target")
        expect(row).to_contain_text("raw.orders.total_amount")
        expect(row).to_contain_text("mart.customer_lifetime_value.revenue")

    def test_a_check_is_said_in_words_with_its_place_and_last_result(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "assets" / "stg.orders.html")
        fails, result, declared = cells(
            page, "Each status is one of pending, paid, cancelled, shipped."
        )
        assert fails == "the table is not published"
        assert re.match(rf"✓ passed {MOMENT}", result)
        file, _, line = declared.partition(":")
        assert "accepted_values" in (local.ROOT / file).read_text().splitlines()[int(line) - 1]

    def test_its_neighbours_can_be_walked_along_in_the_picture(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "assets" / "mart.orders_daily.html")
        boxes = page.locator(".graph a[data-name]")
        names = boxes.evaluate_all("all => all.map(e => e.dataset.name)")
        assert {"raw.orders", "stg.orders", "mart.orders_daily", "report.sales"} <= set(names)
        assert "mart.top_skus" not in names
        page.locator(".graph a[data-name='stg.order_items']").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("stg.order_items")


class TestTheOtherPages:
    def test_a_term_of_the_glossary_lists_the_columns_that_extend_it(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "glossary.html")
        kind, meaning, columns = cells(page, "Order.TotalAmount")
        assert kind == "numeric"
        assert "Each total_amount is at least 0." in meaning
        assert columns == "stg.orders.total_amount"
        assert cells(page, "customer-management")[1] == "Data Team"

    def test_the_lineage_of_all_is_a_picture_and_a_table(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "lineage.html")
        expect(page.locator(".graph a rect")).to_have_count(27)
        reads, read_by = cells(page, "mart.revenue_by_product_variant")
        assert set(reads.splitlines()) == {
            "stg.orders",
            "stg.order_items",
            "stg.product_variants",
            "stg.products",
        }
        assert read_by == "mart.top_skus"
        page.locator(".graph a[data-name='mart.top_skus']").hover()
        on = page.locator(".graph path.on").evaluate_all("all => all.map(e => e.dataset.upstream)")
        assert sorted(on) == ["mart.revenue_by_product_variant", "mart.top_skus", "stg.products"]


class TestSearch:
    def test_the_name_that_is_meant_comes_first(self, site: Path, open_page: OpenPage) -> None:
        page = open_page(site / "index.html")
        page.keyboard.press("/")
        page.keyboard.type("top_skus")
        results = page.locator("#results li")
        expect(results.first).to_contain_text("mart.top_skus")
        results.first.get_by_role("link").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("mart.top_skus")

    def test_words_of_descriptions_find_columns_and_terms_from_any_page(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "assets" / "stg.orders.html")
        page.get_by_role("searchbox").fill("signed up mail")
        results = page.locator("#results a")
        expect(results).to_have_text(
            ["Customer.Email", "raw.customers.email", "stg.customers.email"]
        )
        expect(page.get_by_role("status")).to_have_text("3 found")
        results.last.click()
        expect(page.locator("tr:target")).to_contain_text("email")

    def test_a_slip_of_the_keyboard_is_forgiven_and_the_keyboard_is_enough(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "index.html")
        page.keyboard.press("/")
        page.keyboard.type("custmer emial")
        results = page.locator("#results")
        expect(results.locator("a")).to_have_text(
            ["Customer.Email", "raw.customers.email", "stg.customers.email"]
        )
        expect(results.locator("li").first).to_contain_text("this is for “customer email”")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        expect(results.locator("a", has_text="raw.customers")).to_be_focused()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        expect(page.get_by_role("searchbox")).to_be_focused()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Escape")
        expect(results).to_be_hidden()
        expect(page.get_by_role("searchbox")).to_be_focused()
        for word, meant in (
            ("ordres", "orders"),
            ("repaet", "repeat"),
            ("topp_skus", "top_skus"),
            ("profitabilit", "profitab"),
        ):
            page.get_by_role("searchbox").fill(word)
            expect(results.locator("a").first).to_contain_text(meant)
        page.get_by_role("searchbox").fill("mart.top_skus")
        expect(results.locator("a").first).to_have_text("mart.top_skus")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("mart.top_skus")

    def test_nothing_is_found_for_nonsense(self, site: Path, open_page: OpenPage) -> None:
        page = open_page(site / "glossary.html")
        page.get_by_role("searchbox").fill("xyzzy")
        expect(page.get_by_role("status")).to_have_text("0 found")


class TestLineage:
    def test_it_fits_its_width_in_bands_and_can_be_zoomed(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "lineage.html")
        bands = page.locator(".band text")
        assert bands.all_text_contents() == ["raw", "stg", "mart", "report"]
        panel, picture = page.locator(".graph .panel"), page.locator(".graph svg")

        def width() -> float:
            return float(picture.evaluate("e => e.getBoundingClientRect().width"))

        inner = panel.evaluate("e => e.clientWidth")
        assert width() <= inner
        before = width()
        page.get_by_role("button", name="Larger").click()
        assert width() == pytest.approx(before * 1.25, rel=0.01)
        panel.focus()
        page.keyboard.press("+")
        page.keyboard.press("-")
        page.keyboard.press("-")
        assert width() == pytest.approx(before, rel=0.01)
        panel.hover()
        page.keyboard.down("Control")
        page.mouse.wheel(0, -100)
        page.keyboard.up("Control")
        expect(picture).to_have_attribute("style", re.compile("width"))
        page.keyboard.press("0")
        assert width() == pytest.approx(inner, abs=2)

    def test_arrow_keys_walk_along_the_lines_and_down_the_list(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "lineage.html")

        def focused() -> str:
            return str(page.evaluate("document.activeElement.dataset.name"))

        page.locator(".graph a[data-name='mart.top_skus']").focus()
        page.keyboard.press("ArrowLeft")
        read = focused()
        assert read in {"mart.revenue_by_product_variant", "stg.products"}
        page.keyboard.press("ArrowRight")
        assert focused() != read
        page.locator(".graph a[data-name='raw.orders']").focus()
        page.keyboard.press("ArrowDown")
        below = focused()
        assert below.startswith("raw.")
        assert below != "raw.orders"
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(below)
        page.goto((site / "index.html").as_uri())
        page.get_by_role("link", name="raw.orders").focus()
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("link", name="raw.product_variants")).to_be_focused()


class TestReading:
    def test_everything_but_the_search_is_there_without_scripts(
        self, site: Path, open_page: OpenPage
    ) -> None:
        page = open_page(site / "assets" / "stg.orders.html", scripts=False)
        expect(page.get_by_role("searchbox")).to_be_hidden()
        expect(page.locator(".graph svg")).to_be_visible()
        expect(page.locator("[aria-labelledby=checks] tbody tr")).to_have_count(11)
        page.get_by_role("link", name="Lineage").click()
        expect(page.locator(".graph a rect")).to_have_count(27)
        assert fits(page)

    @pytest.mark.parametrize(
        "file", ["index.html", "lineage.html", "glossary.html", "assets/stg.orders.html"]
    )
    def test_every_page_fits_on_a_phone(self, site: Path, open_page: OpenPage, file: str) -> None:
        page = open_page(site / file, width=390)
        assert fits(page)
        assert page.locator("h1").bounding_box() is not None

    def test_dark_mode_is_followed(self, site: Path, open_page: OpenPage) -> None:
        page = open_page(site / "assets" / "stg.orders.html", dark=True)
        assert luminance(page, "body", "backgroundColor") < 40
        assert luminance(page, "pre .h-k", "color") > 120
        assert luminance(page, ".graph a text", "fill") > 200


class TestAnyPipeline:
    def test_names_and_texts_are_shown_as_text(self, tiny: Tiny, open_page: OpenPage) -> None:
        text = "'" + EVIL.replace("'", "''") + "'"
        header = (
            f"description: {text}\nowner: {text}\ntags: [{text}]\n"
            f"columns:\n  - name: n\n    description: {text}\n"
            f"custom_checks:\n  - {{name: one, description: {text}, query: SELECT 0}}"
        )
        tiny.sql("main.evil", f"SELECT 1 AS n -- {EVIL.replace('{{ 7 * 7 }}', '')}", header)
        tiny.write(
            "glossary.yml",
            f"domains: {{d: {{description: {text}}}}}\n"
            f"entities: {{E: {{description: {text}, attributes: {{A: {{description: {text}}}}}}}}}\n",
        )
        folder = tiny.folder / "docs"
        write_site(catalogue_of(load_project(tiny.directory)), folder)
        for file in ("index.html", "lineage.html", "glossary.html", "assets/main.evil.html"):
            page = open_page(folder / file)
            assert page.locator("img").count() == 0
            assert page.locator("script").count() == 1
        assert EVIL in page.inner_text("main")
        page.get_by_role("searchbox").fill("onerror")
        expect(page.locator("#results li")).to_have_count(3)
        assert EVIL in page.locator("#results").inner_text()
        assert page.locator("img").count() == 0

    def test_it_needs_no_warehouse_no_run_and_no_glossary(
        self, tiny: Tiny, open_page: OpenPage
    ) -> None:
        tiny.sql("numbers", "SELECT 1 AS n", "columns: [{name: n, checks: [{name: positive}]}]")
        folder = tiny.folder / "docs"
        project = load_project(tiny.directory)
        write_site(catalogue_of(project), folder)
        assert not tiny.warehouse.exists()
        page = open_page(folder / "assets" / "numbers.html")
        assert cells(page, "Each n is above 0.")[1] == "not known"
        expect(open_page(folder / "glossary.html").get_by_role("main")).to_contain_text(
            "no glossary.yml"
        )

    def test_names_become_files_that_no_file_system_mixes_up(self) -> None:
        names = ["raw.A", "raw.a", "../../etc/passwd", "..", "a b", "a/b", "ü", "x" * 300]
        pages = page_names(names)
        assert len({page.lower() for page in pages.values()}) == len(names)
        for page in pages.values():
            assert re.fullmatch(r"assets/[A-Za-z0-9_-][A-Za-z0-9_.-]*\.html", page)
            assert len(page) < 130

    def test_two_hundred_assets_make_small_pages(self, tiny: Tiny, open_page: OpenPage) -> None:
        columns = "\n".join(f"  - name: column_{n}" for n in range(10))
        for n in range(200):
            above = sorted({n // 2, n // 3} - {n})
            selected = ", ".join(f"{n} AS column_{m}" for m in range(10))
            tiny.sql(
                f"layer_{n.bit_length()}.table_{n}",
                f"SELECT {selected}",
                f"depends: [{', '.join(f'layer_{a.bit_length()}.table_{a}' for a in above)}]\n"
                f"columns:\n{columns}",
            )
        folder = tiny.folder / "docs"
        write_site(catalogue_of(load_project(tiny.directory)), folder)
        sizes = {file.name: file.stat().st_size for file in folder.rglob("*.*")}
        assert len(sizes) == 200 + 6
        assert max(sizes.values()) < 400_000, sizes
        page = open_page(folder / "lineage.html")
        expect(page.locator(".graph a rect")).to_have_count(200)
        page.get_by_role("searchbox").fill("table_199.column_9")
        expect(page.locator("#results a").first).to_have_text("layer_8.table_199.column_9")


class TestTheFolder:
    def test_a_folder_with_other_files_is_left_alone(self, day: Shop, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("precious")
        outcome = apart(day, "docs", "--output", str(tmp_path))
        assert outcome.code == 2
        assert "holds other files; name a new folder" in outcome.stderr
        assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]

    def test_pages_of_assets_that_are_gone_go_too(self, tiny: Tiny) -> None:
        gone = tiny.sql("main.gone", "SELECT 1 AS n")
        tiny.sql("main.stays", "SELECT 1 AS n")
        first = tiny.ecommerce("docs")
        assert first.succeeded, first.text
        folder = Path(first.stdout.strip()).parent
        assert (folder / "assets" / "main.gone.html").is_file()
        gone.unlink()
        assert tiny.ecommerce("docs").succeeded
        assert [file.name for file in (folder / "assets").iterdir()] == ["main.stays.html"]

    def test_mistakes_in_files_are_told_and_nothing_is_written(self, tiny: Tiny) -> None:
        tiny.sql("main.bad", "SELECT 1 AS n", "columns: [{name: n, checks: [{name: nonsense}]}]")
        outcome = tiny.ecommerce("docs")
        assert outcome.code == 2
        assert "unknown check 'nonsense'" in outcome.stderr
        assert not (tiny.folder / "state" / "docs").exists()


def test_an_asset_of_another_platform_is_listed_with_checks_that_only_it_knows(
    tiny: Tiny, open_page: OpenPage
) -> None:
    tiny.write(
        "pipeline/assets/elsewhere.sql",
        "/* @bruin\nname: lake.elsewhere\ntype: bq.sql\ncolumns:\n"
        "  - {name: n, nullable: false, checks: [{name: looks_good}]}\n@bruin */\nSELECT 1 AS n\n",
    )
    folder = tiny.folder / "docs"
    write_site(catalogue_of(load_project(tiny.directory)), folder)
    page = open_page(folder / "assets" / "lake.elsewhere.html")
    expect(page.locator("dl.facts").first).to_contain_text(
        "the type bq.sql is for another platform"
    )
    assert cells(page, "n")[1].split("\n") == ["Each n passes looks_good.", "Never NULL."]


class TestWhatDagsterKnows:
    """Results and rows of a pipeline that ran some times."""

    NUMBERS = "columns:\n  - {name: n, checks: [{name: positive}]}\n"
    PEOPLE = NUMBERS + "  - {name: email, mask: hash}\n"

    @pytest.fixture
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.ephemeral() as instance:
            yield instance

    def test_the_last_results_of_a_check_are_bars_as_high_as_its_bad_rows_are_many(
        self,
        tiny: Tiny,
        open_page: OpenPage,
        instance: dg.DagsterInstance,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(module, "_RESULTS", 5)
        for bad in (9, 0, 1, 4, 0, 0):
            query = f"SELECT n - {bad} AS n FROM range(1, 9) AS r(n)"
            tiny.sql("numbers", query, self.NUMBERS)
            run_all(tiny.definitions(), instance)
        folder = tiny.folder / "docs"
        write_site(catalogue_of(load_project(tiny.directory), instance), folder)
        page = open_page(folder / "assets" / "numbers.html", scripts=False)
        bars = page.locator(".bars rect")
        said = bars.evaluate_all("all => all.map(e => e.textContent)")
        assert [re.sub(MOMENT, "at", text) for text in said] == [
            "passed at",
            "failed at, 1 bad row (12.5%)",
            "failed at, 4 bad rows (50.0%)",
            "passed at",
            "passed at",
        ]
        heights = bars.evaluate_all("all => all.map(e => e.getBoundingClientRect().height)")
        assert heights[0] < heights[1] < heights[2]
        expect(page.locator(".bars")).to_have_attribute(
            "aria-label",
            re.compile(
                rf"5 results since {MOMENT}: failed on {MOMENT}, 1 bad row \(12.5%\)"
                rf"; {MOMENT}, 4 bad rows \(50.0%\)"
            ),
        )
        text = page.locator("td", has=page.locator(".bars")).inner_text()
        assert re.search(rf"since {MOMENT}: 2 of 5 failed, at most 4 bad rows \(50.0%\)", text)
        for shown in (page, open_page(folder / "assets" / "numbers.html", dark=True)):
            ground = luminance(shown, "body", "backgroundColor")
            for name in ("good", "bad"):
                assert abs(luminance(shown, f".bars rect.{name}", "fill") - ground) > 50

    def test_first_rows_are_shown_without_what_is_private(
        self, tiny: Tiny, open_page: OpenPage, instance: dg.DagsterInstance
    ) -> None:
        query = "SELECT 7 AS n, 'ada@example.com' AS email, '<b>' AS html"
        tiny.sql("open", query, self.PEOPLE)
        tiny.sql("closed", query, f"meta: {{preview: false}}\n{self.PEOPLE}")
        tiny.sql("later", query, self.PEOPLE.replace(", mask: hash", ""))
        tiny.sql("asked", query, f"meta: {{preview: true}}\n{self.PEOPLE}")
        run_all(tiny.definitions(), instance)
        # What was recorded before a mask was declared is not shown either.
        tiny.sql("later", query, self.PEOPLE)

        def rows(elsewhere: Elsewhere | None = None) -> dict[str, list[str]]:
            folder = tiny.folder / "docs"
            write_site(catalogue_of(load_project(tiny.directory), instance, elsewhere), folder)
            texts = [file.read_text() for file in folder.rglob("*.*")]
            assert not any("ada@example.com" in text.split("<pre")[0] for text in texts)
            return {
                name: open_page(folder / "assets" / f"{name}.html")
                .locator("table.rows tbody td")
                .all_text_contents()
                for name in ("open", "closed", "later", "asked")
            }

        row = ["7", "***", "<b>"]
        assert rows() == {"open": row, "closed": [], "later": row, "asked": row}
        # Pages for others have the rows of tables that ask for it.
        assert rows(Elsewhere(public=True)) == {"open": [], "closed": [], "later": [], "asked": row}

    def test_a_table_that_is_too_old_is_called_so(
        self, tiny: Tiny, open_page: OpenPage, instance: dg.DagsterInstance
    ) -> None:
        tiny.sql("old", "SELECT 1 AS n", "meta: {freshness: 1h}")
        run_all(tiny.definitions(), instance)
        catalogue = catalogue_of(load_project(tiny.directory), instance)
        folder = tiny.folder / "docs"
        write_site(catalogue, folder)
        expect(open_page(folder / "assets" / "old.html").locator(".facts").first).to_contain_text(
            "Fresh until"
        )
        write_site(replace(catalogue, written=catalogue.written + timedelta(hours=2)), folder)
        expect(open_page(folder / "assets" / "old.html").locator(".facts").first).to_contain_text(
            "Too old since"
        )
        expect(open_page(folder / "index.html").locator("tbody")).to_contain_text("too old")


def test_other_words_find_assets_columns_and_terms(tiny: Tiny, open_page: OpenPage) -> None:
    tiny.write(
        "glossary.yml",
        "entities: {Order: {attributes: {Total: {name: total, type: integer,"
        " meta: {synonyms: [basket value]}}}}}\n",
    )
    tiny.sql(
        "main.sales",
        "SELECT 1 AS total, 2 AS n",
        "meta: {synonyms: turnover}\ncolumns:\n  - {extends: Order.Total}\n"
        "  - {name: n, meta: {synonyms: [headcount]}}",
    )
    tiny.sql("main.turnover_tax", "SELECT 1 AS n")
    folder = tiny.folder / "docs"
    write_site(catalogue_of(load_project(tiny.directory)), folder)
    page = open_page(folder / "index.html")
    for words, found in {
        "turnover": ["main.sales", "main.turnover_tax"],
        "turnovr": ["main.sales", "main.turnover_tax"],
        "basket": ["Order.Total", "main.sales.total"],
        "headcont": ["main.sales.n"],
    }.items():
        page.get_by_role("searchbox").fill(words)
        expect(page.locator("#results a")).to_have_text(found)
    page.goto((folder / "assets" / "main.sales.html").as_uri())
    expect(page.locator(".facts").first).to_contain_text(
        "Also called\nturnover", use_inner_text=True
    )
    assert "Also called basket value" in cells(page, "total")[1]
    assert "Also called headcount" in cells(page, "n")[1]


def test_pages_lead_to_the_dashboard_and_to_dagster(site: Path, day: Shop, tiny: Tiny) -> None:
    # Pages for others lead to Dagster only where the pipeline says that it is.
    assert "127.0.0.1" not in (site / "index.html").read_text()
    assert apart(day, "docs").succeeded
    folder = day.home / "docs"
    text = (folder / "index.html").read_text()
    assert 'href="http://127.0.0.1:3000"' in text
    page = re.search(r'href="([^"]*sales\.html)">Dashboard', text)
    assert page
    assert (folder / page[1]).is_file()
    orders = (folder / "assets" / "stg.orders.html").read_text()
    assert 'href="http://127.0.0.1:3000/assets/stg/orders">Open in Dagster' in orders
    tiny.sql("main.t", "SELECT 1 AS n")
    tiny.write("pipeline/pipeline.yml", "name: tiny\nmeta: {dagster_url: 'https://d.example/'}\n")
    assert tiny.ecommerce("docs", "--output", str(tiny.folder / "public")).succeeded
    text = (tiny.folder / "public" / "assets" / "main.t.html").read_text()
    assert 'href="https://d.example/assets/main/t">Open in Dagster' in text
