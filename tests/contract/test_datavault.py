"""Hubs, links and satellites, in every warehouse: rows are only added, however the runs come."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.helpers import TABLE, Complaints, Warehouse, each_sql, every_lint, everywhere, values
from ecommerce_dagster.warehouses.sql_asset import AssetError

HK = "columns: [{name: hk, primary_key: true}]"
HUB = "materialization: {type: table, strategy: datavault_hub}\n" + HK
LINK = HUB.replace("hub", "link")
DATED_HUB = HUB.replace("hub}", "hub, incremental_key: ld}")
DATED_LINK = DATED_HUB.replace("hub", "link")
SATELLITE = DATED_HUB.replace("hub", "satellite")
UNDATED = HUB.replace("hub", "satellite")
TWO_KEYS = "{name: hk, primary_key: true}, {name: ld, primary_key: true}"
every_table = pytest.mark.parametrize("header", [HUB, LINK, DATED_HUB, SATELLITE, UNDATED])
hubs_and_links = pytest.mark.parametrize("header", [HUB, LINK])
dated_hubs_and_links = pytest.mark.parametrize("header", [DATED_HUB, DATED_LINK])


def run(w: Warehouse, header: str, names: str, *rows: str, **options: Any) -> list[Any]:
    """Run with these rows of the source, and return the table."""
    query = values(names, *(rows or [", ".join("NULL" for _ in names.split(","))]))
    w.run(header, query + ("" if rows else " LIMIT 0"), **options)
    return w.rows()


@each_sql
class TestEveryTable:
    @every_table
    def test_a_repeated_run_adds_nothing(self, w: Warehouse, header: str) -> None:
        rows = ("'a', 1, 10", "NULL, 1, NULL", "'b', NULL, 20")
        before = run(w, header, "hk, ld, v", *rows)
        assert len(before) == 3
        assert run(w, header, "hk, ld, v", *rows) == before
        built = w.run(header, values("hk, ld, v", *rows))
        assert (built.loaded.rows_written, built.loaded.schema_changes) == (0, ())

    @every_table
    def test_nothing_is_ever_taken_away(self, w: Warehouse, header: str) -> None:
        before = run(w, header, "hk, ld, v", "'a', 1, 10", "'b', 1, 20")
        assert run(w, header, "hk, ld, v") == before
        assert set(before) <= set(run(w, header, "hk, ld, v", "'c', 2, 30"))

    @every_table
    def test_takes_an_empty_first_result(self, w: Warehouse, header: str) -> None:
        query = values("hk, ld, v", "'a', 1, 10")
        w.run(header, query + " LIMIT 0")
        assert w.rows() == []
        w.run(header, query)
        assert w.rows() == [("a", 1, 10)]

    @every_table
    def test_full_refresh_starts_from_nothing(self, w: Warehouse, header: str) -> None:
        run(w, header, "hk, ld, v", "'a', 1, 10")
        assert run(w, header, "hk, ld, v", "'b', 2, 20", full_refresh=True) == [("b", 2, 20)]

    @every_table
    def test_full_refresh_leaves_a_restricted_table(self, w: Warehouse, header: str) -> None:
        header += "\nfull_refresh_restricted: true"
        run(w, header, "hk, ld, v", "'a', 1, 10")
        run(w, header, "hk, ld, v", "'b', 2, 20", full_refresh=True)
        assert w.rows() == [("a", 1, 10), ("b", 2, 20)]

    @every_table
    def test_a_failed_check_leaves_the_table_as_it_was(self, w: Warehouse, header: str) -> None:
        before = run(w, header, "hk, ld, v", "'a', 1, 10")
        checked = header + "\ncustom_checks: [{name: c, query: SELECT count(*) - 1 FROM mart.t}]"
        assert not w.run(checked, values("hk, ld, v", "'b', 2, 20")).published
        assert w.rows() == before

    @everywhere
    @every_table
    def test_new_columns_and_wider_types_are_taken_over(self, w: Warehouse, header: str) -> None:
        run(w, header, "hk, ld, v", "'a', 1, 10")
        run(w, header, "hk, ld, v, w", "'b', 2, 9000000000, 'x'")
        assert w.rows() == [("a", 1, 10, None), ("b", 2, 9000000000, "x")]

    @every_table
    def test_what_another_strategy_made_is_taken_over(self, w: Warehouse, header: str) -> None:
        w.run(TABLE, values("hk, ld, v", "'a', 1, 10"))
        w.run(header, values("hk, ld, v", "'a', 1, 10", "'b', 1, 10"))
        assert w.rows() == [("a", 1, 10), ("b", 1, 10)]

    @every_table
    def test_the_query_must_return_the_key(self, w: Warehouse, header: str) -> None:
        with pytest.raises(AssetError, match="does not return hk"):
            run(w, header, "ld, v", "1, 2")


@each_sql
class TestHubsAndLinks:
    @everywhere
    @hubs_and_links
    def test_only_unknown_keys_are_added(self, w: Warehouse, header: str) -> None:
        assert run(w, header, "hk, bk", "'a', 1", "'b', 2") == [("a", 1), ("b", 2)]
        assert run(w, header, "hk, bk", "'b', 99", "'c', 3") == [("a", 1), ("b", 2), ("c", 3)]

    @hubs_and_links
    def test_of_equal_keys_the_first_row_stays(self, w: Warehouse, header: str) -> None:
        assert run(w, header, "hk, bk", "'a', 2", "'a', 1", "'a', 3") == [("a", 2)]

    @dated_hubs_and_links
    def test_of_equal_keys_the_oldest_row_stays(self, w: Warehouse, header: str) -> None:
        rows = ("'a', 'undated', NULL", "'a', 'new', 2", "'a', 'old', 1")
        assert run(w, header, "hk, bk, ld", *rows) == [("a", "old", 1)]

    @hubs_and_links
    def test_null_is_a_key_like_any_other(self, w: Warehouse, header: str) -> None:
        assert run(w, header, "hk, bk", "NULL, 1", "NULL, 2", "'a', 3") == [(None, 1), ("a", 3)]
        assert run(w, header, "hk, bk", "NULL, 9") == [(None, 1), ("a", 3)]

    @hubs_and_links
    def test_a_key_of_several_columns(self, w: Warehouse, header: str) -> None:
        header = header.replace("true}]", "true}, {name: hk2, primary_key: true}]")
        run(w, header, "hk, hk2", "'a', 1", "'a', NULL")
        assert run(w, header, "hk, hk2", "'a', 1", "'a', 2", "'a', NULL") == [
            ("a", None),
            ("a", 1),
            ("a", 2),
        ]

    def test_full_refresh_takes_each_key_once(self, w: Warehouse) -> None:
        for full_refresh in (False, True):
            assert run(w, HUB, "hk, v", "1, 'x'", "1, 'y'", full_refresh=full_refresh) == [(1, "x")]

    def test_rows_written_are_those_added(self, w: Warehouse) -> None:
        assert w.run(HUB, values("hk", "1", "2", "2")).loaded.rows_written == 2
        assert w.run(HUB, values("hk", "2", "3")).loaded.rows_written == 1


@each_sql
class TestSatellites:
    @everywhere
    def test_a_row_is_added_for_each_change(self, w: Warehouse) -> None:
        run(w, SATELLITE, "hk, v, ld", "'a', 'x', 1", "'b', 'y', 1")
        assert run(w, SATELLITE, "hk, v, ld", "'a', 'x', 2", "'b', 'z', 2", "'c', 'n', 2") == [
            ("a", "x", 1),
            ("b", "y", 1),
            ("b", "z", 2),
            ("c", "n", 2),
        ]
        assert run(w, SATELLITE, "hk, v, ld", "'b', 'y', 3")[1:4] == [
            ("b", "y", 1),
            ("b", "y", 3),
            ("b", "z", 2),
        ]

    def test_to_and_from_null_are_changes_and_null_to_null_is_none(self, w: Warehouse) -> None:
        run(w, SATELLITE, "hk, v, ld", "1, 'x', 1", "2, NULL, 1", "3, NULL, 1")
        assert run(w, SATELLITE, "hk, v, ld", "1, NULL, 2", "2, 'x', 2", "3, NULL, 2") == [
            (1, None, 2),
            (1, "x", 1),
            (2, None, 1),
            (2, "x", 2),
            (3, None, 1),
        ]

    @pytest.mark.parametrize("name", ["hashdiff", "customer_HashDiff", "hash_diff"])
    def test_a_hash_diff_alone_tells_a_change(self, w: Warehouse, name: str) -> None:
        names = f"hk, v, {name}, ld"
        before = run(w, SATELLITE, names, "'a', 'x', 'h1', 1")
        assert run(w, SATELLITE, names, "'a', 'other', 'h1', 2") == before
        assert len(run(w, SATELLITE, names, "'a', 'x', 'h2', 3")) == 2

    @pytest.mark.parametrize("late", [1, 2])
    def test_a_late_row_is_ignored(self, w: Warehouse, late: int) -> None:
        before = run(w, SATELLITE, "hk, v, ld", "'a', 'x', 2")
        assert run(w, SATELLITE, "hk, v, ld", f"'a', 'late', {late}") == before

    def test_a_row_without_a_date_is_older_than_all_others(self, w: Warehouse) -> None:
        run(w, SATELLITE, "hk, v, ld", "'a', 'x', NULL::INTEGER")
        run(w, SATELLITE, "hk, v, ld", "'a', 'y', 1", "'a', 'w', NULL")
        assert run(w, SATELLITE, "hk, v, ld", "'a', 'z', NULL") == [("a", "x", None), ("a", "y", 1)]

    @everywhere
    def test_one_run_may_bring_several_changes(self, w: Warehouse) -> None:
        run(w, SATELLITE, "hk, v, ld", "'a', 'x', 1")
        rows = ("'a', 'z', 5", "'a', 'x', 2", "'a', 'y', 4", "'a', 'y', 3")
        assert run(w, SATELLITE, "hk, v, ld", *rows) == [
            ("a", "x", 1),
            ("a", "y", 3),
            ("a", "z", 5),
        ]

    def test_what_was_said_before_may_be_said_again_in_one_run(self, w: Warehouse) -> None:
        run(w, SATELLITE, "hk, v, ld", "'a', 'x', 1")
        rows = ("'a', 'y', 2", "'a', 'x', 3")
        assert run(w, SATELLITE, "hk, v, ld", *rows) == [
            ("a", "x", 1),
            ("a", "x", 3),
            ("a", "y", 2),
        ]

    def test_a_row_without_a_date_comes_before_the_others_of_its_run(self, w: Warehouse) -> None:
        rows = ("'a', 'y', 1", "'a', 'x', 2", "'a', 'x', NULL")
        assert len(run(w, SATELLITE, "hk, v, ld", *rows)) == 3

    def test_of_rows_with_one_date_the_last_counts(self, w: Warehouse) -> None:
        assert run(w, SATELLITE, "hk, v, ld", "'a', 'x', 1", "'a', 'y', 1") == [("a", "y", 1)]

    def test_null_is_a_key_like_any_other(self, w: Warehouse) -> None:
        run(w, SATELLITE, "hk, v, ld", "NULL, 'x', 1")
        assert run(w, SATELLITE, "hk, v, ld", "NULL, 'x', 2", "NULL, 'y', 3") == [
            (None, "x", 1),
            (None, "y", 3),
        ]

    def test_the_date_may_be_declared_as_part_of_the_key(self, w: Warehouse) -> None:
        header = SATELLITE.replace("{name: hk, primary_key: true}", TWO_KEYS)
        run(w, header, "hk, v, ld", "'a', 'x', 1")
        assert run(w, header, "hk, v, ld", "'a', 'x', 2", "'b', 'x', 2") == [
            ("a", "x", 1),
            ("b", "x", 2),
        ]

    def test_a_satellite_of_keys_alone(self, w: Warehouse) -> None:
        run(w, SATELLITE, "hk, ld", "'a', 1")
        assert run(w, SATELLITE, "hk, ld", "'a', 2", "'b', 2") == [("a", 1), ("b", 2)]

    def test_without_a_date_each_saying_is_there_once(self, w: Warehouse) -> None:
        run(w, UNDATED, "hk, v", "'a', 'x'", "'a', 'x'", "'b', NULL")
        run(w, UNDATED, "hk, v", "'a', 'y'", "'b', NULL")
        assert run(w, UNDATED, "hk, v", "'a', 'x'") == [("a", "x"), ("a", "y"), ("b", None)]

    def test_names_are_told_apart_without_case(self, w: Warehouse) -> None:
        before = run(w, SATELLITE, "HK, V, LD", "'a', 'x', 1")
        assert run(w, SATELLITE, "hk, v, ld", "'a', 'x', 2") == before


@every_lint
class TestLint:
    @pytest.mark.parametrize(
        ("header", "complaint"),
        [
            (HUB.replace(", primary_key: true", ""), "'datavault_hub' needs a column with `prim"),
            (LINK.replace(HK, ""), "'datavault_link' needs a column with `primary_key: true`"),
            (SATELLITE.replace(HK, ""), "'datavault_satellite' needs a column with"),
            (SATELLITE.replace("name: hk", "name: LD"), "beside the incremental_key"),
        ],
    )
    def test_a_table_that_cannot_work_is_reported(
        self, complaints: Complaints, header: str, complaint: str
    ) -> None:
        (message,) = complaints(header)
        assert complaint in message

    @every_table
    def test_the_others_are_not(self, complaints: Complaints, header: str) -> None:
        assert complaints(header) == []


Saying = tuple[int | None, str | None, int]
sayings = st.tuples(st.sampled_from([None, 1]), st.sampled_from([None, "x"]), st.integers(1, 6))


def _latest_of_each_date(rows: Sequence[Saying]) -> list[Saying]:
    return [(hk, v, ld) for (hk, ld), v in {(hk, ld): v for hk, v, ld in rows}.items()]


def _changes(rows: Sequence[Saying]) -> set[Saying]:
    """The rows of a satellite: the first of each key, and those unlike the row before."""
    found = set()
    for key in {hk for hk, _, _ in rows}:
        ordered = sorted((row for row in rows if row[0] == key), key=lambda row: row[2])
        found |= {ordered[0]} | {new for old, new in pairwise(ordered) if old[1] != new[1]}
    return found


@each_sql
@settings(
    max_examples=8 * int(os.environ.get("FUZZ", "1")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(sayings, min_size=1, max_size=12), st.sets(st.integers(1, 6)), st.randoms())
def test_any_split_into_runs_makes_the_same_satellite(
    w: Warehouse, rows: list[Saying], ends: set[int], random: Any
) -> None:
    w.sql("DROP SCHEMA IF EXISTS mart CASCADE")
    rows = _latest_of_each_date(rows)
    random.shuffle(rows)
    for start, end in pairwise([0, *sorted(ends), 6]):
        batch = [row for row in rows if start < row[2] <= end]
        for _ in range(2):
            _run_satellite(w, batch)
    assert set(w.rows()) == _changes(rows)
    assert len(w.rows()) == len(_changes(rows))
    _run_satellite(w, rows)
    assert set(w.rows()) == _changes(rows)


def _run_satellite(w: Warehouse, rows: Sequence[Saying]) -> None:
    cells = [", ".join("NULL" if cell is None else repr(cell) for cell in row) for row in rows] or [
        "1, 'x', 1"
    ]
    columns = "SELECT hk::integer AS hk, v::text AS v, ld"
    query = values("hk, v, ld", *cells).replace("SELECT *", columns, 1)
    w.run(SATELLITE, query + ("" if rows else " LIMIT 0"))
