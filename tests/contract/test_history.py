"""Slowly changing dimensions: the versions of rows, from run to run, in every warehouse."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.helpers import (
    TABLE,
    Complaints,
    Postgres,
    Warehouse,
    each_sql,
    every_lint,
    everywhere,
    values,
)
from ecommerce_dagster.warehouses.sql_asset import AssetError

OPEN_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# The hook tells the time of each run's transaction.
CLOCK = "\nhooks: {post: [{query: INSERT INTO clock VALUES (current_timestamp)}]}"
ID = "\ncolumns: [{name: id, primary_key: true}]"
BY_COLUMN = "materialization: {type: table, strategy: scd2_by_column}" + ID + CLOCK
BY_COLUMN_AND_TIME = BY_COLUMN.replace("by_column}", "by_column, incremental_key: ts}")
BY_TIME = BY_COLUMN_AND_TIME.replace("by_column", "by_time")
every_history = pytest.mark.parametrize("header", [BY_COLUMN, BY_COLUMN_AND_TIME, BY_TIME])


def ts(text: str) -> str:
    """A time in SQL, in 2001 unless it says another year."""
    text = text if text.count("-") == 2 else f"2001-{text}"
    return f"TIMESTAMP '{text}'"


class History:
    """A history table, with its times in words: `run 1`, `open`, or the date itself."""

    def __init__(self, w: Warehouse) -> None:
        self.w = w
        w.sql("CREATE TABLE clock (moment TIMESTAMPTZ)")

    def load(self, header: str, names: str, *rows: str, **options: Any) -> list[tuple[Any, ...]]:
        """Run with these rows of the source, and return the history."""
        query = values(names, *(rows or [", ".join("NULL" for _ in names.split(","))]))
        self.w.run(header, query + ("" if rows else " LIMIT 0"), **options)
        return self.rows()

    def rows(self) -> list[tuple[Any, ...]]:
        runs = [at for (at,) in self.w.sql("SELECT moment FROM clock ORDER BY 1")]
        words = {at: f"run {number}" for number, at in enumerate(runs, 1)} | {OPEN_END: "open"}
        columns = [name for name in self.w.types() if not name.startswith("_")]
        found = self.w.sql(
            f"SELECT {', '.join(columns)}, _valid_from, _valid_until, _is_current FROM mart.t "
            f"ORDER BY {columns[0]} NULLS FIRST, _valid_from, _valid_until"
        )
        return [tuple(_in_words(value, words) for value in row) for row in found]


def _in_words(value: Any, words: dict[datetime, str]) -> Any:
    if not isinstance(value, datetime):
        return value
    if value in words:
        return words[value]
    return f"{value:%m-%d}" if value.year == 2001 else f"{value:%Y-%m-%d}"


@pytest.fixture
def h(w: Warehouse) -> History:
    return History(w)


@each_sql
class TestByColumn:
    def test_the_first_run_makes_every_row_a_current_version(self, h: History) -> None:
        assert h.load(BY_COLUMN, "id, v", "1, 'a'", "2, 'b'") == [
            (1, "a", "run 1", "open", True),
            (2, "b", "run 1", "open", True),
        ]
        assert h.w.columns() == {
            "id": "integer",
            "v": "text",
            "_valid_from": "timestamptz",
            "_valid_until": "timestamptz",
            "_is_current": "boolean",
        }

    @everywhere
    def test_changes_of_three_runs(self, h: History) -> None:
        h.load(BY_COLUMN, "id, v", "1, 'a'", "2, 'b'", "3, 'c'")
        assert h.load(BY_COLUMN, "id, v", "1, 'a'", "2, 'B'", "4, 'd'") == [
            (1, "a", "run 1", "open", True),
            (2, "b", "run 1", "run 2", False),
            (2, "B", "run 2", "open", True),
            (3, "c", "run 1", "run 2", False),
            (4, "d", "run 2", "open", True),
        ]
        assert h.load(BY_COLUMN, "id, v", "1, 'x'", "2, 'b'", "3, 'c'", "4, 'd'") == [
            (1, "a", "run 1", "run 3", False),
            (1, "x", "run 3", "open", True),
            (2, "b", "run 1", "run 2", False),
            (2, "B", "run 2", "run 3", False),
            (2, "b", "run 3", "open", True),
            (3, "c", "run 1", "run 2", False),
            (3, "c", "run 3", "open", True),
            (4, "d", "run 2", "open", True),
        ]

    def test_rows_written_are_those_closed_and_those_opened(self, h: History) -> None:
        def written(*rows: str) -> int | None:
            return h.w.run(BY_COLUMN, values("id, v", *rows)).loaded.rows_written

        assert written("1, 'a'", "2, 'b'", "3, 'c'") == 3
        assert written("1, 'A'", "2, 'b'") == 3  # 1 closed and opened, 3 closed
        assert written("1, 'A'", "2, 'b'") == 0

    def test_to_and_from_null_are_changes_and_null_to_null_is_none(self, h: History) -> None:
        h.load(BY_COLUMN, "id, v", "1, 'a'", "2, NULL", "3, NULL")
        assert h.load(BY_COLUMN, "id, v", "1, NULL", "2, 'b'", "3, NULL") == [
            (1, "a", "run 1", "run 2", False),
            (1, None, "run 2", "open", True),
            (2, None, "run 1", "run 2", False),
            (2, "b", "run 2", "open", True),
            (3, None, "run 1", "open", True),
        ]

    def test_two_changes_in_one_row_are_one_version(self, h: History) -> None:
        h.load(BY_COLUMN, "id, v, w", "1, 'a', 1.0::float8", "2, 'b', 'nan'::float8")
        assert h.load(BY_COLUMN, "id, v, w", "1, 'A', 2.0::float8", "2, 'b', 'nan'::float8")[
            :2
        ] == [
            (1, "a", 1.0, "run 1", "run 2", False),
            (1, "A", 2.0, "run 2", "open", True),
        ]
        assert len(h.rows()) == 3

    def test_of_equal_keys_the_last_row_counts(self, h: History) -> None:
        assert h.load(BY_COLUMN, "id, v", "1, 'b'", "1, 'a'") == [(1, "a", "run 1", "open", True)]
        assert h.load(BY_COLUMN, "id, v", "1, 'b'", "1, 'c'", "1, 'a'") == h.rows()
        assert len(h.rows()) == 1

    def test_of_equal_keys_the_newest_row_counts(self, h: History) -> None:
        rows = (f"1, 'new', {ts('01-02')}", f"1, 'old', {ts('01-01')}", "1, 'none', NULL")
        assert h.load(BY_COLUMN_AND_TIME, "id, v, ts", *rows) == [
            (1, "new", "01-02", "01-02", "open", True)
        ]

    def test_a_version_begins_with_a_later_incremental_key(self, h: History) -> None:
        h.load(BY_COLUMN_AND_TIME, "id, v, ts", f"1, 'a', {ts('01-01')}")
        assert h.load(BY_COLUMN_AND_TIME, "id, v, ts", f"1, 'b', {ts('01-02')}") == [
            (1, "a", "01-01", "01-01", "01-02", False),
            (1, "b", "01-02", "01-02", "open", True),
        ]

    @pytest.mark.parametrize("key", [ts("01-01"), ts("2000-12-31"), "NULL"])
    def test_a_change_whose_incremental_key_is_not_later_begins_now(
        self, h: History, key: str
    ) -> None:
        h.load(BY_COLUMN_AND_TIME, "id, v, ts", f"1, 'a', {ts('01-01')}")
        rows = h.load(BY_COLUMN_AND_TIME, "id, v, ts", f"1, 'b', {key}")
        assert [row[3:] for row in rows] == [("01-01", "run 2", False), ("run 2", "open", True)]

    def test_a_version_never_ends_before_it_begins(self, h: History) -> None:
        h.load(BY_COLUMN_AND_TIME, "id, v, ts", f"1, 'a', {ts('2100-01-01')}")
        h.load(BY_COLUMN_AND_TIME, "id, v, ts", f"1, 'b', {ts('2100-01-01')}")
        assert [row[3:] for row in h.load(BY_COLUMN_AND_TIME, "id, v, ts")] == [
            ("2100-01-01", "2100-01-01", False),
            ("2100-01-01", "2100-01-01", False),
        ]

    def test_an_incremental_key_that_is_no_time_only_tells_which_row_is_newest(
        self, h: History
    ) -> None:
        rows = h.load(BY_COLUMN_AND_TIME, "id, v, ts", "1, 'new', 7", "1, 'old', 6")
        assert rows == [(1, "new", 7, "run 1", "open", True)]

    def test_a_table_of_keys_alone(self, h: History) -> None:
        header = BY_COLUMN.replace("true}]", "true}, {name: b, primary_key: true}]")
        h.load(header, "id, b", "1, 'a'", "2, 'b'", "NULL, NULL")
        assert h.load(header, "id, b", "2, 'b'", "2, 'c'", "NULL, NULL") == [
            (None, None, "run 1", "open", True),
            (1, "a", "run 1", "run 2", False),
            (2, "b", "run 1", "open", True),
            (2, "c", "run 2", "open", True),
        ]

    @everywhere
    def test_any_kind_of_value_can_be_compared(self, h: History) -> None:
        row = {
            "postgres": "1, ARRAY[1, NULL], ROW(1, NULL)::pair, '[1]'::jsonb, '\\xAA'::bytea, b'1'"
        }.get(h.w.name, "1, [1, NULL], {'x': NULL}, MAP {'k': 1}, '[1]'::JSON, '\\xAA'::BLOB")
        if h.w.name == "postgres":
            h.w.sql("CREATE TYPE pair AS (a int, b text)")
        names = "id, a, b, c, d, e"
        before = h.load(BY_COLUMN, names, row)
        assert h.load(BY_COLUMN, names, row) == before
        assert len(h.load(BY_COLUMN, names, row.replace("[1, NULL]", "[1, 2]"))) == 2


@each_sql
class TestByTime:
    def test_a_version_lasts_from_its_key_to_the_next(self, h: History) -> None:
        assert h.load(BY_TIME, "id, v, ts", f"1, 'a', {ts('01-01')}", f"2, 'b', {ts('01-02')}") == [
            (1, "a", "01-01", "01-01", "open", True),
            (2, "b", "01-02", "01-02", "open", True),
        ]
        h.load(BY_TIME, "id, v, ts", f"1, 'A', {ts('01-05')}", f"2, 'b', {ts('01-02')}")
        assert h.load(BY_TIME, "id, v, ts", f"1, 'x', {ts('01-07')}", f"2, 'c', {ts('01-08')}") == [
            (1, "a", "01-01", "01-01", "01-05", False),
            (1, "A", "01-05", "01-05", "01-07", False),
            (1, "x", "01-07", "01-07", "open", True),
            (2, "b", "01-02", "01-02", "01-08", False),
            (2, "c", "01-08", "01-08", "open", True),
        ]

    @pytest.mark.parametrize("late", ["01-05", "01-04"])
    def test_a_late_row_is_ignored(self, h: History, late: str) -> None:
        before = h.load(BY_TIME, "id, v, ts", f"1, 'a', {ts('01-05')}")
        assert h.load(BY_TIME, "id, v, ts", f"1, 'late', {ts(late)}") == before

    def test_a_newer_key_is_a_change_although_nothing_else_is(self, h: History) -> None:
        h.load(BY_TIME, "id, v, ts", f"1, 'a', {ts('01-01')}")
        assert len(h.load(BY_TIME, "id, v, ts", f"1, 'a', {ts('01-02')}")) == 2

    def test_missing_keys_are_closed_now(self, h: History) -> None:
        h.load(BY_TIME, "id, v, ts", f"1, 'a', {ts('01-01')}", f"2, 'b', {ts('01-01')}")
        assert h.load(BY_TIME, "id, v, ts", f"2, 'b', {ts('01-01')}") == [
            (1, "a", "01-01", "01-01", "run 2", False),
            (2, "b", "01-01", "01-01", "open", True),
        ]

    def test_a_key_that_returns_as_it_was_is_valid_from_now(self, h: History) -> None:
        h.load(BY_TIME, "id, v, ts", f"1, 'a', {ts('01-01')}")
        h.load(BY_TIME, "id, v, ts")
        assert h.load(BY_TIME, "id, v, ts", f"1, 'a', {ts('01-01')}") == [
            (1, "a", "01-01", "01-01", "run 2", False),
            (1, "a", "01-01", "run 3", "open", True),
        ]

    @pytest.mark.parametrize("header", [BY_TIME, BY_COLUMN_AND_TIME])
    def test_a_key_that_returns_is_not_valid_while_it_was_missing(
        self, h: History, header: str
    ) -> None:
        h.load(header, "id, v, ts", f"1, 'a', {ts('01-01')}")
        h.load(header, "id, v, ts")
        assert h.load(header, "id, v, ts", f"1, 'b', {ts('01-05')}") == [
            (1, "a", "01-01", "01-01", "run 2", False),
            (1, "b", "01-05", "run 3", "open", True),
        ]

    def test_a_key_that_returns_with_a_later_time_is_valid_from_then(self, h: History) -> None:
        h.load(BY_TIME, "id, v, ts", f"1, 'a', {ts('01-01')}")
        h.load(BY_TIME, "id, v, ts")
        assert h.load(BY_TIME, "id, v, ts", f"1, 'b', {ts('2100-01-01')}")[1] == (
            1, "b", "2100-01-01", "2100-01-01", "open", True,
        )  # fmt: skip

    def test_a_row_without_a_time_is_older_than_all_others(self, h: History) -> None:
        assert h.load(BY_TIME, "id, v, ts", "1, 'a', NULL::TIMESTAMP") == [
            (1, "a", None, "run 1", "open", True)
        ]
        h.load(BY_TIME, "id, v, ts", f"1, 'b', {ts('01-01')}")
        expected = [
            (1, "a", None, "run 1", "run 2", False),
            (1, "b", "01-01", "run 2", "open", True),
        ]
        assert h.rows() == expected
        assert h.load(BY_TIME, "id, v, ts", "1, 'c', NULL::TIMESTAMP") == expected

    def test_of_equal_keys_the_newest_row_counts(self, h: History) -> None:
        rows = (f"1, 'new', {ts('01-02')}", f"1, 'old', {ts('01-01')}", "1, 'none', NULL")
        assert h.load(BY_TIME, "id, v, ts", *rows) == [(1, "new", "01-02", "01-02", "open", True)]

    @pytest.mark.parametrize(
        ("key", "instant"),
        [
            ("DATE '2001-02-03'", datetime(2001, 2, 3, tzinfo=UTC)),
            ("TIMESTAMP '2001-02-03 04:05:06.000007'", datetime(2001, 2, 3, 4, 5, 6, 7, UTC)),
            ("'2001-02-03 04:05:06'::timestamp(0)", datetime(2001, 2, 3, 4, 5, 6, 0, UTC)),
            ("TIMESTAMPTZ '2001-02-03 04:05:06+02'", datetime(2001, 2, 3, 2, 5, 6, 0, UTC)),
        ],
    )
    def test_dates_and_naive_times_are_utc_whatever_the_session(
        self, w: Warehouse, key: str, instant: datetime
    ) -> None:
        header = BY_TIME.replace(CLOCK, "")
        w.sql("SET TimeZone = 'Asia/Tokyo'")
        if isinstance(w, Postgres):  # A run has a session of its own.
            w.sql(f"ALTER DATABASE {w.server.database} SET TimeZone TO 'Asia/Tokyo'")
        w.run(header, f"SELECT 1 AS id, {key} AS ts")
        w.run(header, "SELECT 2 AS id, {} AS ts".format(key.replace("2001", "2002")))
        w.sql("SET TimeZone = 'UTC'")
        assert w.sql("SELECT _valid_from FROM mart.t ORDER BY id") == [
            (instant,),
            (instant.replace(year=2002),),
        ]
        assert w.sql("SELECT max(_valid_until) FROM mart.t") == [(OPEN_END,)]

    def test_the_key_has_its_declared_type(self, w: Warehouse) -> None:
        header = BY_TIME.replace("true}]", "true}, {name: ts, type: timestamp}]").replace(CLOCK, "")
        w.run(header, "SELECT 1 AS id, '2001-02-03' AS ts")
        assert w.columns()["ts"] == "timestamp"
        assert w.sql("SELECT _valid_from FROM mart.t") == [(datetime(2001, 2, 3, tzinfo=UTC),)]

    @pytest.mark.parametrize(("key", "kind"), [("7", "integer"), ("'2001-02-03'::text", "text")])
    def test_a_key_that_is_no_time_is_an_error(self, w: Warehouse, key: str, kind: str) -> None:
        theirs = w.type_names.get(kind, kind)
        message = f"(?i)the column ts is {theirs}; as the incremental_key"
        with pytest.raises(AssetError, match=message):
            w.run(BY_TIME, f"SELECT 1 AS id, {key} AS ts")
        assert w.kind() is None


@each_sql
class TestEveryHistory:
    @every_history
    def test_a_rerun_changes_nothing(self, h: History, header: str) -> None:
        rows = (f"1, 'a', {ts('01-01')}", "NULL, NULL, NULL", "2, 'b', NULL")
        before = h.load(header, "id, v, ts", *rows)
        for _ in range(2):
            assert h.load(header, "id, v, ts", *rows) == before
        assert h.load(header, "id, v, ts", *reversed(rows)) == before

    @every_history
    def test_closed_rows_are_never_touched_again(self, h: History, header: str) -> None:
        def closed() -> list[tuple[Any, ...]]:
            return h.w.sql(
                "SELECT * FROM mart.t WHERE NOT _is_current ORDER BY id NULLS FIRST, _valid_from"
            )

        h.load(header, "id, v, ts", f"1, 'a', {ts('01-01')}", f"2, 'b', {ts('01-01')}")
        h.load(header, "id, v, ts", f"2, 'B', {ts('01-02')}")
        before = closed()
        assert len(before) == 2
        for rows in (
            [f"2, 'B', {ts('01-02')}"],  # nothing new
            [],  # all gone
            [f"1, 'a', {ts('01-01')}", f"2, 'b', {ts('01-03')}"],  # back again
            [f"1, 'z', {ts('01-09')}", f"2, 'b', {ts('01-03')}"],  # changed again
        ):
            h.load(header, "id, v, ts", *rows)
            assert [row for row in closed() if row in before] == before

    @every_history
    def test_without_rows_everything_is_closed(self, h: History, header: str) -> None:
        h.load(header, "id, v, ts", f"1, 'a', {ts('01-01')}", "NULL, 'n', NULL")
        closed = h.load(header, "id, v, ts")
        assert [row[4:] for row in closed] == [("run 2", False)] * 2
        assert h.load(header, "id, v, ts") == closed

    @every_history
    def test_takes_an_empty_first_result(self, h: History, header: str) -> None:
        names = "id, v, ts"
        query = values(names, f"1, 'a', {ts('01-01')}")
        h.w.run(header, f"{query} LIMIT 0")
        assert h.rows() == []
        h.w.run(header, query)
        assert [row[1] for row in h.rows()] == ["a"]

    @every_history
    def test_a_key_that_returns_has_a_new_version(self, h: History, header: str) -> None:
        row = f"1, 'a', {ts('01-01')}"
        h.load(header, "id, v, ts", row)
        h.load(header, "id, v, ts")
        rows = h.load(header, "id, v, ts", row)
        assert [row[4:] for row in rows] == [("run 2", False), ("open", True)]
        assert rows[1][3] == "run 3"
        assert h.load(header, "id, v, ts", row) == rows

    @every_history
    def test_null_is_a_key_like_any_other(self, h: History, header: str) -> None:
        header = header.replace("true}]", "true}, {name: k, primary_key: true}]")
        h.load(header, "id, k, v, ts", f"1, NULL, 'a', {ts('01-01')}", f"1, 1, 'b', {ts('01-01')}")
        twice = (f"1, NULL, 'x', {ts('01-01')}", f"1, NULL, 'A', {ts('01-02')}")
        rows = h.load(header, "id, k, v, ts", *twice, f"1, 1, 'b', {ts('01-01')}")
        assert sorted((str(row[1]), row[2], row[-1]) for row in rows) == [
            ("1", "b", True),
            ("None", "A", True),
            ("None", "a", False),
        ]

    @everywhere
    @every_history
    def test_a_failed_check_leaves_the_history_as_it_was(self, h: History, header: str) -> None:
        before = h.load(header, "id, v, ts", f"1, 'a', {ts('01-01')}")
        checked = (
            header
            + "\ncustom_checks: [{name: c, query: SELECT count(*) FROM mart.t WHERE v = 'b'}]"
        )
        built = h.w.run(checked, values("id, v, ts", f"1, 'b', {ts('01-02')}"))
        assert (built.published, h.rows()) == (False, before)

    @every_history
    def test_full_refresh_starts_from_nothing(self, h: History, header: str) -> None:
        h.load(header, "id, v, ts", f"1, 'a', {ts('01-01')}", f"2, 'b', {ts('01-01')}")
        rows = h.load(header, "id, v, ts", f"1, 'A', {ts('01-02')}", full_refresh=True)
        assert [(row[0], row[1], row[-1]) for row in rows] == [(1, "A", True)]

    @every_history
    @pytest.mark.parametrize("word", ["refresh_restricted", "full_refresh_restricted"])
    def test_full_refresh_leaves_a_restricted_history(
        self, h: History, header: str, word: str
    ) -> None:
        header += f"\n{word}: true"
        h.load(header, "id, v, ts", f"1, 'a', {ts('01-01')}")
        rows = h.load(header, "id, v, ts", f"1, 'A', {ts('01-02')}", full_refresh=True)
        assert [(row[1], row[-1]) for row in rows] == [("a", False), ("A", True)]

    @every_history
    def test_names_are_told_apart_without_case(self, h: History, header: str) -> None:
        before = h.load(header, "ID, v, TS", f"1, 'a', {ts('01-01')}")
        assert h.load(header, "Id, V, Ts", f"1, 'a', {ts('01-01')}") == before

    @everywhere
    @every_history
    def test_names_that_need_quotes(self, h: History, header: str) -> None:
        header = header.replace("name: id", """name: 'an "id" of'""").replace("key: ts", "key: to")
        query = 'SELECT 1 AS "an ""id"" of", DATE \'200{}-01-01\' AS "to", 2 AS source, 3 AS target'
        for year in (1, 2):
            h.w.run(header, query.format(year))
        assert h.w.sql("SELECT count(*) FROM mart.t") == [(2,)]

    def test_the_query_may_not_return_the_columns_of_the_history(self, h: History) -> None:
        with pytest.raises(
            AssetError, match="(?i)the query returns _VALID_FROM, which the strategy"
        ):
            h.load(BY_COLUMN, "id, _VALID_FROM", "1, 2")

    @every_history
    def test_the_query_must_return_the_keys(self, w: Warehouse, header: str) -> None:
        with pytest.raises(AssetError, match="does not return id"):
            w.run(header, "SELECT 1 AS v, DATE '2001-01-01' AS ts")

    def test_a_table_of_another_strategy_is_no_history(self, h: History) -> None:
        h.w.run(TABLE, "SELECT 1 AS id, 'a' AS v")
        with pytest.raises(AssetError, match=r"has no column _valid_from.*--full-refresh"):
            h.load(BY_COLUMN, "id, v", "1, 'a'")
        assert h.w.rows() == [(1, "a")]
        assert h.load(BY_COLUMN, "id, v", "1, 'a'", full_refresh=True)[0][-1] is True
        assert list(h.w.types()) == ["id", "v", "_valid_from", "_valid_until", "_is_current"]

    def test_checks_on_its_own_columns_run(self, h: History) -> None:
        header = BY_COLUMN.replace(
            "true}]", "true}, {name: _valid_from, checks: [{name: not_null}]}]"
        )
        assert h.w.checks(header, "SELECT 1 AS id")["_valid_from: not_null"].passed


class TestSchemaChanges:
    def test_a_new_column_is_null_before_and_its_values_are_changes(self, h: History) -> None:
        h.load(BY_COLUMN, "id, v", "1, 'a'", "2, 'b'")
        built = h.w.run(BY_COLUMN, values("id, v, w", "1, 'a', 5", "2, 'b', NULL"))
        assert built.loaded.schema_changes == (f"added column w {h.w.types()['w']}",)
        assert h.rows() == [
            (1, "a", None, "run 1", "run 2", False),
            (1, "a", 5, "run 2", "open", True),
            (2, "b", None, "run 1", "open", True),
        ]

    def test_a_column_that_comes_no_more_is_no_change(self, h: History) -> None:
        before = h.load(BY_COLUMN, "id, v, w", "1, 'a', 5")
        built = h.w.run(BY_COLUMN, values("id, v", "1, 'a'"))
        assert built.loaded.schema_changes == (
            "the column w is no longer in the query; filled with NULL",
        )
        assert h.rows() == before
        assert h.load(BY_COLUMN, "id, v", "1, 'b'")[1] == (1, "b", None, "run 3", "open", True)

    def test_nothing_is_said_of_the_columns_of_the_history(self, h: History) -> None:
        for _ in range(2):
            built = h.w.run(BY_COLUMN, values("id, v", "1, 'a'"))
            assert built.loaded.schema_changes == ()

    def test_a_wider_type_is_no_change(self, h: History) -> None:
        h.load(BY_COLUMN, "id, v", "1, 1")
        assert h.load(BY_COLUMN, "id, v", "1, 1::BIGINT", "2, 9000000000") == [
            (1, 1, "run 1", "open", True),
            (2, 9000000000, "run 2", "open", True),
        ]
        assert h.w.columns()["v"] == "bigint"

    def test_columns_have_their_declared_types(self, h: History) -> None:
        header = BY_COLUMN.replace(
            "true}]", "true}, {name: v, type: 'decimal(6, 2)'}, {name: d, type: date}]"
        )
        for _ in range(2):
            h.load(header, "id, v, d", "1, 5, '2001-01-02'")
        assert (h.w.columns()["v"], len(h.rows())) == ("numeric(6,2)", 1)
        assert h.rows()[0][2] == date(2001, 1, 2)


@every_lint
class TestLint:
    @pytest.mark.parametrize(
        ("header", "complaint"),
        [
            ("materialization: {type: table, strategy: scd2_by_column}", "`primary_key: true`"),
            (BY_TIME.replace(", incremental_key: ts", ""), "an 'incremental_key'"),
            (BY_TIME.replace("true}]", "true}, {name: TS, type: int}]"), "'TS' is declared as int"),
            (BY_TIME.replace(ID, ""), "`primary_key: true`"),
        ],
    )
    def test_a_history_that_cannot_work_is_reported(
        self, complaints: Complaints, header: str, complaint: str
    ) -> None:
        (message,) = complaints(header)
        assert complaint in message

    @pytest.mark.parametrize("kind", ["", "date", "timestamp", "timestamptz", "timestamp(3)"])
    def test_the_others_are_not(self, complaints: Complaints, kind: str) -> None:
        for header in (BY_COLUMN, BY_COLUMN_AND_TIME, BY_TIME):
            declared = header.replace("true}]", f"true}}, {{name: ts, type: '{kind}'}}]")
            assert complaints(declared) == []


# An oracle. Its time is a number: keys of the past, then the runs, then keys of the future.

_FUTURE, _FIRST_RUN, _END = 10_000, 1_000, 1_000_000


@dataclass(frozen=True)
class Row:
    id: int | None
    v: str | None
    at: int | None

    @property
    def sql(self) -> str:
        year = (
            None if self.at is None else (2001 if self.at < _FUTURE else 2101) + self.at % _FUTURE
        )
        moment = "NULL::TIMESTAMP" if year is None else f"TIMESTAMP '{year}-01-01'"
        return f"{'NULL' if self.id is None else self.id}, {_text(self.v)}, {moment}"


def _text(value: str | None) -> str:
    return "NULL" if value is None else f"'{value}'"


@dataclass(frozen=True)
class Version:
    row: Row
    start: int
    end: int = _END

    @property
    def current(self) -> bool:
        return self.end == _END


def oracle(
    before: Sequence[Version], snapshot: Sequence[Row], now: int, *, by_time: bool, keyed: bool
) -> list[Version]:
    """The history after a run at `now` that finds these rows. `keyed`: `at` is the key of time."""
    rows: dict[int | None, Row] = {}
    for row in snapshot:
        known = rows.get(row.id)
        if not keyed or known is None or not _later(known.at, row.at):
            rows[row.id] = row
    after: list[Version] = []
    for version in before:
        row = rows.get(version.row.id)
        if not version.current or (row and not _changed(version.row, row, by_time)):
            after.append(version)
        elif row is None:
            after.append(replace(version, end=max(now, version.start)))
        else:
            after.append(replace(version, end=_moment(before, row, now, keyed)))
    current = {version.row.id for version in after if version.current}
    new = [row for key, row in rows.items() if key not in current]
    return after + [Version(row, _moment(before, row, now, keyed)) for row in new]


def _later(one: int | None, other: int | None) -> bool:
    return one is not None and (other is None or one > other)


def _changed(old: Row, new: Row, by_time: bool) -> bool:
    return _later(new.at, old.at) if by_time else new != old


def _moment(before: Sequence[Version], row: Row, now: int, keyed: bool) -> int:
    known = [v.start if v.current else v.end for v in before if v.row.id == row.id]
    if keyed and row.at is not None and row.at > max(known, default=-1):
        return row.at
    return max([now, *known])


def _moments(w: Warehouse) -> Iterator[tuple[datetime, int]]:
    """What the oracle calls the times of a table."""
    for number, (at,) in enumerate(w.sql("SELECT moment FROM clock ORDER BY 1")):
        yield at, _FIRST_RUN + number
    for year in range(5):
        yield datetime(2001 + year, 1, 1, tzinfo=UTC), year
        yield datetime(2101 + year, 1, 1, tzinfo=UTC), _FUTURE + year
    yield OPEN_END, _END


def _versions(w: Warehouse) -> list[Version]:
    numbers = dict(_moments(w))
    found = []
    for id, v, at, start, end, current in w.rows():
        moment = None if at is None else numbers[at.replace(tzinfo=UTC)]
        version = Version(Row(id, v, moment), numbers[start], numbers[end])
        assert version.current is current
        found.append(version)
    return found


def _sorted(versions: Sequence[Version]) -> list[Version]:
    return sorted(versions, key=repr)


rows_of_a_source = st.lists(
    st.builds(
        Row,
        id=st.sampled_from([None, 1]),
        v=st.sampled_from([None, "a", "b"]),
        at=st.sampled_from([None, 0, 1, _FUTURE, _FUTURE + 1]),
    ),
    max_size=3,
)


class TestAgainstAnOracle:
    @each_sql
    @every_history
    @settings(
        max_examples=10 * int(os.environ.get("FUZZ", "1")),
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(snapshots=st.lists(rows_of_a_source, min_size=1, max_size=5))
    def test_any_snapshots(self, w: Warehouse, header: str, snapshots: list[list[Row]]) -> None:
        by_time, keyed = header == BY_TIME, header != BY_COLUMN
        w.sql(
            "DROP SCHEMA IF EXISTS mart CASCADE",
            "DROP TABLE IF EXISTS clock",
            "CREATE TABLE clock (moment TIMESTAMPTZ)",
        )
        expected: list[Version] = []
        for number, snapshot in enumerate(snapshots):
            query = _query(snapshot)
            w.run(header, query)
            now = _FIRST_RUN + number
            expected = oracle(expected, snapshot, now, by_time=by_time, keyed=keyed)
            assert _sorted(_versions(w)) == _sorted(expected)
            _assert_sound(expected)
        before = w.rows()
        w.run(header, query)
        assert w.rows() == before


def _query(snapshot: Sequence[Row]) -> str:
    rows = [row.sql for row in snapshot] or ["0, '', TIMESTAMP '2001-01-01'"]
    columns = "id::INTEGER AS id, v::VARCHAR AS v, ts"
    return values("id, v, ts", *rows).replace("*", columns, 1) + ("" if snapshot else " LIMIT 0")


def _assert_sound(history: Sequence[Version]) -> None:
    """Each key has one current version at most, and its versions do not overlap."""
    for key in {version.row.id for version in history}:
        versions = sorted((v for v in history if v.row.id == key), key=lambda v: (v.start, v.end))
        assert [v.current for v in versions[:-1]] == [False] * (len(versions) - 1)
        for one, other in pairwise(versions):
            assert one.start <= one.end <= other.start
