"""What a build reports: rows, those before, columns that came, went or changed."""

from __future__ import annotations

import pytest

from contract.helpers import TABLE, VIEW, Warehouse, day, values

REPLACE = "materialization: {type: table, strategy: create+replace}"
APPEND = "materialization: {type: table, strategy: append}"
ALWAYS = "meta: {publish: always}"


def changes(w: Warehouse, header: str, *queries: str) -> list[str]:
    """The changes of the columns that the last of these queries makes, types as tests call them."""
    for query in queries:
        told = w.run(header, query).loaded.schema_changes
    return [_common(w, text) for text in told]


def _common(w: Warehouse, text: str) -> str:
    for ours, theirs in w.type_names.items():
        text = text.replace(theirs, ours)
    return text.lower()


@pytest.mark.parametrize("header", [TABLE, REPLACE, VIEW], ids=["none", "replace", "view"])
class TestARebuild:
    def test_reports_added_and_dropped_columns(self, w: Warehouse, header: str) -> None:
        assert changes(w, header, "SELECT 1 AS a, 2 AS b") == []
        assert changes(w, header, "SELECT 1 AS a, 'x'::text AS c") == [
            "added column c text",
            "dropped column b",
        ]
        assert changes(w, header, "SELECT 2 AS a, 'y'::text AS c") == []

    def test_reports_another_type(self, w: Warehouse, header: str) -> None:
        found = changes(w, header, "SELECT 1 AS a, 1 AS b", "SELECT 1::bigint AS a, 'x'::text AS b")
        assert found == [
            "changed column a from integer to bigint",
            "changed column b from integer to text",
        ]

    def test_reports_another_name(self, w: Warehouse, header: str) -> None:
        found = changes(w, header, "SELECT 1 AS a, 2 AS b", "SELECT 1 AS n, 2 AS b")
        assert found == ["added column n integer", "dropped column a"]

    def test_reports_a_name_in_another_case(self, w: Warehouse, header: str) -> None:
        told = w.run(header, 'SELECT 1 AS "Id"').loaded.schema_changes
        assert told == ()
        assert w.run(header, 'SELECT 1 AS "id"').loaded.schema_changes == (
            "renamed column Id to id",
        )
        assert list(w.columns()) == ["id"]

    def test_that_is_not_published_tells_what_it_would_have_changed(
        self, w: Warehouse, header: str
    ) -> None:
        header += "\ncolumns: [{name: a, checks: [{name: positive}]}]"
        built = changes(w, header, "SELECT 1 AS a", "SELECT -1 AS a, 2 AS b")
        assert built == ["added column b integer"]
        assert list(w.columns()) == ["a"]


def test_a_table_that_becomes_a_view_tells_its_columns(w: Warehouse) -> None:
    w.run(TABLE, "SELECT 1 AS a")
    assert changes(w, VIEW, "SELECT 1 AS b") == ["added column b integer", "dropped column a"]
    assert changes(w, TABLE, "SELECT 1 AS a") == ["added column a integer", "dropped column b"]


def test_an_append_tells_what_it_does_to_the_columns_once(w: Warehouse) -> None:
    w.run(APPEND, "SELECT 1::integer AS n, 'x'::text AS gone")
    found = changes(w, APPEND, "SELECT 2::bigint AS n, 'y'::text AS new")
    assert found == [
        "widened column n from integer to bigint",
        "added column new text",
        "the column gone is no longer in the query; filled with null",
    ]
    assert w.columns() == {"n": "bigint", "gone": "text", "new": "text"}
    assert w.rows() == [(1, "x", None), (2, None, "y")]


def test_a_full_refresh_is_a_rebuild(w: Warehouse) -> None:
    w.run(APPEND, "SELECT 1 AS a, 2 AS b")
    built = w.run(APPEND, "SELECT 1 AS a", full_refresh=True)
    assert built.loaded.schema_changes == ("dropped column b",)


def test_rows_and_those_before(w: Warehouse) -> None:
    first = w.run(APPEND, values("n", "1", "2"))
    assert (first.rows_before, first.rows, first.loaded.rows_written) == (None, 2, 2)
    second = w.run(APPEND, values("n", "3"))
    assert (second.rows_before, second.rows, second.loaded.rows_written) == (2, 3, 1)
    view = w.run(VIEW, "SELECT 1 AS n")
    assert (view.rows_before, view.rows, view.loaded.rows_written) == (3, None, None)
    assert view.columns.keys() == {"n"}
    table = w.run(TABLE, values("n", "3"))
    assert (table.rows_before, table.rows) == (None, 1)


def test_the_first_rows_and_a_size(w: Warehouse) -> None:
    facts = w.run(TABLE, values("n", *map(str, range(30)))).facts
    assert len(facts.preview) == 10
    assert facts.size_bytes
    assert not w.run(VIEW, "SELECT 1 AS n").facts.preview


@pytest.mark.parametrize("value", ["'infinity'::date", "'20000-01-01'::date"])
def test_a_value_that_python_cannot_hold_is_no_reason_to_fail(w: Warehouse, value: str) -> None:
    for header in (TABLE, f"{TABLE}\n{ALWAYS}"):
        built = w.run(header, f"SELECT {value} AS d")
        assert (built.published, built.rows) == (True, 1)


BY_TIME = """
materialization:
  {type: table, strategy: time_interval, incremental_key: ts, time_granularity: timestamp}
"""


@pytest.mark.parametrize("granularity", ["timestamp", "date"])
def test_a_key_of_text_is_a_time_too(w: Warehouse, granularity: str) -> None:
    header = BY_TIME.replace("granularity: timestamp", f"granularity: {granularity}")
    days = [f"'2024-01-0{n} 12:00:00', {n}" for n in (1, 2, 3)]
    w.run(header, values("ts, v", *days), interval=day("2024-01-01", days=3), strict_window=True)
    second = values("ts, v", "'2024-01-02 13:00:00', 20")
    w.run(header, second, interval=day("2024-01-02"), strict_window=True)
    assert [v for _, v in w.rows()] == [1, 20, 3]
    noon = 1704067200.0
    assert w.moments("ts", "day") == {noon + n * 86400: 1 for n in range(3)}
    assert w.moments("ts", "day", day("2024-01-02")) == {noon + 86400: 1}


@pytest.mark.parametrize(
    ("key", "moments"),
    [
        ("'2024-01-01'::date", [1704067200.0]),
        ("'2024-01-01 23:00:00'::timestamp", [1704067200.0]),
        ("'2024-01-01 23:00:00-05'::timestamptz", [1704153600.0]),
        ("'2024-01-01 23:00:00'", [1704067200.0]),
        ("'2024-01-01T23:00:00-05:00'", [1704153600.0]),
        ("'nobody knows'", []),
        ("'infinity'::timestamp", []),
        ("NULL::timestamp", []),
    ],
)
def test_the_days_that_have_rows(w: Warehouse, key: str, moments: list[float]) -> None:
    w.run(TABLE, f"SELECT {key} AS ts")
    assert list(w.moments("ts", "day")) == moments
