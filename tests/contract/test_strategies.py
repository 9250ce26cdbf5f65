"""What each strategy makes of a table, in every warehouse."""

from __future__ import annotations

import pytest

from contract.helpers import TABLE, VIEW, Complaints, Warehouse, every_lint, only, values
from ecommerce_dagster.sql.strategies.registry import STRATEGIES
from ecommerce_dagster.warehouses.sql_asset import AssetError

REPLACE = "materialization: {type: table, strategy: create+replace}"
APPEND = "materialization: {type: table, strategy: append}"
TRUNCATE = "materialization: {type: table, strategy: truncate+insert}"
DELETE = "materialization: {type: table, strategy: delete+insert, incremental_key: d}"
MERGE = """
materialization: {type: table, strategy: merge}
columns:
  - {name: id, primary_key: true}
  - {name: v, update_on_merge: true}
"""
TIME_INTERVAL = """
materialization:
  {type: table, strategy: time_interval, incremental_key: ts, time_granularity: timestamp}
"""
# Each strategy with a query whose columns it can work with.
ALL = {
    "none": (TABLE, "id, v"),
    "create+replace": (REPLACE, "id, v"),
    "append": (APPEND, "id, v"),
    "truncate+insert": (TRUNCATE, "id, v"),
    "delete+insert": (DELETE, "d, v"),
    "merge": (MERGE, "id, v"),
}
every_strategy = pytest.mark.parametrize(("header", "names"), ALL.values(), ids=list(ALL))
incremental = pytest.mark.parametrize(
    ("header", "names"), [ALL[name] for name in list(ALL)[2:]], ids=list(ALL)[2:]
)


class TestEveryStrategy:
    @every_strategy
    def test_creates_schema_and_table_on_its_first_run(
        self, w: Warehouse, header: str, names: str
    ) -> None:
        built = w.run(header, values(names, "1, 'a'", "2, 'b'"))
        assert w.rows() == [(1, "a"), (2, "b")]
        assert (built.published, built.rows, built.loaded.rows_written) == (True, 2, 2)
        assert list(w.columns().values()) == ["integer", "text"]

    @every_strategy
    def test_takes_an_empty_result(self, w: Warehouse, header: str, names: str) -> None:
        for _ in range(2):
            assert w.run(header, values(names)).loaded.rows_written == 0
            assert w.rows() == []

    @every_strategy
    def test_full_refresh_starts_from_nothing(self, w: Warehouse, header: str, names: str) -> None:
        w.run(header, values(names, "1, 'a'"))
        w.run(header, values(names, "'x', 2"), full_refresh=True)
        assert w.rows() == [("x", 2)]

    @incremental
    @pytest.mark.parametrize("word", ["refresh_restricted", "full_refresh_restricted"])
    def test_full_refresh_leaves_a_restricted_asset_its_history(
        self, w: Warehouse, header: str, names: str, word: str
    ) -> None:
        restricted = f"{header}\n{word}: true"
        w.run(restricted, values(names, "1, 'a'"))
        w.run(restricted, values(names, "2, 'b'"), full_refresh=True)
        assert w.rows() == [(1, "a"), (2, "b")][header == TRUNCATE :]

    @every_strategy
    def test_replaces_a_view_of_its_name(self, w: Warehouse, header: str, names: str) -> None:
        w.run(VIEW, "SELECT 7 AS seven")
        w.run(header, values(names, "1, 'a'"))
        assert (w.kind(), w.rows()) == ("table", [(1, "a")])

    @every_strategy
    def test_a_failing_query_leaves_the_old_table(
        self, w: Warehouse, header: str, names: str
    ) -> None:
        w.run(header, values(names, "1, 'a'"))
        with pytest.raises(AssetError, match="oops"):
            w.run(header, values(names, "2, 'oops'") + " WHERE v::integer > 0")
        assert w.rows() == [(1, "a")]

    @incremental
    def test_inserts_by_name(self, w: Warehouse, header: str, names: str) -> None:
        w.run(header, values(names, "1, 'a'"))
        key, value = names.split(", ")
        w.run(header, f"SELECT 'b' AS {value}, 2 AS {key}")
        assert (2, "b") in w.rows()

    @incremental
    def test_tells_names_apart_without_case(self, w: Warehouse, header: str, names: str) -> None:
        w.run(header, values(names, "1, 'a'"))
        upper = ", ".join(f'"{name}"' for name in names.upper().split(", "))
        assert w.run(header, values(upper, "2, 'b'")).loaded.schema_changes == ()
        assert list(w.columns().items()) == list(
            zip(names.split(", "), ["integer", "text"], strict=True)
        )
        assert (2, "b") in w.rows()

    @every_strategy
    def test_a_query_may_read_the_table_it_fills(
        self, w: Warehouse, header: str, names: str
    ) -> None:
        key = names[: names.index(",")]
        w.run(header, values(names, "1, 'a'"))
        w.run(header, f"SELECT max({key}) + 1 AS {key}, 'b' AS v FROM mart.t")
        assert w.rows()[-1] == (2, "b")

    @every_strategy
    def test_nothing_after_a_query_harms_it(self, w: Warehouse, header: str, names: str) -> None:
        for tail in ("; -- end", ";;", "\n/* ; */ ;\n-- a\n-- b"):
            w.run(header, f"-- first; second\n{values(names, '1, $$a;$$')}{tail}")
            assert set(w.rows()) == {(1, "a;")}

    @only("postgres")  # DuckDB itself calls the second column V_1.
    @every_strategy
    def test_names_that_differ_in_case_alone_are_refused(
        self, w: Warehouse, header: str, names: str
    ) -> None:
        with pytest.raises(AssetError, match=r"same name but for case \(V, v\)"):
            w.run(header, f"""SELECT 1 AS {names[: names.index(",")]}, 'a' AS v, 'b' AS "V" """)
        assert w.kind() is None


