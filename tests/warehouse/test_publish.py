"""Nothing unchecked is ever published: what is committed, what is not, and what is told."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from ecommerce_dagster.warehouse.checks import checks_of
from ecommerce_dagster.warehouse.loaded import Loaded
from ecommerce_dagster.warehouse.publish import publish
from ecommerce_dagster.warehouse.sql_asset import AssetError
from ecommerce_dagster.warehouse.time_limit import TimeLimitError, time_limit
from warehouse.helpers import TABLE, VIEW, Warehouse, asset_of, in_both, values

CHECKED = f"{TABLE}\ncolumns: [{{name: n, checks: [{{name: positive}}, {{name: not_null}}]}}]"
LENIENT = CHECKED.replace("positive", "positive, blocking: false")
ALWAYS = f"{CHECKED}\nmeta: {{publish: always}}"


class TestRejected:
    @in_both
    def test_a_blocking_failure_keeps_the_old_table(self, w: Warehouse) -> None:
        assert w.run(CHECKED, "SELECT 1 AS n").published
        built = w.run(CHECKED, values("n, why", "1, 'fine'", "-1, 'bad'"))
        assert not built.published
        assert w.rows() == [(1,)]
        assert (built.rows, built.columns) == (2, {"n": "INTEGER", "why": "VARCHAR"})
        assert (w.types(), built.loaded.rows_written) == ({"n": "INTEGER"}, 2)
        failed, passed = built.results
        assert failed.sample == ({"n": -1, "why": "bad"},)
        assert failed.bad_rows_sql == 'SELECT * FROM "mart"."t"\nWHERE "n" <= 0'
        assert (passed.passed, passed.rejects) == (True, False)

    def test_a_first_build_that_fails_leaves_nothing(self, w: Warehouse) -> None:
        assert not w.run(CHECKED, "SELECT 0 AS n").published
        assert w.kind() is None
        assert w.sql("SELECT * FROM information_schema.schemata WHERE schema_name = 'mart'") == []

    @pytest.mark.parametrize("strategy", ["append", "truncate+insert", "merge",
                                          "delete+insert, incremental_key: n"])  # fmt: skip
    @in_both
    def test_incremental_tables_stay_as_they_were(self, w: Warehouse, strategy: str) -> None:
        header = f"""
        materialization: {{type: table, strategy: {strategy}}}
        columns: [{{name: n, primary_key: true}}, {{name: v, update_on_merge: true}}]
        custom_checks: [{{name: few, query: SELECT * FROM mart.t WHERE v = 'bad', count: 0}}]
        """
        w.run(header, values("n, v", "1, 'a'", "2, 'b'"))
        for _ in range(2):
            assert not w.run(header, values("n, v", "2, 'bad'", "3, 'c'")).published
            assert w.rows() == [(1, "a"), (2, "b")]
        assert w.run(header, values("n, v", "3, 'c'")).published

    def test_a_view_stays_as_it_was(self, w: Warehouse) -> None:
        header = CHECKED.replace(TABLE, VIEW)
        w.run(header, "SELECT 1 AS n")
        assert not w.run(header, "SELECT -1 AS n").published
        assert w.rows() == [(1,)]

    @in_both
    def test_a_table_stays_when_the_view_that_replaces_it_fails(self, w: Warehouse) -> None:
        w.run(CHECKED, "SELECT 1 AS n")
        assert not w.run(CHECKED.replace(TABLE, VIEW), "SELECT -1 AS n").published
        assert (w.kind(), w.rows()) == ("table", [(1,)])

    @in_both
    def test_hooks_and_scripts_are_undone_too(self, w: Warehouse) -> None:
        w.sql("CREATE TABLE log AS SELECT 'start' AS what")
        header = f"""{CHECKED}
