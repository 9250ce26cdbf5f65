"""From which columns each column of a pipeline comes, down to those of PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project, read_project
from ecommerce_dagster.runtime.column_lineage import asset_lineage, origins, project_lineage
from ecommerce_dagster.sql.lineage.columns import ColumnRef, Table
from ecommerce_dagster.sql.lineage.query import Lineage

ROOT = Path(__file__).resolve().parents[2]

# Written by hand, from the queries.
TRUTH = {
    "mart.sales_daily": {
        "sale_date": "stg.orders.order_date",
        "orders_count": "stg.orders.order_id",
        "items_count": "stg.order_items.order_item_id stg.orders.order_id",
        "revenue": "stg.orders.status stg.orders.total_amount",
    },
    "mart.product_performance": {
        "product_id": "stg.products.product_id",
        "product_name": "stg.products.name",
        "category": "stg.products.category",
        "items_sold": "stg.order_items.quantity",
        "gross_revenue": "stg.order_items.total_price",
        "avg_item_price": "stg.order_items.quantity stg.order_items.total_price",
    },
    "mart.customer_lifetime_value": {
        "customer_id": "stg.customers.customer_id",
        "country": "stg.customers.country",
        "first_order_date": "stg.orders.order_date",
        "last_order_date": "stg.orders.order_date",
        "orders_count": "stg.orders.order_id",
        "revenue": "stg.orders.total_amount",
        "average_order_value": "stg.orders.order_id stg.orders.total_amount",
    },
    "mart.top_skus": {
        "rank": (
            "mart.revenue_by_product_variant.revenue mart.revenue_by_product_variant.units "
            "mart.revenue_by_product_variant.variant_id mart.revenue_by_product_variant.variant_sku"
        ),
        "variant_sku": "mart.revenue_by_product_variant.variant_sku",
        "product_name": "stg.products.name",
        "revenue": "mart.revenue_by_product_variant.revenue",
        "units": "mart.revenue_by_product_variant.units",
    },
    "mart.customers_by_age": {
        "age_group": "stg.customers.age",
        "total_customers": "stg.customers.customer_id",
    },
}


@pytest.fixture(scope="module")
def shop() -> Project:
    project = read_project(ROOT / "asset_specs", ProblemLog())
    assert project is not None
    return project


def written(lineage: Lineage) -> dict[str, str]:
    return {
        name: " ".join(sorted(f"{ref.table}.{ref.column}" for ref in refs))
        for name, refs in lineage.columns.items()
    }


@pytest.mark.parametrize("name", TRUTH)
def test_the_columns_of_a_mart_come_from_where_its_author_says(shop: Project, name: str) -> None:
    assert written(project_lineage(shop)[name]) == TRUTH[name]


def test_every_column_of_the_shop_leads_down_to_postgres_and_nowhere_else(shop: Project) -> None:
    lineage = project_lineage(shop)
    assert list(lineage) == [asset.name for asset in shop.assets]
    for asset in shop.assets:
        assert lineage[asset.name].gaps == (), asset.name
        assert list(lineage[asset.name].columns) == [column.name for column in asset.columns]
        for column in asset.columns:
            ends = origins(lineage, asset.name, column.name)
            assert ends, f"{asset.name}.{column.name}"
            assert {end.connection for end in ends} == {"pg-default"}
            assert all(end.table.startswith("public.") for end in ends)


def test_the_origin_of_a_mart_is_found_through_all_layers(shop: Project) -> None:
    assert origins(project_lineage(shop), "mart.top_skus", "product_name") == {
        ColumnRef("public.products", "name", "pg-default")
    }


def pipeline(root: Path, **files: str) -> Project:
    """A pipeline of these assets, by schema__name."""
    (root / "assets").mkdir()
    (root / "pipeline.yml").write_text("name: shop\n")
    for name, text in files.items():
        suffix = "sql" if "@bruin */" in text else "py" if "@bruin" in text else "asset.yml"
        (root / "assets" / f"{name.replace('__', '.')}.{suffix}").write_text(dedent(text))
    log = ProblemLog()
    project = read_project(root, log)
    assert project is not None, log.problems
    assert not log.errors, log.errors
    return project


INGESTED = """
    type: ingestr
    parameters: {{source_connection: pg, source_table: '{table}', destination: duckdb}}
    columns: [{{name: id, type: bigint}}, {{name: Total, type: bigint}}]
