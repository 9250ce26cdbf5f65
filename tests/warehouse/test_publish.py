"""What is true of publishing in DuckDB alone; what is true of all warehouses is in contract/."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from ecommerce_dagster.sql.checks import checks_of
from ecommerce_dagster.sql.load_result import LoadResult
from ecommerce_dagster.warehouses.base import Target
from ecommerce_dagster.warehouses.duckdb.transaction import DuckDBTransaction
from ecommerce_dagster.warehouses.publish import publish
from ecommerce_dagster.warehouses.sql_asset import AssetError
from ecommerce_dagster.warehouses.time_limit import TimeLimitError, time_limit
from warehouse.helpers import TABLE, VIEW, Warehouse, asset_of, in_both

CHECKED = f"{TABLE}\ncolumns: [{{name: n, checks: [{{name: positive}}, {{name: not_null}}]}}]"
LENIENT = CHECKED.replace("positive", "positive, blocking: false")
ALWAYS = f"{CHECKED}\nmeta: {{publish: always}}"


class TestRejected:
    def test_readers_see_the_old_table_until_the_end(self, w: Warehouse) -> None:
        w.run(CHECKED, "SELECT 1 AS n")
        asset, seen = asset_of(CHECKED), []

        def fill(target: Target) -> LoadResult:
            w.connection.execute("CREATE OR REPLACE TABLE mart.t AS SELECT 2 AS n")
            with w.connection.cursor() as reader:
                seen.append(reader.execute("FROM shop.mart.t").fetchall())
            return LoadResult()

        publish(DuckDBTransaction(w.connection, asset), asset, fill, checks_of(asset), str)
        assert (seen, w.rows()) == ([[(1,)]], [(2,)])


class TestPublished:
    @in_both
    @pytest.mark.parametrize("how", [VIEW, TABLE])
    def test_a_view_that_no_longer_binds_is_made_again(self, w: Warehouse, how: str) -> None:
        """A column that it reads has another name since: its own file says so too."""
        w.sql("CREATE SCHEMA raw")
        w.sql("CREATE TABLE raw.t AS SELECT 1 AS a")
        w.run(VIEW, "SELECT a FROM raw.t")
        w.sql("CREATE OR REPLACE TABLE raw.t AS SELECT 2 AS b")
        assert w.run(how, "SELECT b FROM raw.t").published
        assert w.rows() == [(2,)]


class TestAlways:
    def test_a_check_that_ends_the_transaction_does_not_build_again(self, w: Warehouse) -> None:
        w.sql("CREATE SEQUENCE s")
        header = f"{ALWAYS}\ncustom_checks: [{{name: broken, query: SELECT error('x')}}]"
        built = w.run(header, "SELECT nextval('s') AS n")
        assert [r.passed for r in built.results] == [True, True, False]
        assert (built.published, w.rows()) == (True, [(1,)])


def with_hook(header: str, *statements: str) -> str:
    """The header with one hook after the query."""
    return f"{header}\nhooks: {{post: [{{query: {json.dumps('; '.join(statements))}}}]}}"


# What DuckDB does not do in a transaction that has written.
REFUSED = [
    "CHECKPOINT",
    "force checkpoint",
    "CALL checkpoint()",
    "ROLLBACK",
    "/* in vain */ Abort",
    "EXPLAIN ANALYZE COMMIT",
    "EXPLAIN /* x */ analyze\nRollback",
    "EXPLAIN (ANALYZE, FORMAT json) COMMIT",
    "UPDATE old SET n = 2; CREATE INDEX i ON old (n)",
    "ATTACH ':memory:' AS other; CREATE TABLE other.x AS FROM mart.t",
]


class TestScriptsThatLeaveTheTransaction:
    @pytest.mark.parametrize("hook", REFUSED)
    def test_are_refused_and_the_table_keeps_its_rows(self, w: Warehouse, hook: str) -> None:
        w.sql("CREATE TABLE old AS SELECT 1 AS n")
        w.run(CHECKED, "SELECT 1 AS n")
        for query in ("SELECT -1 AS n", "SELECT 2 AS n"):
            with pytest.raises(AssetError, match=r"(?s)mart.t keeps its rows.*publish: always"):
                w.run(with_hook(CHECKED, hook), query)
            assert w.rows() == [(1,)]

    def test_a_script_is_refused_too(self, w: Warehouse) -> None:
        header = "materialization: {type: none}\ncustom_checks: [{name: none, query: FROM a}]"
        with pytest.raises(AssetError, match=r"t.sql:10: (?s:.*)publish: always"):
            w.run(header, "CREATE TABLE a AS SELECT 1 AS n; CHECKPOINT")
        assert w.kind("a") is None

    @pytest.mark.parametrize(
        "header", [ALWAYS, LENIENT.replace("not_null", "not_null, blocking: false"), TABLE]
    )
    @pytest.mark.parametrize("hook", ["CHECKPOINT", REFUSED[-2]])
    def test_are_done_where_no_check_could_keep_the_table_back(
        self, w: Warehouse, header: str, hook: str
    ) -> None:
        w.sql("CREATE TABLE old AS SELECT 1 AS n")
        built = w.run(with_hook(header, hook), "SELECT -1 AS n")
        assert (built.published, w.rows()) == (True, [(-1,)])
        assert all(not result.passed for result in built.results[:1])

    @in_both
    @pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN"])
    def test_are_found_however_they_do_it(self, w: Warehouse, end: str) -> None:
        """What is public by then cannot be taken back, so it is told."""
        w.run(CHECKED, "SELECT 1 AS n")
        asset = asset_of(CHECKED)

        def fill(target: Target) -> LoadResult:
            w.connection.execute("CREATE OR REPLACE TABLE mart.t AS SELECT -1 AS n")
            w.connection.execute(end)
            return LoadResult()

        with pytest.raises(
            AssetError, match="rows of mart.t may be public although no check was asked"
        ):
            publish(DuckDBTransaction(w.connection, asset), asset, fill, checks_of(asset), str)
        w.sql("BEGIN")  # no transaction was left open
        w.sql("ROLLBACK")


class TestCheckOnly:
    def test_a_check_that_ends_the_transaction_leaves_the_others(self, w: Warehouse) -> None:
        w.run(TABLE, "SELECT 1 AS n")
        header = f"{CHECKED}\ncustom_checks: [{{name: broken, query: SELECT error('x')}}]"
        assert [result.passed for result in w.check_only(header)] == [True, True, False]


class TestTimeLimit:
    SLOW = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 8"

    @pytest.mark.parametrize("more", [
        f"custom_checks: [{{name: slow, query: '{SLOW}'}}]",
        "columns: [{name: n, checks: [{name: positive}]}]",
    ], ids=["custom check", "column check"])  # fmt: skip
    def test_a_check_that_takes_too_long_ends_the_build(self, w: Warehouse, more: str) -> None:
        builds = []

        def fill(target: Target) -> LoadResult:
            builds.append(1)
            w.connection.execute("CREATE SCHEMA mart")
            w.connection.execute(f"CREATE VIEW mart.t AS SELECT * FROM ({self.SLOW}) AS v(n)")
            return LoadResult()

        asset = asset_of(f"{VIEW}\n{more}")
        with pytest.raises(TimeLimitError), time_limit(w.connection.interrupt, 1):
            publish(DuckDBTransaction(w.connection, asset), asset, fill, checks_of(asset), str)
        assert (builds, w.kind()) == ([1], None)


class TestAfterwards:
    @in_both
    @pytest.mark.parametrize("sql", ["SELECT 1 AS n", "SELECT -1 AS n", "SELECT error('x') AS n"])
    def test_the_connection_can_be_used_again(self, w: Warehouse, sql: str) -> None:
        with suppress(AssetError):
            w.run(CHECKED, sql)
        w.sql("BEGIN")
        w.sql("ROLLBACK")

    def test_an_interruption_undoes_the_build(self, w: Warehouse) -> None:
        w.run(CHECKED, "SELECT 1 AS n")

        def fill(target: Target) -> LoadResult:
            w.connection.execute("CREATE OR REPLACE TABLE mart.t AS SELECT 2 AS n")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            publish(
                DuckDBTransaction(w.connection, asset_of(CHECKED)), asset_of(CHECKED), fill, [], str
            )
        assert w.rows() == [(1,)]

    def test_what_was_published_is_in_the_file(self, w: Warehouse, tmp_path: Path) -> None:
        w.run(CHECKED, "SELECT 1 AS n")
        w.run(CHECKED, "SELECT -1 AS n")
        w.sql("USE memory")
        w.sql("DETACH shop")
        w.sql(f"ATTACH '{tmp_path / 'shop.duckdb'}' AS shop")
        assert w.rows("shop.mart.t") == [(1,)]