hooks:
  pre: [{{query: INSERT INTO log VALUES ('pre')}}]
  post: [{{query: "INSERT INTO log VALUES ('post'); -- done"}}]"""
        assert not w.run(header, "SELECT -1 AS n").published
        assert w.rows("log") == [("start",)]
        built = w.run(header, "SELECT 1 AS n")
        assert w.rows("log") == [("post",), ("pre",), ("start",)]
        assert built.loaded.statements[0] == "INSERT INTO log VALUES ('pre')"
        assert built.loaded.statements[-1] == "INSERT INTO log VALUES ('post'); -- done"

    def test_readers_see_the_old_table_until_the_end(self, w: Warehouse) -> None:
        w.run(CHECKED, "SELECT 1 AS n")
        asset, seen = asset_of(CHECKED), []

        def fill(connection: duckdb.DuckDBPyConnection) -> Loaded:
            connection.execute("CREATE OR REPLACE TABLE mart.t AS SELECT 2 AS n")
            with connection.cursor() as reader:
                seen.append(reader.execute("FROM shop.mart.t").fetchall())
            return Loaded()

        publish(w.connection, asset, fill, checks_of(asset), str)
        assert (seen, w.rows()) == ([[(1,)]], [(2,)])


class TestPublished:
    def test_a_non_blocking_failure_publishes(self, w: Warehouse) -> None:
        built = w.run(LENIENT, "SELECT -1 AS n")
        assert built.published
        assert w.rows() == [(-1,)]
        assert [result.passed for result in built.results] == [False, True]
        assert built.results[0].sample == ({"n": -1},)

    def test_an_asset_without_checks_is_published(self, w: Warehouse) -> None:
        built = w.run(TABLE, "SELECT 1 AS n")
        assert (built.published, built.results) == (True, ())

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

    def test_results_come_in_the_order_of_the_file(self, w: Warehouse) -> None:
        header = f"""{TABLE}
columns:
  - {{name: a, checks: [{{name: pattern, value: '1'}}, {{name: unique}}, {{name: not_null}}]}}
  - {{name: b, checks: [{{name: max, value: 1}}]}}