class TestCreateReplace:
    @pytest.mark.parametrize("header", [TABLE, REPLACE])
    def test_the_last_run_is_all_there_is(self, w: Warehouse, header: str) -> None:
        for rows in (["1, 'a'"], ["2, 'b'", "3, 'c'"], ["4, NULL::text", "4, NULL"]):
            w.run(header, values("id, v", *rows))
        assert w.rows() == [(4, None), (4, None)]

    def test_columns_and_types_follow_the_query(self, w: Warehouse) -> None:
        w.run(REPLACE, "SELECT 1 AS a, 2 AS b")
        w.run(REPLACE, "SELECT 'x' AS b, 1.5::numeric(4, 2) AS c")
        assert w.columns() == {"b": "text", "c": "numeric(4,2)"}


class TestAppend:
    def test_every_run_adds_its_rows(self, w: Warehouse) -> None:
        for _ in range(3):
            assert w.run(APPEND, values("id, v", "1, 'a'", "NULL, NULL")).loaded.rows_written == 2
        assert w.rows() == [(None, None)] * 3 + [(1, "a")] * 3


class TestTruncateInsert:
    def test_the_last_rows_in_the_first_shape(self, w: Warehouse) -> None:
        w.run(TRUNCATE, "SELECT 1 AS a, 'x' AS b")
        w.run(TRUNCATE, "SELECT 'y' AS b, 2 AS a UNION ALL SELECT NULL, NULL")
        assert w.rows() == [(None, None), (2, "y")]
        assert list(w.types()) == ["a", "b"]


class TestDeleteInsert:
    def test_keys_that_come_again_are_replaced_and_others_stay(self, w: Warehouse) -> None:
        w.run(DELETE, values("d, v", "1, 'a'", "1, 'b'", "2, 'c'"))
        w.run(DELETE, values("d, v", "1, 'z'", "3, 'd'"))
        w.run(DELETE, values("d, v", "3, 'e'", "3, 'f'"))
        assert w.rows() == [(1, "z"), (2, "c"), (3, "e"), (3, "f")]

    def test_the_null_key_is_replaced_too(self, w: Warehouse) -> None:
        for text in ("a", "b", "c"):
            w.run(DELETE, values("d, v", f"NULL, '{text}'", "1, 'x'"))
        assert w.rows() == [(None, "c"), (1, "x")]

    def test_a_rerun_changes_nothing(self, w: Warehouse) -> None:
        query = values("d, v", "1, 'a'", "1, 'a'", "2, NULL")
        for _ in range(3):
            assert w.run(DELETE, query).loaded.rows_written == 3
        assert w.rows() == [(1, "a"), (1, "a"), (2, None)]

    def test_its_key_must_come(self, w: Warehouse) -> None:
        with pytest.raises(AssetError, match="does not return d, which the strategy needs; it ret"):
            w.run(DELETE, "SELECT 1 AS id")

    @only("duckdb", "postgres")  # A DuckLake has no sequences.
    def test_the_source_is_read_once(self, w: Warehouse) -> None:
        w.sql("CREATE SEQUENCE s")
        w.run(DELETE, "SELECT 1 AS d, nextval('s') AS v")
        w.run(DELETE, "SELECT 1 AS d, nextval('s') AS v")
        assert w.rows() == [(1, 2)]


