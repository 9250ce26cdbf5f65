"""Wrong sizes in the source: what stops, what stays, what is told, and what repairs it."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from orchestration.helpers import ONE_DAY, NewShop, Outcome, Shop

CHECK = "validate_product_variant_sizes"
BELOW_THE_VARIANTS = {
    "mart.order_lines_daily",
    "mart.product_performance",
    "mart.variant_profitability",
    "mart.revenue_by_product_variant",
    "mart.profitability_monthly",
    "mart.top_skus",
}
REPORT = "report.sales"


@pytest.fixture(scope="module")
def shop(new_shop: NewShop, day: Shop) -> Shop:
    """A good day, then a load with 5 % wrong sizes."""
    shop = new_shop(like=day)
    shop.generate(*ONE_DAY, "--chaos-percent", "5")
    return shop


@pytest.fixture(scope="module")
def outcome(shop: Shop) -> Outcome:
    return shop.ecommerce("run")


@pytest.fixture(scope="module")
def results(shop: Shop, outcome: Outcome) -> dict[str, Any]:
    """The check results of the run, by `asset:check`."""
    events = shop.events(dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    data = [event.asset_check_evaluation_data for event in events]
    return {f"{d.asset_key.to_user_string()}:{d.check_name}": d for d in data}


@pytest.fixture(scope="module")
def repaired(shop: Shop, results: dict[str, Any], new_shop: NewShop) -> tuple[Shop, Outcome]:
    """The shop, a clean load and a run later."""
    later = new_shop(like=shop)
    later.generate(*ONE_DAY)
    return later, later.invoke("run")


def statuses(outcome: Outcome, word: str) -> set[str]:
    return {line.split()[1] for line in outcome.stdout.splitlines() if line.startswith(word)}


class TestTheRun:
    def test_it_fails(self, outcome: Outcome) -> None:
        assert outcome.code == 1

    def test_only_the_variants_fail(self, outcome: Outcome) -> None:
        assert statuses(outcome, "FAIL") == {"stg.product_variants"}

    def test_exactly_the_assets_below_the_variants_are_skipped(self, outcome: Outcome) -> None:
        assert statuses(outcome, "SKIP") == {*BELOW_THE_VARIANTS, REPORT}

    def test_everything_else_is_built(self, outcome: Outcome) -> None:
        passed = statuses(outcome, "PASS")
        assert len(passed) == 26 - 1 - len(BELOW_THE_VARIANTS)
        built = {"mart.sales_daily", "mart.customers_by_age", "mart.customers_by_country"}
        assert built < passed

    def test_the_terminal_shows_the_bad_rows(self, shop: Shop, outcome: Outcome) -> None:
        bad = wrong_sizes(shop)
        assert len(bad) == 6
        for sku in bad:
            assert sku in outcome.stdout
        assert "returned 6; expected 0" in outcome.stdout


class TestTheCheck:
    def test_it_failed_with_six_rows(self, results: dict[str, Any]) -> None:
        check = results[f"stg/product_variants:{CHECK}"]
        assert not check.passed
        assert check.severity == dg.AssetCheckSeverity.ERROR
        assert check.metadata["bad_rows"].value == 6

    def test_its_bad_rows_are_a_table_in_its_metadata(
        self, shop: Shop, results: dict[str, Any]
    ) -> None:
        sample = results[f"stg/product_variants:{CHECK}"].metadata["bad_rows_sample"]
        assert isinstance(sample, dg.TableMetadataValue)
        assert {column.name for column in sample.schema.columns} >= {
            "variant_id",
            "variant_sku",
            "category",
            "size",
        }
        assert {row.data["variant_sku"] for row in sample.records} == wrong_sizes(shop)
        assert len(sample.records) == 6

    def test_its_metadata_has_the_sql_that_finds_them(
        self, shop: Shop, results: dict[str, Any]
    ) -> None:
        text = results[f"stg/product_variants:{CHECK}"].metadata["bad_rows_sql"].value
        sql = text.removeprefix("```sql\n").removesuffix("\n```")
        # The bad rows were never published, so they are looked for where they came from.
        sql = sql.replace(
            "stg.product_variants", "(SELECT *, id AS variant_id FROM raw.product_variants)"
        )
        assert len(shop.query(sql)) == 6

    def test_every_other_result_of_the_run_is_recorded(self, results: dict[str, Any]) -> None:
        others = {name: r for name, r in results.items() if not name.endswith(CHECK)}
        assert all(result.passed for result in others.values())
        of_the_variants = [name for name in others if name.startswith("stg/product_variants:")]
        assert len(of_the_variants) == 13
        assert any(name.startswith("mart/sales_daily:") for name in others)


class TestTheTables:
    def test_the_variants_are_those_of_before(
        self, day: Shop, shop: Shop, outcome: Outcome
    ) -> None:
        assert shop.tables()["stg.product_variants"] == day.tables()["stg.product_variants"]
        assert wrong_sizes(shop)  # while the raw table has the new ones

    def test_the_marts_below_them_are_those_of_before(
        self, day: Shop, shop: Shop, outcome: Outcome
    ) -> None:
        before, after = day.tables(), shop.tables()
        for mart in BELOW_THE_VARIANTS:
            assert after[mart] == before[mart]

    def test_dagster_has_no_materialization_of_them(self, shop: Shop, outcome: Outcome) -> None:
        events = shop.events(dg.DagsterEventType.ASSET_MATERIALIZATION)
        built = {".".join(event.asset_key.path) for event in events}
        assert not built & {"stg.product_variants", *BELOW_THE_VARIANTS, REPORT}
        assert len(built) == 19

    def test_the_run_did_not_retry_a_failed_check(self, shop: Shop, outcome: Outcome) -> None:
        assert not shop.events(dg.DagsterEventType.STEP_UP_FOR_RETRY)
        assert "RETRY" not in outcome.stdout


class TestTheRepair:
    def test_a_clean_load_and_a_run_succeed(self, repaired: tuple[Shop, Outcome]) -> None:
        _, outcome = repaired
        assert outcome.succeeded, outcome.text

    def test_the_marts_are_those_of_the_clean_data(
        self, day: Shop, repaired: tuple[Shop, Outcome]
    ) -> None:
        shop, _ = repaired
        before, after = day.tables(), shop.tables()
        assert {t: after[t] for t in after if t.startswith("mart.")} == {
            t: before[t] for t in before if t.startswith("mart.")
        }


def wrong_sizes(shop: Shop) -> set[str]:
    """The codes of the variants in the raw table whose size is of the wrong kind."""
    rows = shop.query(
        "SELECT variant_sku FROM raw.product_variants v JOIN raw.products p ON p.id = v.product_id"
        " WHERE regexp_full_match(v.size, '[0-9]+') <> (p.category = 'shoes')"
    )
    return {row[0] for row in rows}
