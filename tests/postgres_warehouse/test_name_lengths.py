"""PostgreSQL cuts names at 63 bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sources.seeds.seed import Seed
from ecommerce_dagster.warehouses.postgres.name_lengths import lint_lengths
from ecommerce_dagster.warehouses.sql_asset import AssetError
from postgres_warehouse.helpers import TABLE, VIEW, Warehouse, asset_of

LONG = "n" * 64
KEY = "columns: [{name: id, primary_key: true}, {name: v, update_on_merge: true}]\n"
STRATEGIES = [
    TABLE,
    VIEW,
    "materialization: {type: table, strategy: append}",
    "materialization: {type: table, strategy: delete+insert, incremental_key: id}",
    KEY + "materialization: {type: table, strategy: merge}",
    KEY + "materialization: {type: table, strategy: scd2_by_column}",
]


@pytest.mark.parametrize("how", STRATEGIES)
@pytest.mark.parametrize("name", ["t" * 63, "ü" * 31 + "t"])
def test_names_of_63_bytes_are_built_again_and_again(w: Warehouse, how: str, name: str) -> None:
    for schema in ("s" * 63, "mart"):
        for _ in range(2):
            w.run(f"name: {schema}.{name}\n{how}", "SELECT 1 AS id, 2 AS v")
        assert w.kind(f"{schema}.{name}") in {"table", "view"}
        assert {row[:2] for row in w.rows(f"{schema}.{name}")} == {(1, 2)}


@pytest.mark.parametrize("how", STRATEGIES)
@pytest.mark.parametrize("name", ["mart." + "t" * 64, "mart." + "ü" * 32, "s" * 64 + ".t"])
def test_longer_ones_are_refused(w: Warehouse, how: str, name: str) -> None:
    with pytest.raises(AssetError, match=r"t\.sql:10: .* has 64 bytes, and PostgreSQL keeps 63"):
        w.run(f"name: {name}\n{how}", "SELECT 1 AS id, 2 AS v")
    assert w.sql("SELECT relname FROM pg_class WHERE relname ~ '^(t|ü)+$'") == []


def test_columns_that_arrive_with_a_longer_name_are_refused(w: Warehouse, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"id,{'c' * 64}\n1,2\n")
    asset = asset_of(f"type: pg.seed\nparameters: {{path: '{path}'}}")
    with pytest.raises(Exception, match="the name 'c+' has 64 bytes"):
        w.publish(asset, Seed(asset, tmp_path))


@pytest.mark.parametrize("how", [TABLE, VIEW, STRATEGIES[2]])
@pytest.mark.parametrize(
    ("sql", "line"),
    [
        (f"SELECT 1 AS id,\n 2 AS v, 3 AS {LONG}", 11),
        (f"SELECT 1 AS id, 2 AS v,\n\n 3 AS {'ü' * 32}", 12),
        (f'SELECT 1 AS id, 2 AS v,\n 3 AS "{"A " * 32}"', 11),
        (f'SELECT 1 AS id, 2 AS v,\n 3 AS "a""{"b" * 63}"', 11),
        (f"WITH\n{LONG} AS (SELECT 1 AS id, 2 AS v)\nSELECT * FROM {LONG}", 11),
        (f"SELECT *\nFROM (SELECT 1 AS id, 2 AS v) AS {LONG}", 11),
    ],
)  # fmt: skip
def test_a_name_in_a_query_is_not_cut(w: Warehouse, how: str, sql: str, line: int) -> None:
    message = rf"t\.sql:{line}: the name '.*' has 6\d bytes, and PostgreSQL keeps 63"
    with pytest.raises(AssetError, match=message):
        w.run(how, sql)
    assert w.sql("SELECT FROM pg_class WHERE relname = 't'") == []


@pytest.mark.parametrize(
    "hook",
    [
        f"CREATE TABLE mart.{LONG} (x int)",
        f"DO $$ DECLARE {LONG} int; BEGIN NULL; END $$",
        f"CREATE FUNCTION mart.{LONG}() RETURNS int LANGUAGE sql AS $$SELECT 1$$",
        f"CREATE INDEX {LONG} ON mart.t (x)",
    ],
)
def test_nor_one_in_a_hook(w: Warehouse, hook: str) -> None:
    with pytest.raises(AssetError, match=f"the name '{LONG}' has 64 bytes"):
        w.run(f"{TABLE}\nhooks: {{post: [{{query: '{hook}'}}]}}", "SELECT 1 AS x")


def test_a_function_of_somebody_else_may_hold_one(w: Warehouse) -> None:
    w.sql("CREATE SCHEMA IF NOT EXISTS mart")
    w.sql(
        "CREATE FUNCTION mart.f() RETURNS int LANGUAGE plpgsql"
        f" AS $$ DECLARE {LONG} int := 7; BEGIN RETURN {LONG}; END $$"
    )
    w.run(TABLE, "SELECT mart.f() AS x")
    assert w.rows("mart.t") == [(7,)]


def test_bytes_are_counted_and_not_letters() -> None:
    log = ProblemLog()
    lint_lengths(asset_of(f"columns: [{{name: {'ü' * 31}}}, {{name: {'ü' * 32}}}]"), "dev_a.b", log)
    lint_lengths(asset_of(""), f"{'dev_' + 's' * 60}.t", log)
    assert [problem.message.partition(",")[0] for problem in log.problems] == [
        f"the column '{'ü' * 32}' has a name of 64 bytes",
        f"the schema '{'dev_' + 's' * 60}' has a name of 64 bytes",
    ]
