"""The shop with thirty days of data, and what someone who changes it does: plan, try, publish."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from orchestration.helpers import ROOT, NewShop, Outcome, Shop

FIRST, LAST = "2025-02-01", "2025-03-02"


class Checkout:
    """A copy of the shop's files, over tables that were built from them."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop, self.folder = shop, folder
        for name in ("asset_specs", "glossary.yml", ".bruin.yml"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)

    def ecommerce(self, command: str, *arguments: str) -> Outcome:
        folder = str(self.folder / "asset_specs")
        return self.shop.invoke(command, *arguments, "--pipeline", folder)

    def change(self, name: str, old: str, new: str) -> None:
        """Replace a part of the file of an asset."""
        (path,) = (self.folder / "asset_specs").rglob(f"{name}.sql")
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def plan(self, code: int = 0) -> dict[str, Any]:
        outcome = self.ecommerce("plan", "--output", "json")
        assert outcome.code == code, outcome.text
        found: dict[str, Any] = json.loads(outcome.stdout)
        return found

    def verdicts(self, code: int = 0) -> dict[str, str]:
        """What the plan says of each table that may be another."""
        return {each["asset"]: each["verdict"] for each in self.plan(code)["impacts"]}


@pytest.fixture(scope="module")
def month(new_shop: NewShop, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    shop = new_shop()
    shop.generate(
        *("--starting-at", FIRST, "--ending-at", f"{LAST}T23:59:59", "--customers", "60"),
        *("--orders", "400"),
    )
    found = Checkout(shop, tmp_path_factory.mktemp("checkout"))
    built = found.ecommerce("run", "--start-date", FIRST, "--end-date", LAST)
    assert built.succeeded, built.text
    return found


@pytest.fixture
def checkout(month: Checkout, tmp_path: Path) -> Checkout:
    """The files as they were, over the same tables, which a test must leave as they are."""
    return Checkout(month.shop, tmp_path)


def test_a_comment_changes_nothing(checkout: Checkout) -> None:
    checkout.change("mart.sales_daily", "SELECT\n    d.sale_date", "-- By day.\nSELECT d.sale_date")
    assert checkout.plan()["changes"] == []
    assert checkout.plan()["run"] == []


def test_a_new_column_is_added_and_nothing_else_is_another(checkout: Checkout) -> None:
    before = checkout.shop.tables()
    checkout.change(
        "mart.customers_by_country",
        "COUNT(*) AS total_customers",
        "COUNT(*) AS total_customers,\n    COUNT(age) AS with_age",
    )
    verdicts = checkout.verdicts()
    assert verdicts.pop("mart.customers_by_country") == "added"
    assert {name for name, verdict in verdicts.items() if verdict != "unaffected"} == {
        "report.sales"  # Python, which may read all columns
    }
    tried = checkout.ecommerce("try", "--output", "json")
    assert tried.succeeded, tried.text
    differs = {each["name"]: each for each in json.loads(tried.stdout)}
    assert [*differs] == ["mart.customers_by_country"]
    found = differs["mart.customers_by_country"]
    assert found["new_columns"] == {"with_age": "BIGINT"}
    assert (found["added"], found["removed"], found["changed"]) == (0, 0, 0)
    assert checkout.shop.tables() == before


def test_a_renamed_column_breaks_what_reads_it(checkout: Checkout) -> None:
    before = checkout.shop.tables()
    checkout.change("stg.customers", "'Unknown') AS country", "'Unknown') AS land")
    verdicts = checkout.verdicts(code=1)
    broken = {name for name, verdict in verdicts.items() if verdict == "breaking"}
    assert {"mart.customers_by_country", "mart.customer_cohorts", "mart.orders_daily"} <= broken
    assert verdicts["mart.customers_by_age"] == "unaffected"
    tried = checkout.ecommerce("try")
    assert tried.code == 1
    assert checkout.shop.tables() == before


def test_a_check_that_todays_data_break_is_seen_and_publishes_nothing(checkout: Checkout) -> None:
    shop = checkout.shop
    before = shop.tables()
    [(wrong,)] = shop.query("SELECT count(*) FROM mart.sales_daily WHERE orders_count > 12")
    assert wrong
    checkout.change(
        "mart.sales_daily",
        "custom_checks:\n",
        "custom_checks:\n  - name: never busy\n    value: 0\n"
        "    query: SELECT COUNT(*) FROM mart.sales_daily WHERE orders_count > 12\n",
    )
    assert set(checkout.verdicts().values()) <= {"unaffected"}
    assert checkout.plan()["checks"] == ["mart.sales_daily"]
    tried = checkout.ecommerce("try")
    assert tried.code == 1
    assert "never busy" in tried.stdout
    assert "mart.sales_daily: not compared: it was not built" in tried.stdout
    assert shop.tables() == before


def test_another_expression_is_compared_published_and_the_same_as_built_anew(
    month: Checkout, tmp_path: Path
) -> None:
    """The only one that changes the tables: the last."""
    shop, checkout = month.shop, Checkout(month.shop, tmp_path)
    before = shop.tables()
    planted = shop.query(
        "SELECT CAST(make_timestamp(epoch_us(order_date)) AS DATE) AS day, sum(total_amount) "
        "FROM stg.orders WHERE status = 'shipped' GROUP BY day ORDER BY day"
    )
    checkout.change("mart.sales_daily", "IN ('paid', 'shipped')", "IN ('paid')")
    verdicts = checkout.verdicts()
    assert verdicts["mart.sales_daily"] == "changed"

    tried = checkout.ecommerce("try", "--keep", "--output", "json", "--limit", "100")
    assert tried.succeeded, tried.text
    [sales] = [each for each in json.loads(tried.stdout) if each["name"] == "mart.sales_daily"]
    assert (sales["added"], sales["removed"], sales["changed"]) == (0, 0, len(planted))
    [revenue] = sales["columns"]
    assert revenue["name"] == "revenue"
    assert [each["key"]["sale_date"] for each in revenue["examples"]] == [
        str(day) for day, _ in planted
    ]
    kept = {name: of for name, of in shop.tables().items() if not name.startswith("try_")}
    assert kept == before

    published = checkout.ecommerce("run", "--modified+", "--tried")
    assert published.succeeded, published.text
    assert "published as tried: mart.sales_daily" in published.stderr
    assert (
        shop.runs()[0]
        .tags["ecommerce/changes"]
        .startswith("changed since the last builds: mart.sales_daily")
    )
    promoted = shop.tables()
    assert promoted.keys() == before.keys()
    assert {name for name in before if promoted[name] != before[name]} == {"mart.sales_daily"}
    again = checkout.ecommerce("run", "mart.sales_daily")
    assert again.succeeded, again.text
    assert shop.tables() == promoted
