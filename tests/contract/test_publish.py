"""Nothing unchecked is ever published, in any warehouse: what is committed, and what is told."""

from __future__ import annotations

import json

import pytest

from contract.helpers import TABLE, VIEW, Warehouse, values
from ecommerce_dagster.warehouses.sql_asset import AssetError

CHECKED = f"{TABLE}\ncolumns: [{{name: n, checks: [{{name: positive}}, {{name: not_null}}]}}]"
LENIENT = CHECKED.replace("positive", "positive, blocking: false")
ALWAYS = f"{CHECKED}\nmeta: {{publish: always}}"


class TestRejected:
    def test_a_blocking_failure_keeps_the_old_table(self, w: Warehouse) -> None:
        assert w.run(CHECKED, "SELECT 1 AS n").published
        built = w.run(CHECKED, values("n, why", "1, 'fine'", "-1, 'bad'"))
        assert not built.published
        assert w.rows() == [(1,)]
        assert (built.rows, built.loaded.rows_written) == (2, 2)
        told = {name: w.called(kind) for name, kind in built.columns.items()}
        assert (told, w.columns()) == ({"n": "integer", "why": "text"}, {"n": "integer"})
        failed, passed = built.results
        assert (failed.failed_rows, failed.sample) == (1, ({"n": -1, "why": "bad"},))
        assert failed.bad_rows_sql == 'SELECT * FROM "mart"."t"\nWHERE "n" <= 0'
        assert (passed.passed, passed.rejects) == (True, False)

    def test_a_first_build_that_fails_leaves_nothing(self, w: Warehouse) -> None:
        assert not w.run(CHECKED, "SELECT 0 AS n").published
        assert w.kind() is None
        assert w.sql("SELECT 1 FROM information_schema.schemata WHERE schema_name = 'mart'") == []

    @pytest.mark.parametrize(
        "strategy", ["append", "truncate+insert", "merge", "delete+insert, incremental_key: n"]
    )
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

    def test_a_table_stays_when_the_view_that_replaces_it_fails(self, w: Warehouse) -> None:
        w.run(CHECKED, "SELECT 1 AS n")
        assert not w.run(CHECKED.replace(TABLE, VIEW), "SELECT -1 AS n").published
        assert (w.kind(), w.rows()) == ("table", [(1,)])

    def test_hooks_and_scripts_are_undone_too(self, w: Warehouse) -> None:
        hooks = """
hooks:
  pre: [{query: CREATE TABLE log (what text); COMMIT}, {query: INSERT INTO log VALUES ('pre')}]
  post: [{query: "INSERT INTO log SELECT 'post' FROM {{ this }}; -- done"}]"""
        assert not w.run(CHECKED + hooks, "SELECT -1 AS n").published
        assert w.kind("log") is None
        statements = w.run(CHECKED + hooks, "SELECT 1 AS n").loaded.statements
        assert w.rows("log") == [("post",), ("pre",)]
        assert statements[0] == "CREATE TABLE log (what text)"
        assert statements[-1].startswith("INSERT INTO log SELECT 'post' FROM ")

    def test_the_schema_is_there_for_hooks(self, w: Warehouse) -> None:
        hooks = """
hooks:
  pre: [{query: CREATE TABLE IF NOT EXISTS mart.log (what text)}]
  post: [{query: "INSERT INTO mart.log VALUES ('post')"}]"""
        assert w.run(CHECKED + hooks, "SELECT 1 AS n").published
        assert w.rows("mart.log") == [("post",)]

    @pytest.mark.parametrize(
        "hook",
        [
            "BEGIN; INSERT INTO log VALUES ('x'); COMMIT",
            "-- ROLLBACK\nINSERT INTO log VALUES ('x')",
            "/* CHECKPOINT; COMMIT */ INSERT INTO log VALUES ('; ROLLBACK;')",
            "INSERT INTO log VALUES ($a$; ROLLBACK; $a$)",
            'CREATE TABLE "ROLLBACK" AS SELECT 1 AS "COMMIT"',
        ],
    )
    def test_words_in_comments_texts_and_names_do_not_end_the_transaction(
        self, w: Warehouse, hook: str
    ) -> None:
        w.sql("CREATE TABLE log (what TEXT)")
        hooked = f"{CHECKED}\nhooks: {{post: [{{query: {json.dumps(hook)}}}]}}"
        assert not w.run(hooked, "SELECT -1 AS n").published
        assert w.rows("log") == []
        assert w.run(hooked, "SELECT 1 AS n").published


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

    def test_results_come_in_the_order_of_the_file(self, w: Warehouse) -> None:
        header = f"""{TABLE}
columns:
  - {{name: a, checks: [{{name: pattern, value: '1'}}, {{name: unique}}, {{name: not_null}}]}}
  - {{name: b, checks: [{{name: max, value: 1}}]}}
custom_checks: [{{name: z, query: SELECT 0}}, {{name: y, query: SELECT 0}}]"""
        labels = [r.check.label for r in w.run(header, "SELECT 1 AS a, 1 AS b").results]
        assert labels == ["a: pattern", "a: unique", "a: not_null", "b: max", "z", "y"]


class TestAlways:
    def test_bad_rows_are_published_when_the_file_says_so(self, w: Warehouse) -> None:
        built = w.run(ALWAYS, values("n", "-1", "NULL"))
        assert built.published
        assert [(r.passed, r.rejects, r.failed_rows) for r in built.results] == [
            (False, True, 1),
            (False, True, 1),
        ]
        assert w.rows() == [(None,), (-1,)]

    def test_a_build_that_fails_is_still_undone(self, w: Warehouse) -> None:
        w.run(ALWAYS, "SELECT 1 AS n")
        with pytest.raises(AssetError):
            w.run(ALWAYS, "SELECT CAST('x' || n AS integer) AS n FROM mart.t")
        assert w.rows() == [(1,)]

    @pytest.mark.parametrize("said", ["never", "true", "Always", "[always]"])
    def test_anything_else_that_is_said_means_nothing(self, w: Warehouse, said: str) -> None:
        header = ALWAYS.replace("always", said)
        assert not w.run(header, "SELECT -1 AS n").published


class TestCheckOnly:
    def test_it_answers_for_the_table_as_it_stands(self, w: Warehouse) -> None:
        w.run(TABLE, values("n", "1", "-1"))
        results = w.check_only(CHECKED)
        assert [(r.passed, r.failed_rows, r.total_rows) for r in results] == [
            (False, 1, 2),
            (True, 0, 2),
        ]
        assert results[0].sample == ({"n": -1},)
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
