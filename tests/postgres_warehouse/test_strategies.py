"""What is true of a strategy in PostgreSQL alone; what is true of all warehouses is in contract/."""

from __future__ import annotations

import pytest

from ecommerce_dagster.warehouses.sql_asset import AssetError
from postgres_warehouse.helpers import VIEW, Warehouse

REPLACE = "materialization: {type: table, strategy: create+replace}"
DELETE = "materialization: {type: table, strategy: delete+insert, incremental_key: d}"
MERGE = """
materialization: {type: table, strategy: merge}
columns:
  - {name: id, primary_key: true}
  - {name: v, update_on_merge: true}
"""


class TestCreateReplace:
    def test_a_table_of_the_same_columns_keeps_what_hangs_on_it(self, w: Warehouse) -> None:
        w.run(REPLACE, "SELECT 1 AS n")
        w.sql("CREATE VIEW twice AS SELECT n * 2 AS n FROM mart.t", "CREATE INDEX ON mart.t (n)")
        w.run(REPLACE, "SELECT 5 AS n")
        assert (w.rows(), w.rows("twice")) == ([(5,)], [(10,)])

    def test_what_depends_on_other_columns_is_named(self, w: Warehouse) -> None:
        w.run(REPLACE, "SELECT 1 AS n")
        w.sql("CREATE VIEW twice AS SELECT n * 2 AS n FROM mart.t")
        with pytest.raises(AssetError, match="the view public.twice needs mart.t as it was"):
            w.run(REPLACE, "SELECT 'x' AS n")
        assert w.rows() == [(1,)]


class TestMerge:
    @pytest.mark.parametrize(("strategy", "names"), [(MERGE, "id, v"), (DELETE, "d, v")])
    def test_many_rows_are_joined_by_hash(self, w: Warehouse, strategy: str, names: str) -> None:
        key = names[: names.index(",")]
        rows = f"SELECT n AS {key}, 'a' AS v FROM generate_series(1, 200000) AS n"
        for _ in range(2):  # row by row this would take minutes
            w.run(strategy, f"{rows} UNION ALL SELECT NULL, 'x'")
        assert w.sql("SELECT count(*) FROM mart.t") == [(200001,)]


class TestView:
    def test_what_depends_on_it_stays_while_its_columns_do(self, w: Warehouse) -> None:
        w.run(VIEW, "SELECT 1 AS a")
        w.sql("CREATE VIEW more AS SELECT a + 1 AS a FROM mart.t")
        w.run(VIEW, "SELECT 10 AS a")
        assert w.rows("more") == [(11,)]
        with pytest.raises(AssetError, match="the view public.more needs mart.t as it was"):
            w.run(VIEW, "SELECT 'x' AS a")
        assert w.rows("more") == [(11,)]

    def test_the_same_view_is_left_alone(self, w: Warehouse) -> None:
        assert w.run(VIEW, "SELECT 1 AS a").loaded.statements
        assert w.run(VIEW, "SELECT 1 AS a;").loaded.statements == ()
        assert w.rows() == [(1,)]


class TestNone:
    def test_commit_and_chain_stays_inside_the_transaction(self, w: Warehouse) -> None:
        script = "BEGIN; CREATE TABLE a AS SELECT 1 AS n; commit and chain"
        with pytest.raises(AssetError, match="missing"):
            w.run("{}", f"{script}; SELECT * FROM missing")
        assert w.kind("a") is None
        w.run("{}", script)
        assert w.rows("a") == [(1,)]

    def test_savepoints_stay_inside_the_transaction(self, w: Warehouse) -> None:
        w.run(
            "{}", "CREATE TABLE a(); SAVEPOINT s; CREATE TABLE b(); ROLLBACK WORK TO s; RELEASE s"
        )
        assert (w.kind("a"), w.kind("b")) == ("table", None)

    def test_a_semicolon_is_not_always_an_end(self, w: Warehouse) -> None:
        w.run(
            "{}",
            """
            CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RETURN 'a;é'; END; $f$;
            CREATE TABLE "x;y" AS SELECT f() || E'\\';' AS v; -- a; b
            /* a /* nested; */ one; */ INSERT INTO "x;y" VALUES (';''');
            """,
        )
        assert w.rows('"x;y"') == [(";'",), ("a;é';",)]