"""
SQL = "/* @bruin\ntype: duckdb.sql\nmaterialization: {{type: table}}\n{more}\n@bruin */\n{sql}"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("sales.orders", {"id": "sales.orders.id", "Total": "sales.orders.Total"}),
        ("orders", {"id": "public.orders.id", "Total": "public.orders.Total"}),
        (
            "query:SELECT o.id, sum(l.price) AS total FROM shop.orders o JOIN shop.lines l USING (id) GROUP BY 1",
            {"id": "shop.orders.id", "Total": "shop.lines.price"},
        ),
        ("query:SELECT id, 1 AS total FROM orders", {"id": "orders.id", "Total": ""}),
    ],
)
def test_an_ingested_column_comes_from_a_column_of_postgres(
    tmp_path: Path, table: str, expected: dict[str, str]
) -> None:
    project = pipeline(tmp_path, raw__t=INGESTED.format(table=table))
    lineage = project_lineage(project)["raw.t"]
    assert written(lineage) == expected
    assert {ref.connection for refs in lineage.columns.values() for ref in refs} == {"pg"}


def test_upstreams_in_the_file_go_before_what_the_query_says(tmp_path: Path) -> None:
    more = (
        "columns: [{name: b, upstreams: [{table: RAW.T, column: Total}, {table: x.y, column: z}]}]"
    )
    project = pipeline(
        tmp_path,
        raw__t=INGESTED.format(table="t"),
        stg__t=SQL.format(more=more, sql="SELECT id AS a, id AS b FROM raw.t"),
    )
    assert written(project_lineage(project)["stg.t"]) == {"a": "raw.t.id", "b": "raw.t.Total x.y.z"}


def test_a_star_brings_the_columns_that_the_tables_below_are_known_to_have(tmp_path: Path) -> None:
    project = pipeline(
        tmp_path,
        raw__t=INGESTED.format(table="t"),
        stg__t=SQL.format(more="depends: [raw.t]", sql="SELECT *, id + 1 AS Next FROM raw.t"),
        mart__t=SQL.format(more="depends: [stg.t]", sql="SELECT * FROM stg.t"),
    )
    found = project_lineage(project)["mart.t"]
    assert written(found) == {"id": "stg.t.id", "Total": "stg.t.Total", "Next": "stg.t.Next"}
    assert origins(project_lineage(project), "mart.t", "Next") == {
        ColumnRef("public.t", "id", "pg")
    }


def test_what_the_warehouse_says_of_columns_fills_what_no_file_says(tmp_path: Path) -> None:
    undeclared = INGESTED.format(table="t").split("columns:")[0]
    project = pipeline(
        tmp_path, raw__t=undeclared, stg__t=SQL.format(more="", sql="SELECT * FROM raw.t")
    )
    stg = project.by_name["stg.t"]
    assert project_lineage(project)["stg.t"] == Lineage(
        {}, ("the columns that * stands for are not known",)
    )
    table = Table("raw.t", ("id", "size"), complete=True)
    found = asset_lineage(project, stg, [table], ("id", "size", "loaded_at"))
    assert written(found) == {"id": "raw.t.id", "size": "raw.t.size", "loaded_at": ""}
    assert found.gaps == ()


def test_code_and_queries_that_cannot_be_read_are_named_and_spoil_no_other_asset(
    tmp_path: Path,
) -> None:
    project = pipeline(
        tmp_path,
        raw__p='"""@bruin\ntype: python\nmaterialization: {type: table}\ncolumns: [{name: a}]\n@bruin"""\n',
        stg__w=SQL.format(more="columns: [{name: a}]", sql="SELECT a FRM raw.p"),
        stg__v=SQL.format(more="", sql="SELECT a FROM raw.p"),
    )
    found = project_lineage(project)
    assert found["raw.p"] == Lineage({"a": frozenset()}, ("Python code is not read",))
    assert written(found["stg.w"]) == {"a": ""}
    assert found["stg.w"].gaps[0].startswith("the SQL cannot be followed: ")
    assert written(found["stg.v"]) == {"a": "raw.p.a"}
