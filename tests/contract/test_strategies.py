"""What each strategy makes of a table, in every warehouse."""

from __future__ import annotations

import pytest

from contract.helpers import TABLE, Warehouse, only, values
from ecommerce_dagster.warehouse.sql_asset import AssetError

DELETE = "materialization: {type: table, strategy: delete+insert, incremental_key: d}"
MERGE = """
materialization: {type: table, strategy: merge}
columns:
  - {name: id, primary_key: true}
  - {name: v, update_on_merge: true}
"""


def test_a_table_is_made_and_told(w: Warehouse) -> None:
    built = w.run(TABLE, values("id, v", "1, 'a'", "2, NULL"))
    assert w.rows() == [(1, "a"), (2, None)]
    assert (built.published, built.rows, built.loaded.rows_written) == (True, 2, 2)
    assert w.columns() == {"id": "integer", "v": "text"}


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
