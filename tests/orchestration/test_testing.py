"""What docs/testing-your-pipeline.md says works, and what `run_asset` refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from ecommerce_dagster import AssetError, ConfigurationError, ProjectError
from ecommerce_dagster.testing import run_asset
from orchestration.helpers import ROOT, Tiny, checks_recorded, clean_environment, materialized

PAGE = (ROOT / "docs" / "testing-your-pipeline.md").read_text()
FILES = dict(re.findall(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def test_the_page_is_true(tmp_path: Path) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    tests = [name for name in FILES if name.startswith("tests/")]
    assert len(tests) == 2
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tmp_path,
        env=clean_environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"{sum(text.count('def test_') for text in FILES.values())} passed" in done.stdout
    assert not (tmp_path / "warehouse.duckdb").exists()


class TestRunAsset:
    @pytest.fixture
    def orders(self, tiny: Tiny) -> Path:
        tiny.write(
            "pipeline/pipeline.yml", "name: tiny\nvariables: {limit: {type: integer, default: 1}}\n"
        )
        tiny.sql(
            "raw.orders",
            "SELECT 1",
            "columns: [{name: id, type: integer}, {name: day, type: date}]",
        )
        query = "SELECT * FROM raw.orders ORDER BY id LIMIT {{ var.limit }}"
        return tiny.sql("mart.orders", query, "depends: [raw.orders]")

    def test_rows_have_the_declared_types(self, orders: Path) -> None:
        rows = run_asset(orders, {"raw.orders": [{"id": "2", "day": "2025-03-01"}]})
        assert rows == [{"id": 2, "day": date(2025, 3, 1)}]

    def test_variables_have_other_values(self, orders: Path) -> None:
        given = {"raw.orders": [{"id": number} for number in range(5)]}
        assert len(run_asset(orders, given)) == 1
        assert len(run_asset(orders, given, variables={"limit": 3})) == 3

    def test_values_without_a_declared_type_are_those_of_python(self, tiny: Tiny) -> None:
        row = {
            "n": 1,
            "price": Decimal("1.10"),
            "day": date(2025, 3, 1),
            "at": datetime(2025, 3, 1, 12),
            "instant": datetime(2025, 3, 1, 12, tzinfo=UTC),
            "text": "it's",
            "nothing": None,
            "yes": True,
            "list": [1, 2],
        }
        path = tiny.sql("mart.t", "SELECT * FROM elsewhere.t")
        [found] = run_asset(path, {"elsewhere.t": [row]})
        assert found["instant"].astimezone(UTC) == row["instant"]
        assert {**found, "instant": row["instant"]} == row

    @pytest.mark.parametrize(
        ("column", "values"),
        [
            ("columns: [{name: n, type: 'decimal(10,2)'}]", [Decimal("10.00"), Decimal("2.50")]),
            ("", ["10", "2.50"]),
        ],
    )
    def test_a_number_in_a_text_beside_an_integer_is_not_rounded(
        self, tiny: Tiny, column: str, values: list[object]
    ) -> None:
        tiny.sql("raw.t", "SELECT 1", column)
        path = tiny.sql("mart.t", "SELECT n FROM raw.t", "depends: [raw.t]")
        rows = run_asset(path, {"raw.t": [{"n": 10}, {"n": "2.50"}]})
        assert [row["n"] for row in rows] == values

    def test_the_clock_and_the_interval_are_those_of_the_day(self, tiny: Tiny) -> None:
        query = (
            "SELECT current_date AS today, '{{ start_date }}' AS first, '{{ end_date }}' AS last"
        )
        path = tiny.sql("mart.t", query)
        expected = {"today": date(2025, 3, 4), "first": "2025-03-04", "last": "2025-03-04"}
        assert run_asset(path, execution_time="2025-03-04") == [expected]
        assert run_asset(path, execution_time=datetime(2025, 3, 4, 9)) == [expected]

    def test_a_query_for_postgres_runs_as_well(self, tiny: Tiny) -> None:
        path = tiny.write(
            "pipeline/assets/p.sql",
            "/* @bruin\nname: mart.p\ntype: pg.sql\nmaterialization: {type: table}\n@bruin */\n"
            "SELECT n::int4 AS n FROM raw.t WHERE name ~ '^a'\n",
        )
        rows = [{"n": 1, "name": "ab"}, {"n": 2, "name": "ba"}]
        assert run_asset(path, {"raw.t": rows}) == [{"n": 1}]

    def test_it_opens_no_warehouse(self, tiny: Tiny, orders: Path) -> None:
        run_asset(orders)
        assert not tiny.warehouse.exists()

    def test_rows_of_a_table_that_is_not_read_are_refused(self, orders: Path) -> None:
        said = r"mart\.orders\.sql:9: the query does not read 'raw\.order'; did you mean 'raw\.orders'\?"
        with pytest.raises(AssetError, match=said):
            run_asset(orders, {"raw.order": [{"id": 1}]})

    def test_a_table_that_nobody_describes_has_to_be_given(self, tiny: Tiny) -> None:
        path = tiny.sql("mart.t", "SELECT * FROM elsewhere.t")
        with pytest.raises(
            AssetError, match="Rows of the tables that it reads are given in `inputs`"
        ):
            run_asset(path)

    def test_a_value_that_does_not_fit_is_told_by_file(self, orders: Path) -> None:
        with pytest.raises(AssetError, match=r"mart\.orders\.sql:9: .*tomorrow"):
            run_asset(orders, {"raw.orders": [{"day": "tomorrow"}]})

    def test_what_has_no_query_is_refused(self, tiny: Tiny) -> None:
        path = tiny.write("pipeline/assets/x.asset.yml", "name: a.x\ntype: empty\n")
        with pytest.raises(AssetError, match="of the type empty"):
            run_asset(path)

    def test_a_file_that_is_no_asset_is_refused(self, tiny: Tiny, orders: Path) -> None:
        with pytest.raises(
            ConfigurationError,
            match=r"is no asset of the pipeline .* did you mean 'mart.orders.sql'",
        ):
            run_asset(orders.with_name("mart.order.sql"))
        with pytest.raises(ConfigurationError, match="is in no pipeline"):
            run_asset(tiny.folder / "t.sql")

    def test_a_pipeline_with_mistakes_is_told(self, tiny: Tiny, orders: Path) -> None:
        tiny.sql("mart.bad", "SELECT 1", "depends: [nobody]")
        with pytest.raises(ProjectError, match="the dependency 'nobody' does not exist"):
            run_asset(orders)


def test_checks_of_sources_that_other_code_makes_are_asked_in_a_test(
    tiny: Tiny, instance: dg.DagsterInstance
) -> None:
    tiny.rates()
    with duckdb.connect(str(tiny.warehouse)) as warehouse:
        warehouse.execute("CREATE SCHEMA ext; CREATE TABLE ext.rates AS SELECT 1.0 AS rate")
    defs = tiny.definitions()
    result = dg.materialize(
        [*(defs.assets or ()), *(defs.asset_checks or ())],
        resources=defs.resources,
        selection=dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks(),
        instance=instance,
    )
    assert materialized(result) == ["mart/t"]
    assert set(checks_recorded(result)) == {"finance/rates:rate__positive"}
