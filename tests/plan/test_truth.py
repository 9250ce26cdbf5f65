"""Changes and what they do to each column of each table, written down by hand.

`C` other values, `B` breaking, `A` added, `R` removed; a text alone is meant for all columns. What a
case does not name is not affected. C also stands where nobody could prove that nothing changes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from ecommerce_dagster import local
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import read_project
from ecommerce_dagster.runtime.plan.impact import Impact, Side, compare

WORDS = {"C": "changed", "B": "breaking", "A": "added", "R": "removed", "-": "unaffected"}
Expected = Mapping[str, str | Mapping[str, str]]


class Case(NamedTuple):
    """A text in a file of a pipeline, by what it is replaced, and what that does."""

    file: str
    old: str | tuple[str, ...]
    new: str | tuple[str, ...]
    expected: Expected = {}


def columns(verdict: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, verdict)


STG, MART = "assets/stg/stg", "assets/mart/mart"
OF_CUSTOMERS: Expected = {
    "stg.customers": "C", "mart.customers_by_age": "C", "mart.customers_by_country": "C",
    "mart.customer_cohorts": "C", "mart.customer_lifetime_value": "C",
    "mart.order_lines_daily": "C", "mart.orders_daily": "C", "report.sales": "C",
}  # fmt: skip
# By country, which some group by.
OF_COUNTRY: Expected = {
    "mart.customers_by_country": "C", "mart.customer_cohorts": "C",
    "mart.customer_lifetime_value": {"country": "C"}, "mart.order_lines_daily": "C",
    "mart.orders_daily": "C", "report.sales": "C",
}  # fmt: skip
OF_VARIANTS: Expected = {
    "mart.order_lines_daily": "C", "mart.product_performance": "C",
    "mart.profitability_monthly": "C", "mart.revenue_by_product_variant": "C",
    "mart.top_skus": "C", "mart.variant_profitability": "C", "report.sales": "C",
}  # fmt: skip
OF_STATUS: Expected = {
    **OF_VARIANTS, "mart.orders_daily": "C", "mart.customer_cohorts": "C",
    "mart.customer_lifetime_value": "C", "mart.order_kpis_daily": "C",
    "mart.repeat_purchase_rate": "C",
}  # fmt: skip

SHOP = {
    "a comment": Case(f"{STG}.customers.sql", "    full_name,", "    -- the name\n    full_name,"),
    "white space": Case(f"{STG}.customers.sql", "    full_name,\n", "full_name ,\n\n"),
    "the case of a keyword": Case(f"{STG}.customers.sql", "\nFROM", "\nfrom"),
    "a column that nobody reads": Case(
        f"{STG}.customers.sql", "TRIM(email)", "LOWER(TRIM(email))", {"stg.customers": {"email": "C"}}
    ),
    "a column that is grouped by": Case(
        f"{STG}.customers.sql", "    age,", "    age + 1 AS age,",
        {"stg.customers": {"age": "C"}, "mart.customers_by_age": "C", "report.sales": "C"},
    ),
    "a column that several read": Case(
        f"{STG}.customers.sql", "'Unknown')", "'nowhere')",
        {"stg.customers": {"country": "C"}, **OF_COUNTRY},
    ),
    "a column renamed that nobody reads": Case(
        f"{STG}.customers.sql", ("AS email", "extends: Customer.Email"), ("AS mail", "name: mail"), {"stg.customers": {"email": "R", "mail": "A"}}
    ),
    "a column renamed that several read": Case(
        f"{STG}.customers.sql", "AS country", "AS land",
        {"stg.customers": {"country": "R", "land": "A"}, **dict.fromkeys(OF_COUNTRY, "B")},
    ),
    "a filter": Case(
        f"{STG}.customers.sql", "FROM raw.customers", "FROM raw.customers WHERE age > 3", OF_CUSTOMERS
    ),
    "a new column": Case(
        f"{STG}.customers.sql", "    age,", "    age,\n    age + 1 AS next_age,",
        {"stg.customers": {"next_age": "A"}},
    ),
    "a check": Case(
        f"{STG}.customers.sql", "  - extends: Customer.Age", "  - extends: Customer.Age\n    checks: [{name: not_null}]"
    ),
    "a check of the glossary": Case("../glossary.yml", "min: 0", "min: 1"),
    "a description of the glossary": Case("../glossary.yml", "Age in completed", "The age in completed"),
    "a type of the glossary": Case(
        "../glossary.yml", "name: age\n        type: integer", "name: age\n        type: bigint",
        {"stg.customers": {"age": "B"}, "mart.customers_by_age": "B", "report.sales": "C"},
    ),
    "an amount": Case(
        f"{STG}.orders.sql", "    total_amount\n", "    ABS(total_amount) AS total_amount\n",
        {
            "stg.orders": {"total_amount": "C"},
            "mart.sales_daily": {"revenue": "C"},
            "mart.orders_daily": {"ordered_value": "C"},
            "mart.order_kpis_daily": columns("C", "revenue", "average_order_value"),
            "mart.customer_cohorts": {"revenue": "C"},
            "mart.customer_lifetime_value": columns("C", "revenue", "average_order_value"),
            "report.sales": "C",
        },
    ),
    "a column that is filtered by": Case(
        f"{STG}.orders.sql", "    status,", "    LOWER(status) AS status,",
        {"stg.orders": {"status": "C"}, "mart.sales_daily": {"revenue": "C"}, **OF_STATUS},
    ),
    "a quantity": Case(
        f"{STG}.order_items.sql", "    quantity,", "    quantity + 0 AS quantity,",
        {
            "stg.order_items": {"quantity": "C"},
            "mart.order_kpis_daily": {"units_per_order": "C"},
            "mart.order_lines_daily": columns("C", "units", "cost", "profit"),
            "mart.orders_daily": {"units": "C"},
            "mart.product_performance": columns("C", "items_sold", "avg_item_price"),
            "mart.profitability_monthly": columns("C", "cost", "profit", "margin_pct"),
            "mart.revenue_by_product_variant": {"units": "C"},
            "mart.top_skus": columns("C", "rank", "units"),
            "mart.variant_profitability": columns("C", "items_sold", "cost", "profit", "margin_pct"),
            "report.sales": "C",
        },
    ),
    "the condition in a template": Case(
        f"{STG}.order_items.sql", "WHERE created_at", "WHERE quantity > 0 AND created_at",
        {"stg.order_items": "C", "mart.orders_daily": "C", "mart.order_kpis_daily": "C",
         "mart.sales_daily": "C", **OF_VARIANTS},
    ),
    "a name": Case(
        f"{STG}.products.sql", "    name,", "    TRIM(name) AS name,",
        {
            "stg.products": {"name": "C"},
            "mart.product_performance": {"product_name": "C"},
            "mart.top_skus": {"product_name": "C"},
            "mart.variant_profitability": {"product_name": "C"},
            "report.sales": "C",
        },
    ),
    "a filter that EXISTS reads": Case(
        f"{STG}.products.sql", "FROM raw.products", "FROM raw.products WHERE category <> 'x'",
        {"stg.products": "C", "stg.product_variants": "C", **OF_VARIANTS},
    ),
    "a price": Case(
        f"{STG}.product_variants.sql", "    v.selling_price,", "    ABS(v.selling_price) AS selling_price,",
        {
            "stg.product_variants": {"selling_price": "C"},
            "mart.variant_profitability": {"selling_price_below_cost": "C"},
            "report.sales": "C",
        },
    ),
    "the groups of a mart": Case(
        f"{MART}.customers_by_age.sql", "age < 25 THEN '18-24'", "age < 21 THEN '18-20'",
        {"mart.customers_by_age": "C", "report.sales": "C"},
    ),
    "the order of rows": Case(f"{MART}.sales_daily.sql", "ORDER BY d.sale_date", "ORDER BY d.sale_date DESC"),
    "a filter in a CTE": Case(
        f"{MART}.revenue_by_product_variant.sql", "'shipped')\n    GROUP BY i.variant_id\n)\n\nSELECT\n    v", "'sent')\n    GROUP BY i.variant_id\n)\n\nSELECT\n    v",
        {"mart.revenue_by_product_variant": "C", "mart.top_skus": "C", "report.sales": "C"},
    ),
    "an expression in a CTE": Case(
        f"{MART}.order_kpis_daily.sql", "COALESCE(SUM(total_amount), 0)", "COALESCE(SUM(total_amount), 1)",
        {"mart.order_kpis_daily": columns("C", "revenue", "average_order_value")},
    ),
    "a strategy": Case(f"{STG}.customers.sql", "create+replace", "truncate+insert", OF_CUSTOMERS),
    "an owner": Case(f"{STG}.customers.sql", "owner: Data Team", "owner: Other Team"),
    "a mask": Case(
        "assets/raw/raw.customers.asset.yml", "    description: E-mail", "    mask: hash\n    description: E-mail",
        {"raw.customers": {"email": "C"}, "stg.customers": {"email": "C"}},
    ),
    "a source": Case(
        "assets/raw/raw.customers.asset.yml", "public.customers", "public.people",
        {"raw.customers": "C", **OF_CUSTOMERS},
    ),
    "a variable": Case(
        "pipeline.yml", "default: false", "default: true",
        {"stg.orders": "C", "stg.order_items": "C", "mart.sales_daily": "C", **OF_STATUS},
    ),
    "the code of the report": Case("assets/report/sales.py", "from math import floor", "from math import ceil, floor", {"report.sales": "C"}),
}  # fmt: skip


def table(name: str, query: str, depends: str = "", more: str = "type: table") -> tuple[str, str]:
    text = f"/* @bruin\nname: {name}\ntype: duckdb.sql\ndepends: [{depends}]\n"
    header = more if "materialization" in more else f"materialization: {{{more}}}"
    return f"assets/{name}.sql", f"{text}{header}\n@bruin */\n{query}\n"


A = table("a", "SELECT 1 AS x, 2 AS y, 'z' AS s")
SEED = "name: seed\ntype: duckdb.seed\nparameters: {path: seed.csv}\ncolumns: [{name: x, type: integer}]\n"
PYTHON = '"""@bruin\nname: p\nmaterialization: {type: table}\n@bruin"""\n'

SMALL: dict[str, tuple[Mapping[str, str], dict[str, Case]]] = {
    "star": (
        dict([A, table("b", "SELECT * FROM a", "a"), table("c", "SELECT x FROM b", "b")]),
        {
            "added": Case("assets/a.sql", "2 AS y", "2 AS y, 3 AS n", {"a": {"n": "A"}, "b": {"n": "A"}}),
            "removed": Case("assets/a.sql", "2 AS y, ", "", {"a": {"y": "R"}, "b": {"y": "R"}}),
            "retyped": Case("assets/a.sql", "1 AS x", "1::BIGINT AS x", {n: {"x": "B"} for n in "abc"}),
            "swapped": Case("assets/a.sql", "1 AS x, 2 AS y", "2 AS y, 1 AS x"),
        },
    ),
    "union": (
        dict([A, table("b", "SELECT x, s FROM a UNION ALL SELECT y, s FROM a", "a"),
              table("c", "SELECT x, s FROM a UNION SELECT 1, 'q'", "a"),
              table("d", "SELECT s FROM b", "b")]),
        {
            "value": Case("assets/a.sql", "2 AS y", "3 AS y", {"a": {"y": "C"}, "b": {"x": "C"}}),
            "key": Case("assets/a.sql", "'z' AS s", "'q' AS s", {"a": {"s": "C"}, "b": {"s": "C"}, "c": "C", "d": "C"}),
            "kind": Case("assets/b.sql", "UNION ALL", "UNION", {"b": "C", "d": "C"}),
        },
    ),
    "order": (
        dict([table("o", "SELECT 1 AS x, 9 AS y UNION ALL SELECT 2, 8"), table("a", "SELECT x, y FROM o ORDER BY x", "o"),
              table("b", "SELECT x FROM a LIMIT 3", "a"), table("c", "SELECT max(x) AS m FROM a", "a"),
              table("d", "SELECT x, row_number() OVER () AS n FROM a", "a")]),
        {"sorted": Case("assets/a.sql", "ORDER BY x", "ORDER BY y", {"b": "C", "d": "C"})},
    ),
    "script": (
        dict([A, table("b", "CREATE OR REPLACE TABLE b AS SELECT x FROM a", "a", "type: none"),
              table("c", "SELECT x FROM b", "b")]),
        {"value": Case("assets/a.sql", "2 AS y", "3 AS y", {"a": {"y": "C"}, "b": "C", "c": "C"})},
    ),
    "hook": (
        dict([A, table("b", "SELECT 1 AS one", "a", "materialization: {type: table}\nhooks: {post: [{query: UPDATE b SET one = (SELECT max(y) FROM a)}]}"),
              table("c", "SELECT one FROM b", "b")]),
        {
            "read": Case("assets/a.sql", "2 AS y", "3 AS y", {"a": {"y": "C"}, "b": "C", "c": "C"}),
            "of another table": Case(
                "assets/b.sql", "UPDATE b SET one", "UPDATE a SET x", {"a": "C", "b": "C", "c": "C"}
            ),
            "changed": Case("assets/b.sql", "max(y)", "min(y)", {"b": "C", "c": "C"}),
        },
    ),
    "macro": (
        dict([table("m", "SELECT 1 AS one", "", "materialization: {type: table}\nhooks: {post: [{query: CREATE OR REPLACE MACRO twice(v) AS 2 * v}]}"),
              A, table("b", "SELECT twice(x) AS t FROM a", "a, m"), table("c", "SELECT upper(s) AS s FROM a", "a")]),
        {
            "changed": Case("assets/m.sql", "2 * v", "3 * v", {"m": "C", "b": "C"}),
            "read": Case("assets/a.sql", "2 AS y", "3 AS y", {"a": {"y": "C"}, "b": "C"}),
        },
    ),
    "templates": (
        {"macros/m.sql": "{% macro price(c) %}{{ c }} * 2{% endmacro %}",
         **dict([A, table("b", "SELECT {{ price('x') }} AS p, y FROM a", "a"),
                 table("c", "SELECT {% for c in ['x', 'y'] %}{{ c }} AS {{ c }}1, {% endfor %} s FROM a", "a"),
                 table("d", "SELECT x, y FROM a\nWHERE x < {{ end_date | replace('-', '') }}", "a")])},
        {
            "macro": Case("macros/m.sql", "* 2", "* 3", {"b": "C"}),
            "loop": Case("assets/c.sql", "['x', 'y']", "['x', 'x']", {"c": {"x1": "C", "x1_1": "A", "y1": "R", "s": "C"}}),
            "date": Case("assets/d.sql", "end_date", "start_date", {"d": "C"}),
            "column": Case("assets/d.sql", "SELECT x, y", "SELECT x, -y AS y", {"d": {"y": "C"}}),
        },
    ),
    "history": (
        dict([A, table("b", "SELECT x, y, s FROM a", "a", "materialization: {type: table, strategy: scd2_by_column}\ncolumns: [{name: x, type: integer, primary_key: true}]"),
              table("c", "SELECT x, y FROM a", "a", "materialization: {type: table, strategy: merge}\ncolumns: [{name: x, type: integer, primary_key: true}, {name: y, type: integer, update_on_merge: true}]")]),
        {"value": Case("assets/a.sql", "2 AS y", "3 AS y", {"a": {"y": "C"}, "b": "C", "c": "C"})},
    ),
    "files": (
        {"assets/seed.asset.yml": SEED, "assets/seed.csv": "x\n1\n", "assets/helper.py": "ONE = 1\n",
         "assets/p.py": f"{PYTHON}import helper\n\n\ndef materialize():\n    return [{{'x': helper.ONE}}]\n",
         "assets/q.py": f"{PYTHON.replace('name: p', 'name: q')}TABLE = 'a'\n", **dict([A, table("b", "SELECT x FROM seed", "seed")])},
        {
            "rows of a seed": Case("assets/seed.csv", "1", "2", {"seed": "C", "b": "C"}),
            "what Python imports": Case("assets/helper.py", "1", "2", {"p": "C"}),
            "a comment in Python": Case("assets/p.py", "import helper\n", "import helper  # one\n"),
            "what Python reads": Case("assets/a.sql", "2 AS y", "3 AS y", {"a": {"y": "C"}, "q": "C"}),
        },
    ),
    "names": (
        dict([A, table("b", "SELECT x AS k, k + 1 AS n, x AS o FROM a", "a"), table("c", "SELECT a FROM a", "a"),
              table("d", "SELECT l.x FROM a AS l NATURAL JOIN (SELECT 1 AS x, 9 AS k) AS r", "a"),
              table("e", "WITH RECURSIVE t AS (SELECT x FROM a UNION ALL SELECT x + 1 FROM t WHERE x < 3) SELECT x FROM t", "a"),
              table("f", "SELECT DISTINCT x, s FROM a", "a"), table("g", "SELECT count(*) AS n FROM a", "a")]),
        {
            "captured": Case("assets/a.sql", "2 AS y", "2 AS y, 5 AS k", {"a": {"k": "A"}, "b": {"n": "C"}, "c": "B", "d": "C", "e": "C"}),
            "value": Case("assets/a.sql", "'z' AS s", "'q' AS s", {"a": {"s": "C"}, "c": "C", "d": "C", "e": "C", "f": "C"}),
        },
    ),
    "assets": (
        dict([A, table("b", "SELECT x FROM a", "a"), table("c", "SELECT x FROM b", "b"), table("v", "SELECT y FROM a", "a", "type: view")]),
        {
            "disabled": Case("assets/a.sql", "name: a\n", "name: a\nenabled: false\n", {"a": "R", "b": "B", "c": "B", "v": "B"}),
            "renamed": Case("assets/c.sql", "name: c\n", "name: e\n", {"c": "R", "e": "A"}),
            "of a view": Case("assets/v.sql", "SELECT y", "SELECT y + 1 AS y", {"v": {"y": "C"}}),
        },
    ),
}  # fmt: skip


def side(folder: Path) -> Side:
    found = read_project(folder, ProblemLog())
    assert found is not None
    return Side(found)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Side]:
    """The shop's pipeline before any change."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / ".git").mkdir()
    shutil.copytree(local.PIPELINE, folder / "asset_specs")
    for name in ("glossary.yml", ".bruin.yml"):
        shutil.copy(local.ROOT / name, folder)
    return folder / "asset_specs", side(folder / "asset_specs")


