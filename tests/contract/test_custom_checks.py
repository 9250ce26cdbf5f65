"""Custom checks: a query and the answer that is expected of it."""

from __future__ import annotations

import pytest

from contract.checked import ROWS, custom, words_of
from contract.helpers import TABLE, Warehouse, each_sql


@each_sql
class TestValue:
    @pytest.mark.parametrize(
        ("cell", "expected"),
        [
            ("0", 0), ("count(*)", 5), ("sum(n)", 10), ("-7", -7), ("3::smallint", 3),
            ("true", 1), ("false", 0), ("count(*) > 3", 1),
            ("2.00", 2), ("2e0", 2), ("avg(n)", 2), ("'42'", 42), ("' 42 '", 42), ("'2.0'", 2),
            ("9007199254740993", 9007199254740993), ("'9007199254740993'", 9007199254740993),
        ],
    )  # fmt: skip
    def test_a_number_in_any_form_is_compared(self, w: Warehouse, cell: str, expected: int) -> None:
        query = f"SELECT {cell} FROM {{{{ this }}}}" + ("" if "(" in cell else " LIMIT 1")
        assert custom(w, query, value=expected).passed
        wrong = custom(w, query, value=expected + 1)
        assert (wrong.passed, wrong.error) == (False, None)

    def test_zero_is_expected_unless_said_otherwise(self, w: Warehouse) -> None:
        assert custom(w, "SELECT count(*) FROM mart.t WHERE n > 9").passed
        assert not custom(w, "SELECT count(*) FROM mart.t").passed

    @pytest.mark.parametrize("cell", ["3.9", "3.9::float8", "3.0001::real", "'3.5'"])
    def test_a_fraction_is_not_what_was_expected(self, w: Warehouse, cell: str) -> None:
        for value in (3, 4):
            assert not custom(w, f"SELECT {cell}", value=value).passed
            assert not custom(w, f"SELECT -(({cell})::float8)", value=-value).passed

    @pytest.mark.parametrize(
        ("cell", "shown"),
        [("1.49", "1.49"), ("0.9", "0.9"), ("-0.1", "-0.1"), ("'-2.5'", "-2.5"),
         ("'nan'::float8", "nan"), ("'inf'::real", "inf"), ("'-inf'", "-inf"), ("NOT false", "1")],
    )  # fmt: skip
    def test_what_is_not_zero_is_shown_whole(self, w: Warehouse, cell: str, shown: str) -> None:
        result = custom(w, f"SELECT {cell}")
        message = f"custom check 'my check' returned {shown}; expected 0"
        assert (result.passed, result.message, result.failed_rows) == (False, message, None)


# A query without an answer, and the reason: that of DuckDB and that of PostgreSQL where they differ.
UNANSWERABLE: list[tuple[str, str, str] | tuple[str, str]] = [
    ("SELECT sum(n) FROM mart.t WHERE n > 9", "returned NULL; wrap its answer in coalesce"),
    ("SELECT NULL", "returned NULL"),
    ("SELECT n FROM mart.t WHERE n > 9", "one row with one column; it returned no row"),
    ("SELECT n FROM mart.t", "it returned more than one row"),
    ("SELECT n, n FROM mart.t", "it returned more than one row"),
    ("SELECT 1, 2", "it returned 2 columns"),
    ("SELECT 'many'", "the query returned 'many', which is not a number"),
    ("SELECT ''", "the query returned '', which is not a number"),
    ("SELECT DATE '2024-01-01'", "'2024-01-01', which is not a number"),
    ("SELECT '00000000-0000-0000-0000-000000000000'::uuid", "which is not a number"),
    ("SELECT ARRAY[1]", "'[1]', which is not a number"),
    ("", "there is no query"),
    ("-- nothing", "there is no query"),
    ("SELECT 0; SELECT 0", "one query is needed here, not 2 statements"),
    ("DROP TABLE mart.t", "a query is needed here, not DROP"),
    ("SELECT 0; DROP TABLE mart.t", "one query is needed here, not 2 statements"),
    ("SELECT 0) AS r; COMMIT; SELECT (0", "syntax error", "not 3 statements"),
    ("SELECT 'x", "unterminated quoted string", "has no end"),
    ("SELECT {{ nope }}", "missing variable 'nope'"),
    ("SELECT $1", "parameters", "there is no parameter $1"),
    ("SELEC 0", "syntax error", "a query is needed here, not SELEC"),
    ("SELECT nope", "nope"),
    ("SELECT 0 FROM nowhere", "nowhere does not exist", 'relation "nowhere" does not exist'),
    ("SELECT CAST('x' AS integer)", "Could not convert string 'x'", 'type integer: "x"'),
]


@each_sql
@pytest.mark.parametrize("case", UNANSWERABLE, ids=[query for query, *_ in UNANSWERABLE])
def test_no_answer_is_a_failure_with_a_reason(w: Warehouse, case: tuple[str, ...]) -> None:
    query, reason = case[0], words_of(w, case[1], case[-1])
    result = custom(w, query)
    assert (result.passed, result.rejects) == (False, True)
    assert result.message.startswith("could not be evaluated: ")
    assert reason in str(result.error)
    assert w.kind() is None
    assert custom(w, query, blocking=False).message == result.message
    assert len(w.rows()) == 5


