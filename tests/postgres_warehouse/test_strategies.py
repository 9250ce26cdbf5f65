"""What each strategy makes of a table: on its first run, on the next, and when it is rebuilt."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from warehouse.helpers import day

from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.postgres_warehouse import lint_postgres_materialization
from ecommerce_dagster.postgres_warehouse.strategies import STRATEGIES
from ecommerce_dagster.warehouse.sql_asset import AssetError
from ecommerce_dagster.warehouse.strategies import STRATEGIES as IN_DUCKDB
from postgres_warehouse.helpers import TABLE, VIEW, Warehouse, asset_of, values

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
BY_TIME = """
materialization:
  {type: table, strategy: time_interval, incremental_key: ts, time_granularity: timestamp}
"""
BY_DATE = BY_TIME.replace("granularity: timestamp", "granularity: date")
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
        assert built.published
        assert built.rows == built.loaded.rows_written == 2

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
        header += f"\n{word}: true"
        w.run(header, values(names, "1, 'a'"))
        w.run(header, values(names, "2, 'b'"), full_refresh=True)
        assert w.rows() == [(1, "a"), (2, "b")][header == f"{TRUNCATE}\n{word}: true" :]

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
        with pytest.raises(AssetError, match='invalid input syntax for type integer: "oops"'):
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
        assert w.types() == {names[: names.index(",")]: "integer", "v": "text"}
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
    @pytest.mark.parametrize("tail", [";", " -- end", "; -- end", ";;", "\n/* ; */ ;\n-- a\n-- b"])
    def test_nothing_after_a_query_harms_it(
        self, w: Warehouse, header: str, names: str, tail: str
    ) -> None:
        for _ in range(2):
            w.run(header, f"-- first; second\n{values(names, '1, $$a;$$')}{tail}")
        assert set(w.rows()) == {(1, "a;")}

    @every_strategy
    def test_a_column_that_two_names_differ_in_by_case_is_refused(
        self, w: Warehouse, header: str, names: str
    ) -> None:
        with pytest.raises(AssetError, match=r"same name but for case \(V, v\)"):
            w.run(header, values(f'{names}, "V"', "1, 'a', 'b'"))


class TestCreateReplace:
    @pytest.mark.parametrize("header", [TABLE, REPLACE])
    def test_the_last_run_is_all_there_is(self, w: Warehouse, header: str) -> None:
        for rows in (["1, 'a'"], ["2, 'b'", "3, 'c'"], ["4, NULL::text", "4, NULL"]):
            w.run(header, values("id, v", *rows))
        assert w.rows() == [(4, None), (4, None)]

    def test_columns_and_types_follow_the_query(self, w: Warehouse) -> None:
        w.run(REPLACE, "SELECT 1 AS a, 2 AS b")
        w.run(REPLACE, "SELECT 'x' AS b, 1.5 AS c")
        assert w.types() == {"b": "text", "c": "numeric"}

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


HOURLY = (
    "SELECT ts, 'x' AS v FROM generate_series(TIMESTAMPTZ '2024-01-01 00:00:00+00',"
    " '2024-01-01 18:00:00+00', INTERVAL '6h') AS ts"
)
FILTERED = """SELECT * FROM events
WHERE ts >= '{{ start_timestamp }}' AND ts <= '{{ end_timestamp }}'"""


class TestTimeInterval:
    @pytest.fixture
    def events(self, w: Warehouse) -> Warehouse:
        """Three days, with an event in the last microsecond of the second one."""
        w.sql(
            "CREATE TABLE events AS SELECT ts, 'v' || row_number() OVER () AS v FROM (VALUES"
            " (TIMESTAMPTZ '2024-01-01 00:00:00+00'), ('2024-01-01 12:00:00+00'),"
            " ('2024-01-02 00:00:00+00'), ('2024-01-02 23:59:59.999999+00'),"
            " ('2024-01-03 00:00:00+00')) AS e(ts)"
        )
        return w

    @pytest.mark.parametrize("header", [BY_TIME, BY_DATE])
    def test_runs_by_day_hold_what_one_run_holds(self, events: Warehouse, header: str) -> None:
        for number in (1, 2, 3):
            events.run(header, FILTERED, interval=day(f"2024-01-0{number}"), strict_window=True)
        assert events.rows() == events.rows("events")
        events.run(header, FILTERED, interval=day("2024-01-01", days=3), strict_window=True)
        assert events.rows() == events.rows("events")

    @pytest.mark.parametrize("header", [BY_TIME, BY_DATE])
    def test_a_rerun_is_exact(self, events: Warehouse, header: str) -> None:
        events.run(header, FILTERED, interval=day("2024-01-01", days=3))
        events.sql("UPDATE events SET v = 'changed' WHERE ts = '2024-01-02 23:59:59.999999+00'")
        events.sql("DELETE FROM events WHERE ts = '2024-01-02 00:00:00+00'")
        for _ in range(3):
            built = events.run(header, FILTERED, interval=day("2024-01-02"), strict_window=True)
            assert built.loaded.rows_written == 1
            assert events.rows() == events.rows("events")

    @pytest.mark.parametrize("header", [BY_TIME, BY_DATE])
    def test_a_row_that_moved_into_the_window_is_only_there(
        self, events: Warehouse, header: str
    ) -> None:
        header += "columns: [{name: V, primary_key: true}]"
        events.run(header, FILTERED, interval=day("2024-01-01", days=3))
        events.sql("UPDATE events SET ts = '2024-01-02 09:00:00+00' WHERE v IN ('v1', 'v5')")
        built = events.run(header, FILTERED, interval=day("2024-01-02"), strict_window=True)
        assert (built.loaded.rows_written, built.loaded.rows_moved) == (4, 2)
        assert events.rows() == events.rows("events")

    @pytest.mark.parametrize("kind", ["timestamp", "timestamptz"])
    @pytest.mark.parametrize("header", [BY_TIME, BY_DATE])
    def test_the_last_microsecond_belongs_to_the_window_and_the_next_does_not(
        self, w: Warehouse, header: str, kind: str
    ) -> None:
        everything = values(
            "ts",
            *(f"'{t}'::{kind}" for t in (
                "2023-12-31 23:59:59.999999", "2024-01-01 00:00:00", "2024-01-01 23:59:59.999999",
                "2024-01-02 00:00:00",
            )),
        )  # fmt: skip
        w.run(header, everything, interval=day("2024-01-01"))
        w.run(header, everything + " LIMIT 0", interval=day("2024-01-01"))
        assert [row[0] for row in w.sql("SELECT ts::text FROM mart.t ORDER BY 1")] == [
            "2023-12-31 23:59:59.999999" + ("+00" if kind == "timestamptz" else ""),
            "2024-01-02 00:00:00" + ("+00" if kind == "timestamptz" else ""),
        ]

    def test_a_date_column_by_date(self, w: Warehouse) -> None:
        dates = values("ts, v", "DATE '2024-01-01', 1", "DATE '2024-01-02', 2", "'2024-01-03', 3")
        w.run(BY_DATE, dates, interval=day("2024-01-01", days=3))
        w.run(BY_DATE, dates + " WHERE v = 2", interval=day("2024-01-02"), strict_window=True)
        assert w.rows() == [(date(2024, 1, n), n) for n in (1, 2, 3)]

    def test_part_of_a_day_is_replaced_by_timestamp_and_the_day_by_date(self, w: Warehouse) -> None:
        six = datetime(2024, 1, 1, 6, tzinfo=UTC)
        hour = Interval(six, six.replace(hour=7))
        for header, left in ((BY_TIME, 3), (BY_DATE, 0)):
            w.run(header, HOURLY, full_refresh=True)
            w.run(header, "SELECT * FROM mart.t LIMIT 0", interval=hour)
            assert len(w.rows()) == left

    @pytest.mark.parametrize("first", [True, False])
    def test_rows_outside_of_the_window_are_refused_and_named(
        self, events: Warehouse, first: bool
    ) -> None:
        if not first:
            events.run(BY_TIME, FILTERED, interval=day("2024-01-01"), strict_window=True)
        before = [] if first else events.rows()
        with pytest.raises(AssetError) as error:
            events.run(
                BY_TIME,
                "SELECT * FROM events UNION ALL SELECT NULL, 'no time'",
                interval=day("2024-01-02"),
                strict_window=True,
            )
        assert (
            "4 of 6 rows lie outside of 2024-01-02 by ts (for example 2024-01-01 00:00:00+00, "
            "2024-01-01 12:00:00+00, 2024-01-03 00:00:00+00, NULL)"
        ) in str(error.value)
        assert (events.rows() if events.kind() else []) == before

    def test_outside_of_partitions_the_query_decides_as_in_the_original(
        self, events: Warehouse
    ) -> None:
        events.run(BY_TIME, "SELECT * FROM events", interval=day("2024-01-02"))
        events.run(BY_TIME, "SELECT * FROM events", interval=day("2024-01-02"))
        assert len(events.rows()) == 2 + 2 * 3

    def test_a_full_refresh_of_one_partition_keeps_the_others(self, events: Warehouse) -> None:
        events.run(BY_TIME, FILTERED, interval=day("2024-01-01", days=3))
        events.run(
            BY_TIME, FILTERED, interval=day("2024-01-02"), strict_window=True, full_refresh=True
        )
        assert events.rows() == events.rows("events")

    def test_without_dates_it_is_about_yesterday_like_its_templates(self, w: Warehouse) -> None:
        w.sql("CREATE TABLE events AS SELECT now() - n * INTERVAL '1 day' AS ts, n"
              " FROM generate_series(0, 4) AS t(n)")  # fmt: skip
        w.run(BY_TIME, "SELECT * FROM events", interval=day("2000-01-01"))
        w.run(BY_TIME, FILTERED)
        w.run(BY_TIME, FILTERED)
        assert w.rows() == w.rows("events")

    def test_its_key_must_come(self, w: Warehouse) -> None:
        with pytest.raises(AssetError, match="does not return ts, which the strategy needs"):
            w.run(BY_TIME, "SELECT 1 AS id", interval=day("2024-01-01"))


class TestView:
    def test_it_follows_its_tables(self, w: Warehouse) -> None:
        w.sql("CREATE TABLE n AS SELECT 1 AS i")
        built = w.run(VIEW, "SELECT i * 2 AS twice FROM n; -- doubled")
        w.sql("INSERT INTO n VALUES (2)")
        assert (w.kind(), w.rows()) == ("view", [(2,), (4,)])
        assert (built.rows, built.loaded.rows_written) == (None, None)
        assert built.columns == {"twice": "integer"}

    def test_it_is_replaced_and_replaces_a_table(self, w: Warehouse) -> None:
        w.run(TABLE, "SELECT 1 AS a")
        for text in ("SELECT 2 AS b", "SELECT 3 AS c", "SELECT 4 AS c", "SELECT 5 AS c, 6 AS d"):
            w.run(VIEW, text)
            assert w.kind() == "view"
        assert w.rows() == [(5, 6)]

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
        assert built.loaded.statements == (
            "CREATE TABLE a AS SELECT 1 AS n",
            "INSERT INTO a VALUES (2)",
        )

    @pytest.mark.parametrize("end", ["COMMIT", "END", "commit and chain", "/* c */ Commit Work"])
    def test_it_is_all_or_nothing_whatever_it_says_about_transactions(
        self, w: Warehouse, end: str
    ) -> None:
        with pytest.raises(AssetError, match="missing"):
            w.run("{}", f"BEGIN; CREATE TABLE a AS SELECT 1 AS n; {end}; SELECT * FROM missing")
        assert w.kind("a") is None
        w.run("{}", f"BEGIN; CREATE TABLE a AS SELECT 1 AS n; {end}")
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


class TestLint:
    @pytest.mark.parametrize(
        ("header", "complaint"),
        [
            (
                "materialization: {type: view, strategy: merge}",
                "needs `type: table`, this is 'view'",
            ),
            ("materialization: {strategy: append}", "needs `type: table`, this is 'none'"),
            ("materialization: {type: table, strategy: apend}", "did you mean 'append'?"),
            ("materialization: {type: table, strategy: delete+insert}", "an 'incremental_key'"),
            ("materialization: {type: table, strategy: merge}", "`primary_key: true`"),
            (BY_TIME.replace(", time_granularity: timestamp", ""), "`time_granularity: date`"),
        ],
    )
    def test_a_materialization_that_cannot_work_is_reported(
        self, header: str, complaint: str
    ) -> None:
        log = ProblemLog()
        lint_postgres_materialization(asset_of(header), log)
        (problem,) = log.errors
        assert complaint in problem.message

    @pytest.mark.parametrize("header", [h for h, _ in ALL.values()] + [BY_TIME, BY_DATE, VIEW])
    def test_the_others_are_not(self, header: str) -> None:
        log = ProblemLog()
        lint_postgres_materialization(asset_of(header), log)
        assert log.errors == ()

    def test_there_is_a_test_for_every_strategy(self) -> None:
        elsewhere = {"time_interval", "ddl"} | {
            name for name in STRATEGIES if name.startswith(("scd2_", "datavault_"))
        }
        assert set(STRATEGIES) == set(ALL) - {"none"} | elsewhere
        assert set(STRATEGIES) == set(IN_DUCKDB)