def verdicts_after(case: Case, folder: Path, before: Side) -> dict[str, Impact]:
    file = folder / case.file
    text = file.read_text()
    changed = text
    pairs = (
        [(case.old, case.new)]
        if isinstance(case.old, str)
        else zip(case.old, case.new, strict=True)
    )
    for old, new in pairs:
        assert str(old) in text, old
        changed = changed.replace(str(old), str(new), 1)
    file.write_text(changed)
    try:
        return {impact.asset: impact for impact in compare(before, side(folder)).impacts}
    finally:
        file.write_text(text)


def judge(impacts: Mapping[str, Impact], expected: Expected) -> None:
    found: dict[str, object] = {}
    wanted: dict[str, object] = {}
    for name, impact in impacts.items():
        said = expected.get(name, {})
        found[name] = impact.columns or impact.verdict
        if isinstance(said, str):
            wanted[name] = dict.fromkeys(impact.columns, WORDS[said]) or WORDS[said]
        else:
            columns = {n: WORDS[said.get(n, "-")] for n in impact.columns}
            wanted[name] = columns or WORDS["-"]
            assert set(said) <= set(impact.columns), (name, impact.columns)
    assert found == wanted
    assert set(expected) <= set(impacts)


@pytest.mark.parametrize("name", SHOP)
def test_in_the_shop(name: str, shop: tuple[Path, Side]) -> None:
    judge(verdicts_after(SHOP[name], *shop), SHOP[name].expected)


@pytest.mark.parametrize("name", SMALL)
def test_in_a_small_pipeline(name: str, tmp_path: Path) -> None:
    files, cases = SMALL[name]
    for path, text in {"pipeline.yml": f"name: {name}\n", **files}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    before = side(tmp_path)
    wrong = {}
    for title, case in cases.items():
        # What Python imports is asked of the disk.
        fixed = Side(before.project, {a.name: before.files_of(a) for a in before.project.assets})
        try:
            judge(verdicts_after(case, tmp_path, fixed), case.expected)
        except AssertionError as error:
            wrong[title] = str(error)
    assert not wrong, "\n".join(f"{title}: {text}" for title, text in wrong.items())


def test_there_are_enough_of_them() -> None:
    count: Callable[[Mapping[str, object]], int] = len
    assert count(SHOP) + sum(count(cases) for _, cases in SMALL.values()) >= 40
    assert count(SMALL) >= 10