class TestMerge:
    def test_known_keys_are_updated_and_new_ones_inserted(self, w: Warehouse) -> None:
        w.run(MERGE, values("id, v", "1, 'a'", "2, 'b'"))
        assert w.run(MERGE, values("id, v", "2, 'B'", "3, 'c'")).loaded.rows_written == 2
        w.run(MERGE, values("id, v", "1, 'A'"))
        assert w.rows() == [(1, "A"), (2, "B"), (3, "c")]

    def test_only_columns_that_say_so_are_updated(self, w: Warehouse) -> None:
        header = MERGE + "  - {name: total, merge_sql: target.total + source.total}\n"
        w.run(header, values("id, v, total, kept", "1, 'a', 10, 'first'"))
        w.run(header, values("id, v, total, kept", "1, 'b', 5, 'second'"))
        assert w.rows() == [(1, "b", 15, "first")]

    def test_merge_sql_wins_over_update_on_merge(self, w: Warehouse) -> None:
        header = MERGE.replace("true}\n", "true, merge_sql: 'greatest(target.v, source.v)'}\n")
        header = header.replace("id, primary_key: true, merge_sql: 'greatest(target.v, source.v)'",
                                "id, primary_key: true")  # fmt: skip
        w.run(header, values("id, v", "1, 'b'", "2, 'b'"))
        w.run(header, values("id, v", "1, 'a'", "2, 'c'"))
        assert w.rows() == [(1, "b"), (2, "c")]

    def test_a_table_of_keys_takes_new_ones(self, w: Warehouse) -> None:
        header = """
        materialization: {type: table, strategy: merge}
        columns: [{name: a, primary_key: true}, {name: b, primary_key: true}]
        """
        w.run(header, values("a, b", "1, 1", "1, 2"))
        w.run(header, values("a, b", "1, 2", "2, 1"))
        assert w.rows() == [(1, 1), (1, 2), (2, 1)]

    def test_null_is_a_key_like_any_other(self, w: Warehouse) -> None:
        for text in ("a", "b", "c"):
            w.run(MERGE, values("id, v", f"NULL, '{text}'", "1, 'x'"))
        assert w.rows() == [(None, "c"), (1, "x")]

    def test_of_rows_with_one_key_the_last_stays(self, w: Warehouse) -> None:
        rows = ("1, 'a'", "1, 'b'", "2, 'c'", "NULL, 'd'", "NULL, 'e'")
        first = w.run(MERGE, values("id, v", *rows))
        assert w.rows() == [(None, "e"), (1, "b"), (2, "c")]
        assert first.loaded.rows_written == 3
        w.run(MERGE, values("id, v", "1, 'x'", "1, 'y'", "3, 'm'", "3, 'n'"))
        assert w.rows() == [(None, "e"), (1, "y"), (2, "c"), (3, "n")]

    def test_of_rows_with_one_key_the_newest_stays(self, w: Warehouse) -> None:
        header = MERGE.replace("merge}", "merge, incremental_key: ts}")
        w.run(header, values("id, v, ts", "1, 'new', 9", "1, 'old', 3", "1, 'unknown', NULL"))
        assert w.rows() == [(1, "new", 9)]
        w.run(header, values("id, v, ts", "1, 'new2', 20", "1, 'old2', 10"))
        assert w.rows() == [(1, "new2", 9)]

    def test_a_rerun_changes_nothing(self, w: Warehouse) -> None:
        for _ in range(3):
            w.run(MERGE, values("id, v", "1, 'a'", "2, NULL"))
        assert w.rows() == [(1, "a"), (2, None)]

    def test_only_rows_that_differ_are_written(self, w: Warehouse) -> None:
        w.run(MERGE, values("id, v", "1, 'a'", "2, NULL", "3, 'c'"))
        built = w.run(MERGE, values("id, v", "1, 'a'", "2, 'b'", "3, NULL", "4, 'd'"))
        assert built.loaded.rows_written == 3
        assert w.rows() == [(1, "a"), (2, "b"), (3, None), (4, "d")]

    def test_what_the_file_computes_itself_is_always_applied(self, w: Warehouse) -> None:
        header = MERGE.replace("update_on_merge: true", "merge_sql: target.v + source.v")
        for expected in (1, 2, 3):
            w.run(header, values("id, v", "1, 1"))
            assert w.rows() == [(1, expected)]


class TestWhatAMergeKnows:
    def test_as_in_the_original_the_predicate_limits_what_is_known(self, w: Warehouse) -> None:
        header = MERGE.replace("merge}", 'merge, incremental_predicate: "target.open"}')
        w.run(header, values("id, v, open", "1, 'a', true", "2, 'b', false"))
        w.run(header, values("id, v, open", "1, 'A', true", "2, 'B', true"))
        assert w.rows() == [(1, "A", True), (2, "B", True), (2, "b", False)]

    def test_a_row_that_the_merge_moves_out_of_the_predicate_was_known(self, w: Warehouse) -> None:
        header = MERGE.replace("merge}", "merge, incremental_predicate: \"target.v < 'm'\"}")
        w.run(header, values("id, v", "1, 'a'", "2, 'x'"))
        w.run(header, values("id, v", "1, 'z'"))
        assert w.rows() == [(1, "z"), (2, "x")]
        w.run(header, values("id, v", "1, 'z'"))  # now it is out of it
        assert w.rows() == [(1, "z"), (1, "z"), (2, "x")]

    @pytest.mark.parametrize(("names", "missing"), [("v", "id, ts"), ("id, v", "ts")])
    def test_its_keys_must_come(self, w: Warehouse, names: str, missing: str) -> None:
        header = MERGE.replace("merge}", "merge, incremental_key: ts}")
        with pytest.raises(AssetError, match=f"does not return {missing}, which the strategy"):
            w.run(header, values(names, ", ".join("1" for _ in names.split(","))))