custom_checks: [{{name: z, query: SELECT 0}}, {{name: y, query: SELECT 0}}]"""
        labels = [r.check.label for r in w.run(header, "SELECT 1 AS a, 1 AS b").results]
        assert labels == ["a: pattern", "a: unique", "a: not_null", "b: max", "z", "y"]


class TestAlways:
    @in_both
    def test_bad_rows_are_published_when_the_file_says_so(self, w: Warehouse) -> None:
        built = w.run(ALWAYS, values("n", "-1", "NULL"))
        assert built.published
        assert [(r.passed, r.rejects, r.failed_rows) for r in built.results] == [
            (False, True, 1),
            (False, True, 1),
        ]
        assert w.rows() == [(None,), (-1,)]

    def test_a_check_that_ends_the_transaction_does_not_build_again(self, w: Warehouse) -> None:
        w.sql("CREATE SEQUENCE s")
        header = f"{ALWAYS}\ncustom_checks: [{{name: broken, query: SELECT error('x')}}]"
        built = w.run(header, "SELECT nextval('s') AS n")
        assert [r.passed for r in built.results] == [True, True, False]
        assert (built.published, w.rows()) == (True, [(1,)])

    def test_a_build_that_fails_is_still_undone(self, w: Warehouse) -> None:
        w.run(ALWAYS, "SELECT 1 AS n")
        with pytest.raises(AssetError):
            w.run(ALWAYS, "SELECT error('x') AS n")
        assert w.rows() == [(1,)]

    @pytest.mark.parametrize("said", ["never", "true", "Always", "[always]"])
    def test_anything_else_that_is_said_means_nothing(self, w: Warehouse, said: str) -> None:
        header = ALWAYS.replace("always", said)
        assert not w.run(header, "SELECT -1 AS n").published


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
    "DETACH shop",
    "EXPLAIN ANALYZE COMMIT",
    "EXPLAIN /* x */ analyze\nRollback",
    "EXPLAIN (ANALYZE, FORMAT json) COMMIT",
    "UPDATE old SET n = 2; CREATE INDEX i ON old (n)",
    "ATTACH ':memory:' AS other; CREATE TABLE other.x AS FROM mart.t",
]
HARMLESS = [
    "BEGIN; INSERT INTO log VALUES ('x'); COMMIT",
    "-- ROLLBACK\nINSERT INTO log VALUES ('x')",
    "/* CHECKPOINT; COMMIT */ INSERT INTO log VALUES ('x')",
    "INSERT INTO log VALUES ('; ROLLBACK;')",
    "INSERT INTO log VALUES ($a$; ROLLBACK; $a$)",
    'CREATE TABLE "ROLLBACK" AS SELECT 1 AS "COMMIT"',
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

        def fill(connection: duckdb.DuckDBPyConnection) -> Loaded:
            connection.execute("CREATE OR REPLACE TABLE mart.t AS SELECT -1 AS n")
            connection.execute(end)
            return Loaded()

        with pytest.raises(
            AssetError, match="rows of mart.t may be public although no check was asked"
        ):
            publish(w.connection, asset, fill, checks_of(asset), str)
        w.sql("BEGIN")  # no transaction was left open
        w.sql("ROLLBACK")

    @in_both
    @pytest.mark.parametrize("hook", HARMLESS)
    def test_words_in_comments_texts_and_names_are_no_such_script(
        self, w: Warehouse, hook: str
    ) -> None:
        w.sql("CREATE TABLE log (what TEXT)")
        assert not w.run(with_hook(CHECKED, hook), "SELECT -1 AS n").published
        assert w.rows("log") == []
        assert w.run(with_hook(CHECKED, hook), "SELECT 1 AS n").published


class TestCheckOnly:
    def test_it_answers_for_the_table_as_it_stands(self, w: Warehouse) -> None:
        w.run(TABLE, values("n", "1", "-1"))
        results = w.check_only(CHECKED)
        assert [(r.passed, r.failed_rows, r.total_rows) for r in results] == [
            (False, 1, 2),
            (True, 0, 2),
        ]
        assert w.rows() == [(-1,), (1,)]

    def test_before_the_first_build_there_is_nothing_to_check(self, w: Warehouse) -> None:
        for result in w.check_only(CHECKED):
            assert not result.passed
            assert result.message == (
                "could not be evaluated: mart.t does not exist yet; materialize it first"
            )

    def test_custom_checks_alone_need_no_table(self, w: Warehouse) -> None:
        header = "custom_checks: [{name: a, query: SELECT 0}, {name: b, query: SELECT 1}]"
        assert [result.passed for result in w.check_only(header)] == [True, False]

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

        def fill(connection: duckdb.DuckDBPyConnection) -> Loaded:
            builds.append(1)
            connection.execute("CREATE SCHEMA mart")
            connection.execute(f"CREATE VIEW mart.t AS SELECT * FROM ({self.SLOW}) AS v(n)")
            return Loaded()

        asset = asset_of(f"{VIEW}\n{more}")
        with pytest.raises(TimeLimitError), time_limit(w.connection.interrupt, 0.2):
            publish(w.connection, asset, fill, checks_of(asset), str)
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

        def fill(connection: duckdb.DuckDBPyConnection) -> Loaded:
            connection.execute("CREATE OR REPLACE TABLE mart.t AS SELECT 2 AS n")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            publish(w.connection, asset_of(CHECKED), fill, [], str)
        assert w.rows() == [(1,)]

    def test_what_was_published_is_in_the_file(self, w: Warehouse, tmp_path: Path) -> None:
        w.run(CHECKED, "SELECT 1 AS n")
        w.run(CHECKED, "SELECT -1 AS n")
        w.sql("USE memory")
        w.sql("DETACH shop")
        w.sql(f"ATTACH '{tmp_path / 'shop.duckdb'}' AS shop")
        assert w.rows("shop.mart.t") == [(1,)]