@each_sql
class TestCount:
    @pytest.mark.parametrize(
        "query",
        [
            "SELECT * FROM mart.t WHERE n < 2",
            "SELECT * FROM mart.t WHERE n < 2;",
            "SELECT * FROM mart.t WHERE n < 2 -- two",
            "SELECT * FROM mart.t WHERE n < 2; -- two",
            "-- two\nSELECT * FROM mart.t /* of five */ WHERE n < 2 ;;\n",
            "WITH few AS (SELECT * FROM mart.t WHERE n < 2) SELECT n, n FROM few",
            "SELECT NULL, n FROM mart.t ORDER BY n LIMIT 2",
            "VALUES (1), (2)",
            "(SELECT 1) UNION ALL (SELECT 2)",
        ],
    )
    def test_rows_are_counted(self, w: Warehouse, query: str) -> None:
        assert custom(w, query, count=2).passed
        result = custom(w, query, count=3)
        assert result.message == "custom check 'my check' returned 2; expected 3"
        assert len(result.sample) == 2
        assert result.failed_rows is None

    def test_rows_that_must_not_be_are_counted_and_shown(self, w: Warehouse) -> None:
        result = custom(w, "SELECT n FROM mart.t WHERE n > 2", count=0)
        assert (result.failed_rows, result.sample) == (2, ({"n": 3}, {"n": 4}))


@each_sql
class TestTrailingText:
    @pytest.mark.parametrize("tail", [";", " -- note", "; -- note", ";;", "\n;\n-- a\n-- b\n"])
    def test_nothing_after_a_query_harms_it(self, w: Warehouse, tail: str) -> None:
        assert custom(w, f"SELECT count(*) FROM mart.t WHERE n > 9{tail}").passed
        assert custom(w, f"SELECT count(*) FROM mart.t{tail}", value=5).passed

    def test_text_may_look_like_parameters(self, w: Warehouse) -> None:
        assert custom(w, "SELECT count(*) FROM mart.t WHERE n::text IN ('?', '$1', '%s')").passed


@each_sql
class TestSample:
    @pytest.mark.parametrize(
        "query",
        [
            "SELECT count(*) FROM mart.t WHERE n > 2",
            "select COUNT(*) as bad from mart.t where n > 2;",
            "SELECT count(1) FROM mart.t WHERE n > 2 -- note",
            "select COUNT(1) as bad from mart.t t where t.n::text ~ '[34]'; -- bad",
            "-- bad\nSELECT count(*) FROM mart.t WHERE n > 2 ;;\n-- note\n",
            "WITH bad AS (SELECT * FROM mart.t WHERE n > 2) SELECT count(*) FROM bad",
            "SELECT count(*) FROM (SELECT * FROM mart.t WHERE n > 2) AS bad",
        ],
    )
    def test_what_was_counted_is_shown(self, w: Warehouse, query: str) -> None:
        result = custom(w, query)
        assert (result.failed_rows, result.sample) == (2, ({"n": 3}, {"n": 4}))
        assert w.sql("SELECT 1") == [(1,)]

    def test_at_most_ten_rows_are_shown(self, w: Warehouse) -> None:
        thousand = ROWS.replace("4", "999")
        result = custom(w, "SELECT count(*) FROM mart.t", thousand)
        assert (result.failed_rows, len(result.sample)) == (1000, 10)

    def test_columns_of_one_name_are_all_shown(self, w: Warehouse) -> None:
        query = "SELECT count(*) FROM mart.t a JOIN mart.t b ON a.n = b.n + 4"
        assert custom(w, query).sample == ({"n": 4, "n_1": 0},)

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT count(n) FROM mart.t",
            "SELECT count(DISTINCT n) FROM mart.t",
            "SELECT count(*) - 1 FROM mart.t",
            "SELECT count(*) FILTER (WHERE n > 2) FROM mart.t",
            "SELECT count(*) FROM mart.t HAVING count(*) > 1",
            "SELECT 3 UNION ALL SELECT 4 LIMIT 1",
        ],
    )
    def test_other_queries_have_no_rows_to_show(self, w: Warehouse, query: str) -> None:
        result = custom(w, query)
        assert not result.passed
        assert (result.sample, result.failed_rows) == ((), None)

    def test_a_check_of_two_values_shows_rows_but_no_number_of_bad_ones(self, w: Warehouse) -> None:
        result = custom(w, "SELECT count(*) FROM mart.t", value=4)
        assert (len(result.sample), result.failed_rows) == (5, None)

    def test_a_sample_that_cannot_be_computed_does_not_hide_the_failure(self, w: Warehouse) -> None:
        w.sql("CREATE SCHEMA raw")
        w.sql("CREATE VIEW raw.v AS SELECT CAST(s AS integer) AS i FROM (VALUES ('x')) AS t(s)")
        result = custom(w, "SELECT count(*) FROM raw.v")
        assert not result.passed
        assert w.kind() is None


def test_checks_that_end_the_transaction_are_each_named(w: Warehouse) -> None:
    header = f"""{TABLE}
custom_checks:
  - {{name: a, query: SELECT CAST('one' AS integer)}}
  - {{name: b, query: SELECT 0}}
  - {{name: c, query: SELECT CAST('two' AS integer), blocking: false}}
  - {{name: d, query: SELECT 1, blocking: false}}
"""
    built = w.run(header, ROWS)
    assert [(r.check.label, r.passed) for r in built.results] == [
        ("a", False), ("b", True), ("c", False), ("d", False)
    ]  # fmt: skip
    a, b, c, d = (result.message for result in built.results)
    for message, text in ((a, "one"), (c, "two")):
        reason = words_of(
            w,
            f"Conversion Error: Could not convert string '{text}'",
            f'invalid input syntax for type integer: "{text}"',
        )
        assert message.startswith(f"could not be evaluated: {reason}")
    assert (b, d) == ("passed", "custom check 'd' returned 1; expected 0")
    assert not built.published
    assert w.run(header.replace("integer)}", "integer), blocking: false}"), ROWS).published