class TestView:
    def test_it_follows_its_tables(self, w: Warehouse) -> None:
        w.sql("CREATE TABLE n AS SELECT 1 AS i")
        built = w.run(VIEW, "SELECT i * 2 AS twice FROM n; -- doubled")
        w.sql("INSERT INTO n VALUES (2)")
        assert (w.kind(), w.rows()) == ("view", [(2,), (4,)])
        assert (built.rows, built.loaded.rows_written) == (None, None)
        assert w.columns() == {"twice": "integer"}
        assert built.columns == w.types()

    def test_it_is_replaced_and_replaces_a_table(self, w: Warehouse) -> None:
        w.run(TABLE, "SELECT 1 AS a")
        for text in ("SELECT 2 AS b", "SELECT 3 AS c", "SELECT 4 AS c", "SELECT 5 AS c, 6 AS d"):
            w.run(VIEW, text)
            assert w.kind() == "view"
        assert w.rows() == [(5, 6)]

    def test_a_broken_query_leaves_the_old_view(self, w: Warehouse) -> None:
        w.run(VIEW, "SELECT 1 AS a")
        with pytest.raises(AssetError, match="nope"):
            w.run(VIEW, "SELECT nope")
        assert w.rows() == [(1,)]


class TestNone:
    def test_the_script_runs_as_it_is_and_builds_nothing_else(self, w: Warehouse) -> None:
        script = "CREATE TABLE a AS SELECT 1 AS n;\nINSERT INTO a VALUES (2); -- done"
        built = w.run("{}", script)
        assert w.rows("a") == [(1,), (2,)]
        assert (w.kind(), built.rows, built.columns) == (None, None, {})
        assert [statement.partition(";")[0] for statement in built.loaded.statements] == [
            "CREATE TABLE a AS SELECT 1 AS n",
            "INSERT INTO a VALUES (2)",
        ]

    @pytest.mark.parametrize("end", ["COMMIT", "END", "/* c */ Commit Work"])
    def test_it_is_all_or_nothing_whatever_it_says_about_transactions(
        self, w: Warehouse, end: str
    ) -> None:
        with pytest.raises(AssetError, match="missing"):
            w.run("{}", f"BEGIN; CREATE TABLE a AS SELECT 1 AS n; {end}; SELECT * FROM missing")
        assert w.kind("a") is None
        w.run("{}", f"BEGIN; CREATE TABLE a AS SELECT 1 AS n; {end}")
        assert w.rows("a") == [(1,)]


@every_lint
class TestLint:
    @pytest.mark.parametrize(
        ("header", "complaint"),
        [
            ("materialization: {type: view, strategy: merge}",
             "needs `type: table`, this is 'view'"),
            ("materialization: {strategy: append}", "needs `type: table`, this is 'none'"),
            ("materialization: {type: table, strategy: apend}", "did you mean 'append'?"),
            ("materialization: {type: table, strategy: delete+insert}", "an 'incremental_key'"),
            ("materialization: {type: table, strategy: merge}", "`primary_key: true`"),
            (TIME_INTERVAL.replace(", time_granularity: timestamp", ""),
             "`time_granularity: date`"),
        ],
    )  # fmt: skip
    def test_a_materialization_that_cannot_work_is_reported(
        self, complaints: Complaints, header: str, complaint: str
    ) -> None:
        (message,) = complaints(header)
        assert complaint in message

    @pytest.mark.parametrize(
        "header",
        [*(h for h, _ in ALL.values()), TIME_INTERVAL, VIEW,
         TIME_INTERVAL.replace("granularity: timestamp", "granularity: date")],
    )  # fmt: skip
    def test_the_others_are_not(self, complaints: Complaints, header: str) -> None:
        assert complaints(header) == []


def test_there_is_a_test_for_every_strategy() -> None:
    elsewhere = {"time_interval", "ddl"} | {
        name for name in STRATEGIES if name.startswith(("scd2_", "datavault_"))
    }
    assert set(STRATEGIES) == set(ALL) - {"none"} | elsewhere
