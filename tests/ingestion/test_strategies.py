"""What each strategy takes from the source, and what it leaves in the table."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.helpers import World, days

APPEND = {"incremental_strategy": "append", "incremental_key": "id"}
MERGE = {"incremental_strategy": "merge", "incremental_key": "at", "primary_key": "id"}
BY_DAY = {"incremental_strategy": "delete+insert", "incremental_key": "at"}
STRATEGIES = pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"incremental_strategy": "replace"},
        {"incremental_strategy": "truncate+insert"},
        APPEND,
        MERGE,
        BY_DAY,
        {"incremental_strategy": "merge", "primary_key": "id"},
    ],
    ids=["default", "replace", "truncate", "append", "merge", "delete", "merge without a key"],
)


def source(w: World, *rows: str, kind: str = "timestamptz") -> None:
    """The table t with these rows of id, at and v."""
    w.sql(f"CREATE TABLE t (id int, at {kind}, v text)")
    insert(w, *rows)


def insert(w: World, *rows: str) -> None:
    for row in rows:
        w.sql(f"INSERT INTO t VALUES ({row})")


def loaded(w: World) -> list[Any]:
    """The values of v in the table, in order."""
    return [v for (v,) in w.rows("SELECT v FROM raw.t ORDER BY v")]


@STRATEGIES
def test_the_first_run_takes_everything(w: World, parameters: dict[str, str]) -> None:
    source(w, "1, '2024-01-01Z', 'a'", "2, NULL, 'b'", "3, '-infinity', 'c'", "4, 'infinity', 'd'")
    w.load(parameters)
    assert loaded(w) == ["a", "b", "c", "d"]


@STRATEGIES
def test_a_second_run_without_changes_changes_nothing(w: World, parameters: dict[str, str]) -> None:
    source(w, "1, '2024-01-01Z', 'a'", "2, NULL, 'b'", "3, '-infinity', 'c'", "4, 'infinity', 'd'")
    w.load(parameters)
    before = w.rows()
    assert not w.load(parameters).loaded.schema_changes
    assert w.rows() == before


@STRATEGIES
def test_an_empty_source_is_an_empty_table_and_then_fills(
    w: World, parameters: dict[str, str]
) -> None:
    source(w)
    w.load(parameters)
    w.load(parameters)
    assert loaded(w) == []
    insert(w, "1, '2024-01-01Z', 'a'", "2, '2024-01-02Z', 'b'")
    w.load(parameters)
    assert loaded(w) == ["a", "b"]


@STRATEGIES
def test_a_full_refresh_is_the_source_again_whatever_the_interval(
    w: World, parameters: dict[str, str]
) -> None:
    source(w, "1, '2024-01-01Z', 'a'", "2, '2024-01-02Z', 'b'", "3, '2024-01-03Z', 'c'")
    w.load(parameters)
    w.sql("DELETE FROM t WHERE id = 2", "UPDATE t SET v = 'z', at = '2020-01-01Z' WHERE id = 3")
    w.sql("ALTER TABLE t ALTER id TYPE text")
    w.load(parameters, interval=days("2024-01-01"), full_refresh=True)
    assert loaded(w) == ["a", "z"]
    assert w.types()["id"] == "VARCHAR"


@pytest.mark.parametrize("parameters", [MERGE, BY_DAY], ids=["merge", "delete"])
def test_a_table_that_keeps_its_history_is_not_refreshed(
    w: World, parameters: dict[str, str]
) -> None:
    source(w, "1, '2024-01-01Z', 'a'")
    w.load(parameters, "refresh_restricted: true")
    w.sql("DELETE FROM t")
    insert(w, "2, '2024-01-02Z', 'b'")
    w.load(parameters, "refresh_restricted: true", interval=days("2024-01-02"), full_refresh=True)
    assert loaded(w) == ["a", "b"]


class TestReplace:
    def test_the_table_is_what_the_source_is_now(self, w: World) -> None:
        source(w, "1, NULL, 'a'", "2, NULL, 'b'")
        w.load()
        w.sql("DELETE FROM t WHERE id = 1", "UPDATE t SET v = 'c'")
        w.load(interval=days("2024-01-01"))
        assert loaded(w) == ["c"]

    def test_truncating_keeps_the_columns_that_come_no_more(self, w: World) -> None:
        source(w, "1, NULL, 'a'")
        w.load("incremental_strategy: truncate+insert")
        w.sql("ALTER TABLE t DROP COLUMN at", "UPDATE t SET v = 'b'")
        w.load("incremental_strategy: truncate+insert")
        assert w.rows() == [(1, None, "b")]


class TestAppend:
    def test_rows_with_keys_that_were_not_there_are_new(self, w: World) -> None:
        source(w, "1, NULL, 'a'", "5, NULL, 'b'")
        w.load(APPEND)
        w.sql("UPDATE t SET v = 'changed'", "DELETE FROM t WHERE id = 1")
        insert(w, "3, NULL, 'smaller'", "6, NULL, 'c'")
        w.load(APPEND, "meta: {compare_keys: off}")
        assert loaded(w) == ["a", "b", "c"]
        w.load(APPEND)
        assert loaded(w) == ["a", "b", "c", "smaller"]

    def test_without_a_key_everything_is_added_each_time(self, w: World) -> None:
        source(w, "1, NULL, 'a'")
        w.load("incremental_strategy: append")
        w.load("incremental_strategy: append")
        assert loaded(w) == ["a", "a"]

    def test_new_rows_without_a_key_stop_the_load_instead_of_being_missed(self, w: World) -> None:
        source(w, "1, NULL, 'a'", "NULL, NULL, 'b'")
        w.load(APPEND)
        insert(w, "2, NULL, 'c'", "NULL, NULL, 'd'")
        assert w.failure(APPEND) == (
            "the incremental_key id is NULL or infinite in 2 rows of the source and in 1 of raw.t: "
            "'append' cannot tell which are new; use 'merge', or another key"
        )
        assert loaded(w) == ["a", "b"]

    def test_an_infinite_key_does_not_hide_later_ones_nor_comes_twice(self, w: World) -> None:
        source(w, "1, 'infinity', 'a'", "2, '2024-01-01Z', 'b'", "3, '-infinity', 'c'")
        by_time = {**APPEND, "incremental_key": "at"}
        w.load(by_time)
        insert(w, "4, '2024-01-02Z', 'd'")
        w.load(by_time)
        assert loaded(w) == ["a", "b", "c", "d"]
        insert(w, "5, 'infinity', 'e'")
        assert "at is NULL or infinite in 3 rows of the source" in w.failure(by_time)

    def test_rows_without_a_key_alone_are_not_added_again(self, w: World) -> None:
        source(w, "NULL, NULL, 'a'")
        w.load(APPEND)
        w.load(APPEND)
        insert(w, "1, NULL, 'b'")
        w.load(APPEND)
        assert loaded(w) == ["a", "b"]

    def test_a_table_without_the_key_cannot_be_continued(self, w: World) -> None:
        source(w, "1, NULL, 'a'")
        w.load("incremental_strategy: append\nsql_exclude_columns: id")
        assert w.failure(APPEND) == (
            "raw.t has no column 'id' (incremental_key) to continue from; "
            "run once with --full-refresh to rebuild the table"
        )


class TestMerge:
    def test_rows_at_or_after_the_largest_key_are_updated_or_added(self, w: World) -> None:
        source(w, "1, '2024-01-01Z', 'a'", "2, '2024-01-02Z', 'b'", "3, '2024-01-02Z', 'c'")
        w.load(MERGE)
        w.sql(
            "UPDATE t SET v = 'a2' WHERE id = 1",
            "UPDATE t SET v = 'b2' WHERE id = 2",
            "UPDATE t SET v = 'c2', at = '2024-01-05Z' WHERE id = 3",
        )
        insert(w, "4, '2024-01-01 23:59:59.999999Z', 'late'", "5, '2024-01-02Z', 'd'")
        w.load(MERGE, "meta: {overlap: 0, compare_keys: off}")
        # What has an earlier key is not looked at: so much a watermark promises, and no more.
        assert loaded(w) == ["a", "b2", "c2", "d"]

    def test_rows_without_a_key_are_taken_every_time(self, w: World) -> None:
        source(w, "1, '2024-01-02Z', 'a'", "2, NULL, 'b'")
        w.load(MERGE)
        w.sql("UPDATE t SET v = 'b2' WHERE id = 2")
        insert(w, "3, NULL, 'c'", "4, '-infinity', 'd'")
        w.load(MERGE)
        w.sql("UPDATE t SET at = NULL, v = 'a2' WHERE id = 1")
        w.load(MERGE)
        assert loaded(w) == ["a2", "b2", "c", "d"]

    def test_an_infinite_key_does_not_hide_later_ones(self, w: World) -> None:
        source(w, "1, 'infinity', 'a'", "2, '2024-01-01Z', 'b'")
        w.load(MERGE)
        w.sql("UPDATE t SET v = 'a2' WHERE id = 1")
        insert(w, "3, '2024-01-02Z', 'c'")
        w.load(MERGE)
        assert loaded(w) == ["a2", "b", "c"]

    def test_without_an_incremental_key_everything_is_merged(self, w: World) -> None:
        source(w, "1, '2024-01-02Z', 'a'", "2, '2024-01-01Z', 'b'")
        parameters = {"incremental_strategy": "merge", "primary_key": "id"}
        w.load(parameters)
        w.sql("UPDATE t SET v = v || '2'", "DELETE FROM t WHERE id = 1")
        w.load(parameters, "meta: {compare_keys: off}")
        assert loaded(w) == ["a", "b2"]
        w.load(parameters)
        assert loaded(w) == ["b2"]

    @pytest.mark.parametrize("as_list", [True, False])
    def test_the_primary_key_may_have_several_columns_and_be_a_parameter(
        self, w: World, as_list: bool
    ) -> None:
        w.sql("CREATE TABLE t (a int, b text, at date, v text)")
        insert(w, "1, 'x', '2024-01-01', 'p'", "1, 'y', '2024-01-01', 'q'", "NULL, 'x', NULL, 'r'")
        parameters = {**MERGE, "primary_key": ["a", "b"] if as_list else "a, b"}
        w.load(parameters)
        w.sql("UPDATE t SET v = v || '2'")
        w.load(parameters)
        assert loaded(w) == ["p2", "q2", "r2"]

    def test_marked_columns_are_the_key_in_whatever_case(self, w: World) -> None:
        source(w, "1, '2024-01-01Z', 'a'")
        parameters = {"incremental_strategy": "merge", "incremental_key": "AT"}
        rest = "columns: [{name: ID, primary_key: true}, {name: v, type: text}]"
        w.load(parameters, rest)
        w.sql("UPDATE t SET v = 'b'")
        w.load(parameters, rest)
        assert loaded(w) == ["b"]
        assert list(w.types()) == ["id", "at", "v"]

    def test_a_key_that_is_a_parameter_keeps_its_declared_type(self, w: World) -> None:
        source(w, "1, '2024-01-01Z', 'a'")
        w.load({**MERGE, "primary_key": "id"}, "columns: [{name: ID, type: varchar}]")
        assert w.types()["id"] == "VARCHAR"

    def test_of_rows_with_one_key_the_newest_stays(self, w: World) -> None:
        source(w, "1, '2024-01-02Z', 'new'", "1, '2024-01-01Z', 'old'", "1, NULL, 'none'")
        w.sql("CREATE VIEW s AS SELECT * FROM t")
        parameters = {**MERGE, "source_table": "public.s"}
        w.load(parameters)
        assert loaded(w) == ["new"]
        insert(w, "1, '2024-01-03Z', 'newer'", "1, '2024-01-02Z', 'again'")
        w.load(parameters)
        assert loaded(w) == ["newer"]

    def test_a_table_that_has_no_key_column_yet_takes_everything(self, w: World) -> None:
        source(w, "1, '2024-01-01Z', 'a'")
        w.load({"incremental_strategy": "merge", "primary_key": "id", "sql_exclude_columns": "at"})
        w.sql("UPDATE t SET v = 'b'")
        w.load(MERGE)
        assert w.rows('SELECT v, "at"::DATE::VARCHAR FROM raw.t') == [("b", "2024-01-01")]


class TestDeleteAndInsert:
    def test_a_window_is_loaded_anew_and_nothing_else(self, w: World) -> None:
        source(w, "1, '2024-01-01Z', 'a'", "2, '2024-01-02Z', 'b'", "3, '2024-01-03Z', 'c'")
        w.load(BY_DAY)
        w.sql("UPDATE t SET v = v || '2'")
        w.load(BY_DAY, interval=days("2024-01-02"))
        assert loaded(w) == ["a", "b2", "c"]

    def test_the_first_run_with_an_interval_takes_the_interval(self, w: World) -> None:
        source(w, "1, '2024-01-01Z', 'a'", "2, '2024-01-02Z', 'b'", "3, '2024-01-03Z', 'c'")
        w.load(BY_DAY, interval=days("2024-01-02", 2))
        assert loaded(w) == ["b", "c"]

    @pytest.mark.parametrize("kind", ["timestamptz", "timestamp"])
    def test_a_window_is_half_open(self, w: World, kind: str) -> None:
        source(
            w,
            "1, '2024-01-01 23:59:59.999999Z', 'before'",
            "2, '2024-01-02 00:00:00Z', 'first'",
            "3, '2024-01-02 23:59:59.999999Z', 'last'",
            "4, '2024-01-03 00:00:00Z', 'after'",
            kind=kind,
        )
        w.load(BY_DAY, interval=days("2024-01-02"))
        w.load(BY_DAY, interval=days("2024-01-02"))
        assert loaded(w) == ["first", "last"]

    def test_a_date_belongs_to_the_window_that_its_midnight_is_in(self, w: World) -> None:
        source(w, "1, '2024-01-01', 'a'", "2, '2024-01-02', 'b'", kind="date")
        w.load(BY_DAY, interval=days("2024-01-02"))
        w.load(BY_DAY, interval=days("2024-01-02"))
        assert loaded(w) == ["b"]

    @pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
    def test_a_day_is_the_same_day_whatever_the_time_zone_of_the_role(
        self, w: World, kind: str
    ) -> None:
        source(w, "1, '2024-01-02 00:00Z', 'a'", "2, '2024-01-02 23:30Z', 'b'", kind=kind)
        insert(w, "3, '2024-01-03 01:00Z', 'c'", "4, '2024-01-01 23:00Z', 'd'")
        role = w.new_role("ALTER ROLE {role} SET TimeZone = 'Asia/Tokyo'")
        w.load(BY_DAY, interval=days("2024-01-02"), connection=role)
        assert loaded(w) == ["a", "b"]

    def test_deleted_rows_leave_the_window(self, w: World) -> None:
        source(w, "1, '2024-01-01Z', 'a'", "2, '2024-01-02Z', 'b'")
        w.load(BY_DAY)
        w.sql("DELETE FROM t")
        w.load(BY_DAY, interval=days("2024-01-02"))
        assert loaded(w) == ["a"]

    def test_a_row_that_moved_is_where_it_is_when_both_days_are_loaded(self, w: World) -> None:
        source(w, "1, '2024-01-01Z', 'a'", "2, '2024-01-02Z', 'b'")
        w.load(BY_DAY)
        w.sql("UPDATE t SET at = '2024-01-02Z' WHERE id = 1")
        w.load(BY_DAY, interval=days("2024-01-01", 2))
        assert loaded(w) == ["a", "b"]
        w.sql("UPDATE t SET at = '2024-01-01Z' WHERE id = 2")
        w.load(BY_DAY, interval=days("2024-01-02"))
        w.load(BY_DAY, interval=days("2024-01-01"))
        assert loaded(w) == ["a", "b"]

    @pytest.mark.parametrize("order", [("2024-01-02",), ("2024-01-01", "2024-01-02"),
                                       ("2024-01-02", "2024-01-01")])  # fmt: skip
    def test_a_row_that_moved_is_in_one_place_in_whatever_order_the_days_are_loaded(
        self, w: World, order: tuple[str, ...]
    ) -> None:
        source(w, "1, '2024-01-01Z', 'a'", "2, '2024-01-02Z', 'b'", "3, '2024-01-03Z', 'c'")
        parameters = {**BY_DAY, "primary_key": "id"}
        w.load(parameters)
        w.sql("UPDATE t SET at = '2024-01-02 12:00Z' WHERE id IN (1, 3)")
        moved = [w.load(parameters, interval=days(day)).loaded.rows_moved or 0 for day in order]
        assert loaded(w) == ["a", "b", "c"]
        assert w.rows() == w.sql("SELECT * FROM t ORDER BY id")
        assert sum(moved) == (1 if order[0] == "2024-01-01" else 2)

    def test_without_an_interval_rows_without_a_key_are_taken_too(self, w: World) -> None:
        source(w, "1, NULL, 'a'", "2, '2024-01-02Z', 'b'")
        w.load(BY_DAY)
        w.load(BY_DAY, interval=days("2024-01-02"))
        assert loaded(w) == ["a", "b"]

    def test_the_granularity_of_the_file_does_not_widen_what_is_deleted(self, w: World) -> None:
        source(w, "1, '2024-01-02 01:00Z', 'a'", "2, '2024-01-02 13:00Z', 'b'")
        rest = "materialization: {type: table, time_granularity: date}"
        w.load(BY_DAY, rest)
        day = days("2024-01-02")
        noon = day.start + (day.end - day.start) / 2
        w.load(BY_DAY, rest, interval=type(day)(day.start, noon))
        assert loaded(w) == ["a", "b"]

    def test_the_other_spelling_of_the_parameters_does_the_same(self, w: World) -> None:
        source(w, "1, '2024-01-01Z', 'a'", "2, '2024-01-02Z', 'b'")
        rest = "materialization: {type: table, strategy: delete+insert, incremental_key: at}"
        w.load("", rest, interval=days("2024-01-02"))
        assert loaded(w) == ["b"]

    @pytest.mark.parametrize("kind", ["int", "text", "time"])
    def test_an_interval_needs_a_key_that_is_a_time(self, w: World, kind: str) -> None:
        w.sql(f"CREATE TABLE t (id int, at {kind})")
        w.load(BY_DAY)
        assert "an interval needs a date or a timestamp" in w.failure(
            BY_DAY, interval=days("2024-01-01")
        )


KEYS = pytest.mark.parametrize(
    ("kind", "first", "second", "third"),
    [
        ("smallint", "-5", "7", "8"),
        ("bigint", "9", "10", "9223372036854775807"),
        ("numeric", "9.5", "10.25", "10.250000001"),
        ("numeric(9,2)", "9.5", "10.25", "10.26"),
        ("double precision", "0.1", "0.30000000000000004", "1e300"),
        ("real", "0.1", "0.2", "0.3"),
        ("date", "2024-01-31", "2024-02-01", "2024-02-02"),
        (
            "timestamp",
            "2024-01-01 09:00",
            "2024-01-01 10:00:00.000001",
            "2024-01-01 10:00:00.000002",
        ),
        (
            "timestamptz",
            "2024-01-01 09:00Z",
            "2024-01-01 10:00:00.000001Z",
            "2024-01-01 10:00:00.000002Z",
        ),
        ("timestamp", "0044-03-15 BC", "0043-03-15 BC", "0001-01-01"),
        (
            "uuid",
            "00000000-0000-0000-0000-000000000001",
            "7fffffff-0000-0000-0000-000000000001",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ),
        ("text", "B", "a", "b'\\"),
        ("varchar(9)", "", "Z", "é"),
        ("char(3)", "9", "a", "b"),
    ],
)


@KEYS
def test_any_ordered_type_can_be_the_key(
    w: World, kind: str, first: str, second: str, third: str
) -> None:
    first, second, third = (value.replace("'", "''") for value in (first, second, third))
    w.sql(f"CREATE TABLE t (id serial, k {kind}, v text DEFAULT 'old')")
    w.sql(f"INSERT INTO t (k) VALUES ('{second}'), ('{first}')")
    merge = {**MERGE, "incremental_key": "k"}
    w.load(merge)
    w.sql(f"INSERT INTO t (k) VALUES ('{third}')", "UPDATE t SET v = 'new'")
    w.load(merge)
    assert w.rows("SELECT id, v FROM raw.t ORDER BY id") == [(1, "new"), (2, "old"), (3, "new")]
    assert w.load({**merge, "incremental_strategy": "append"}).loaded.rows_written == 0


@pytest.mark.parametrize("parameters", [MERGE, APPEND, BY_DAY], ids=["merge", "append", "delete"])
def test_an_index_finds_the_rows(w: World, parameters: dict[str, str]) -> None:
    w.sql("CREATE TABLE t (id int, at timestamptz, v text)")
    w.sql(
        "INSERT INTO t SELECT i, '2024-01-01Z'::timestamptz + i * interval '1 min', 'v'"
        " FROM generate_series(1, 50000) AS i",
        "CREATE INDEX ON t (at)",
        "ANALYZE t",
    )
    parameters = {**parameters, "incremental_key": "at"}
    w.load(parameters)
    w.sql("SELECT pg_stat_reset()")
    w.load(parameters, interval=days("2024-01-03"))
    assert w.uses_an_index()


@pytest.mark.parametrize("kind", ["text", "varchar"])
def test_texts_are_compared_by_their_bytes_whatever_the_collation(w: World, kind: str) -> None:
    known = w.sql("SELECT collname FROM pg_collation WHERE collname IN ('en-x-icu', 'en_US', 'C')")
    w.sql(f'CREATE TABLE t (id serial, k {kind} COLLATE "{max(known)[0]}")')
    w.sql("INSERT INTO t (k) VALUES ('a')")
    merge = {**MERGE, "incremental_key": "k"}
    w.load(merge)
    w.sql("INSERT INTO t (k) VALUES ('é'), ('b'), ('B')")
    statements = w.load(merge, "meta: {compare_keys: off}").loaded.statements
    assert w.rows("SELECT k FROM raw.t ORDER BY k") == [("a",), ("b",), ("é",)]
    assert 'COLLATE "C"' in statements[0]  # not every PostgreSQL has another collation


@pytest.mark.parametrize("strategy", ["append", "merge"])
def test_a_key_whose_order_is_another_in_duckdb_is_refused(w: World, strategy: str) -> None:
    w.sql("CREATE TYPE mood AS ENUM ('z', 'a')", "CREATE TABLE t (id int, e mood, n int)")
    w.sql("INSERT INTO t VALUES (1, 'z', 9)")
    for key, rest in (("e", ""), ("n", "columns: [{name: n, type: varchar}]")):
        parameters = {**MERGE, "incremental_strategy": strategy, "incremental_key": key}
        w.load(parameters, rest, full_refresh=True)
        message = w.failure(parameters, rest)
        assert message.startswith(f"the incremental_key {key} is ")
        assert message.endswith("the two are not in the same order; take another key")


@STRATEGIES
def test_a_missing_incremental_key_is_named(w: World, parameters: dict[str, str]) -> None:
    w.sql("CREATE TABLE t (id int, b text)")
    message = w.failure({**parameters, "incremental_key": "updated"})
    assert message == "public.t has no column 'updated' (incremental_key); it has id, b"


def test_a_missing_primary_key_is_named(w: World) -> None:
    w.sql("CREATE TABLE t (a int, b text)")
    message = w.failure({"incremental_strategy": "merge", "primary_key": "id"})
    assert "id" in message
    assert "a, b" in message


def test_a_rejected_load_leaves_the_table(w: World) -> None:
    source(w, "1, '2024-01-01Z', 'a'")
    w.load(MERGE)
    w.sql("ALTER TABLE t ALTER id TYPE uuid USING gen_random_uuid()")
    w.failure(MERGE)
    assert loaded(w) == ["a"]
