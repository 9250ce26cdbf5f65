"""Which rows each check counts, and what a check says that cannot run."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ecommerce_dagster.warehouse.checks import CheckResult
from ecommerce_dagster.warehouse.rules import RULES
from postgres_warehouse.helpers import TABLE, VIEW, Warehouse, values


def header(rule: str, column: str = "x", more: str = "") -> str:
    return f"{TABLE}\ncolumns: [{{name: {column}, checks: [{{{rule}}}]{more}}}]"


def check(w: Warehouse, rule: str, *rows: str, column: str = "x", more: str = "") -> CheckResult:
    """The result of one rule on a column with these values (SQL expressions)."""
    (result,) = w.run(header(f"name: {rule}", column, more), values("x", *rows)).results
    return result


# A rule, values that break none of it, values of which the number at the end break it.
CASES = [
    ("not_null", ["1", "0"], ["NULL", "1", "NULL"], 2),
    ("not_null", ["''", "' '"], ["''", "NULL"], 1),
    ("unique", ["1", "2", "3"], ["1", "1", "1", "2", "2", "3"], 3),
    ("unique", ["'a'", "'A'", "''"], ["'a'", "'a'", "''", "''"], 2),
    ("positive", ["1", "0.1"], ["0", "-1", "1"], 2),
    ("non_negative", ["0", "1"], ["-1", "0", "-0.01"], 2),
    ("negative", ["-1", "-0.5"], ["0", "1", "-1"], 2),
    ("min, value: 0", ["0", "1"], ["-1", "-0.001", "0"], 2),
    ("min, value: 0.5", ["0.5", "1"], ["0.49", "0.5"], 1),
    ("min, value: 0.7", ["0.7::real", "0.7"], ["0.6::real", "0.7::real"], 1),
    ("max, value: 0.1", ["0.1::real"], ["0.11::real", "0.1::real"], 1),
    ("range, min: 0.7, max: 0.7", ["0.7::real"], ["0.6::real", "0.8::real"], 2),
    ("max, value: 10", ["9::float8"], ["'nan'::float8", "'inf'::float8", "1"], 2),
    ("min, value: .inf", ["'inf'::float8"], ["'inf'::float8", "1"], 1),
    ("max, value: -.inf", ["'-inf'::float8"], ["'-inf'::float8", "1"], 1),
    ("min, value: '2024-01-01'", ["DATE '2024-01-01'"], ["DATE '2023-12-31'", "'2024-01-01'"], 1),
    ("min, value: '2024-01-01'", ["TIMESTAMPTZ '2024-01-01 00:00:00+00'"],
     ["TIMESTAMPTZ '2023-12-31 23:59:59.999999+00'", "TIMESTAMPTZ '2024-01-01 00:00:00+00'"], 1),
    ("min, value: b", ["'b'", "'c'"], ["'a'", "'b'"], 1),
    ("min, value: true", ["true"], ["false", "true"], 1),
    ("min, value: -9223372036854775807", ["-9223372036854775807"],
     ["'-9223372036854775808'::bigint"], 1),
    ("max, value: 10", ["10", "9.99"], ["10.01", "11", "10"], 2),
    ("max, value: 1.0e+3", ["1000"], ["1001", "1000.5", "3"], 2),
    ("max, value: o'clock", ["'noon'"], ["'o''clocks'", "'a'"], 1),
    ("range, min: 1, max: 3", ["1", "2", "3"], ["0", "1", "3", "4", "5"], 3),
    ("range, min: 1", ["1", "100"], ["0", "5"], 1),
    ("range, max: 1", ["1", "-100"], ["2", "5", "1"], 2),
    ("range, min: '2024-01-01', max: '2024-12-31'", ["DATE '2024-12-31'"],
     ["DATE '2025-01-01'", "DATE '2023-01-01'", "DATE '2024-06-01'"], 2),
    ("accepted_values, value: [a, 'o''clock', 'é']", ["'a'", "'o''clock'", "'é'"],
     ["'A'", "''", "'a'", "'a '"], 3),
    ("accepted_values, value: [1, 2]", ["1", "2"], ["3", "1", "0"], 2),
    ("accepted_values, value: [1, 2]", ["'1'", "'2'"], ["'3'", "'x'", "'1'"], 2),
    ("accepted_values, value: [5, 19, 0.5]", ["5.00", "19.00", "0.50"], ["5.01", "50.00"], 2),
    ("accepted_values, value: [5, 10]", ["5::float8", "10::float8"], ["1::float8", "5.5"], 2),
    ("accepted_values, value: [1.0, 2.50]", ["1", "2.5"], ["1.5", "25"], 2),
    ("accepted_values, value: [true]", ["true"], ["true", "false"], 1),
    ("accepted_values, value: [true, false]", ["'true'", "'false'"], ["'yes'"], 1),
    ("accepted_values, value: single", ["'single'"], ["'double'"], 1),
    ("accepted_values, value: [ab]", ["'ab '::char(5)"], ["'abc'::char(5)"], 1),
    ("accepted_values, value: ['2024-01-01']", ["DATE '2024-01-01'"], ["DATE '2024-01-02'"], 1),
    ("pattern, value: '[a-z]+'", ["'abc'"], ["'abc1'", "'1abc'", "''", "'abc'"], 3),
    ("pattern, value: '^[a-z]+$'", ["'abc'"], ["'abc1'"], 1),
    ("pattern, value: 'a|b'", ["'a'", "'b'"], ["'ab'", "'ba'"], 2),
    ("pattern, value: '(?i)a|b'", ["'A'", "'B'"], ["'AB'", "'c'"], 2),
    ("pattern, value: \"o'c.*\"", ["'o''clock'"], ["'oclock'"], 1),
    ("pattern, value: '\\d{2}'", ["12", "34"], ["1", "123"], 2),
    ("pattern, value: '[a-z]+'", ["'abc'"], [r"E'abc\n'", r"E'abc\ndef'"], 2),
    ("regex, pattern: '.+@.+'", ["'a@b'"], ["'a@'", "'ab'"], 2),
]  # fmt: skip
IDS = [f"{rule}-{number}" for number, (rule, *_) in enumerate(CASES)]


class TestEachRule:
    @pytest.mark.parametrize(("rule", "good", "bad", "count"), CASES, ids=IDS)
    def test_counts_the_rows_that_break_it_and_finds_them(
        self, w: Warehouse, rule: str, good: list[str], bad: list[str], count: int
    ) -> None:
        passing = check(w, rule, *good)
        assert (passing.passed, passing.failed_rows, passing.total_rows) == (True, 0, len(good))
        failing = check(w, f"{rule}, blocking: false", *bad)
        assert (failing.passed, failing.failed_rows, failing.total_rows) == (False, count, len(bad))
        assert (passing.error, failing.error) == (None, None)
        found = w.sql(str(failing.bad_rows_sql))
        assert len(found) == len(failing.sample)
        assert len(found) >= count if rule == "unique" else len(found) == count

    @pytest.mark.parametrize(("rule", "good", "bad", "count"), CASES, ids=IDS)
    def test_null_breaks_not_null_and_nothing_else(
        self, w: Warehouse, rule: str, good: list[str], bad: list[str], count: int
    ) -> None:
        assert check(w, rule, "NULL", *good, "NULL").passed == (rule != "not_null")
        (result,) = w.run(header(f"name: {rule}"), values("x", good[0]) + " WHERE false").results
        assert (result.passed, result.failed_rows, result.total_rows) == (True, 0, 0)

    def test_there_is_a_case_for_each(self) -> None:
        assert {rule.partition(",")[0] for rule, *_ in CASES} | {"relationships"} == set(RULES)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("TIMESTAMPTZ '2024-01-01 00:00:00+00'", "TIMESTAMPTZ 'infinity'"),
            ("1e0", "'nan'::float8"),
            ("true", "false"),
            ("'a'::bytea", "'b'::bytea"),
            ("INTERVAL '1 month'", "INTERVAL '1 day'"),
            ("ARRAY[1, NULL]", "ARRAY[1]"),
            ("""'{"a": 1}'::jsonb""", "'1'::jsonb"),
            ("ROW(1, 'a')", "ROW(2, 'a')"),
        ],
    )
    def test_unique_on_other_types(self, w: Warehouse, one: str, other: str) -> None:
        if one.startswith("ROW"):
            w.sql("CREATE TYPE pair AS (a int, b text)")
            one, other = f"{one}::pair", f"{other}::pair"
        twice = check(w, "unique", one, other, other, "NULL", "NULL")
        assert (twice.failed_rows, twice.error) == (1, None)
        assert check(w, "unique", one, other, "NULL", "NULL").passed

    def test_unique_where_nothing_is_equal_cannot_run(self, w: Warehouse) -> None:
        result = check(w, "unique", "'1'::json", "'2'::json")
        assert "could not identify an equality operator for type json" in result.message

    def test_the_sample_shows_all_rows_of_a_repeated_value(self, w: Warehouse) -> None:
        query = values("x, n", "1, 'a'", "2, 'b'", "1, 'c'", "NULL, 'd'", "NULL, 'e'")
        (result,) = w.run(header("name: unique"), query).results
        assert sorted(row["n"] for row in result.sample) == ["a", "c"]


class TestRelationships:
    MORE = ", foreign_key: {table: raw.parent, column: id}"

    @pytest.fixture(autouse=True)
    def parent(self, w: Warehouse) -> None:
        w.sql("CREATE SCHEMA raw")
        w.sql("CREATE TABLE raw.parent AS SELECT * FROM (VALUES (1), (2), (NULL)) AS p(id)")

    def check(self, w: Warehouse, *rows: str, more: str = MORE) -> CheckResult:
        return check(w, "relationships", *rows, more=more)

    def test_every_value_must_occur_in_the_parent(self, w: Warehouse) -> None:
        assert self.check(w, "1", "2", "2").passed
        result = self.check(w, "1", "3", "4", "4")
        assert (result.failed_rows, result.total_rows) == (3, 4)
        assert sorted(row["x"] for row in result.sample) == [3, 4, 4]

    def test_null_refers_to_nothing(self, w: Warehouse) -> None:
        assert self.check(w, "NULL", "1").passed
        assert self.check(w, "NULL", "9").failed_rows == 1

    def test_nothing_occurs_in_an_empty_parent(self, w: Warehouse) -> None:
        w.sql("DELETE FROM raw.parent")
        assert self.check(w, "1", "NULL").failed_rows == 1

    def test_a_table_may_refer_to_itself(self, w: Warehouse) -> None:
        more = ", foreign_key: {table: mart.t, column: id}"
        query = values("id, x", "1, NULL", "2, 1", "3, 7")
        (result,) = w.run(header("name: relationships", more=more), query).results
        assert result.failed_rows == 1

    def test_a_column_of_the_parent_is_not_taken_for_the_childs(self, w: Warehouse) -> None:
        w.sql("ALTER TABLE raw.parent ADD COLUMN x int DEFAULT 1")
        assert self.check(w, "9").failed_rows == 1
        missing = self.check(w, "9", more=", foreign_key: {table: raw.parent, column: gone}")
        assert (missing.passed, missing.failed_rows) == (False, None)
        assert "column parent.gone does not exist" in str(missing.error)

    def test_a_parent_that_does_not_exist_is_named(self, w: Warehouse) -> None:
        result = self.check(w, "1", more=", foreign_key: {table: raw.nobody, column: id}")
        assert 'could not be evaluated: relation "raw.nobody" does not exist' in result.message

    def test_names_are_found_in_any_case(self, w: Warehouse) -> None:
        w.sql('CREATE TABLE raw."My-Parent" AS SELECT 1 AS "Order ""by"""')
        more = """, foreign_key: {table: RAW.my-parent, column: 'order "BY"'}"""
        assert self.check(w, "1", more=more).passed
        assert self.check(w, "2", more=more).failed_rows == 1


class TestNames:
    NAMES = ("select", "order by", 'a "quoted" one', "it's", "größe", "表", "a.b", "a:b",
             "UPPER", "x%s", "$1", "?")  # fmt: skip

    @pytest.mark.parametrize("name", NAMES)
    def test_a_column_of_any_name_can_have_every_check(self, w: Warehouse, name: str) -> None:
        text = name.replace("'", "''")
        rules = """[{name: not_null}, {name: unique}, {name: positive}, {name: range, max: 9},
          {name: accepted_values, value: [1, 3]}, {name: pattern, value: '[0-9]'},
          {name: relationships}]"""
        file = f"""{TABLE}
columns:
  - name: '{text}'
    checks: {rules}
    foreign_key: {{table: mart.t, column: '{text}'}}"""
        quoted = '"' + name.replace('"', '""') + '"'
        results = w.checks(file, f"SELECT unnest(ARRAY[1, 3, 3, NULL, -1]) AS {quoted}")
        assert {label: (r.failed_rows, r.error) for label, r in results.items()} == {
            f"{name}: not_null": (1, None),
            f"{name}: unique": (1, None),
            f"{name}: positive": (1, None),
            f"{name}: range": (0, None),
            f"{name}: accepted_values": (1, None),
            f"{name}: pattern": (1, None),
            f"{name}: relationships": (0, None),
        }
        assert all(r.sample for r in results.values() if not r.passed)

    def test_case_does_not_matter(self, w: Warehouse) -> None:
        assert check(w, "unique", "1", "1", column="X").failed_rows == 1

    def test_a_view_can_be_checked(self, w: Warehouse) -> None:
        file = header("name: unique").replace(TABLE, VIEW)
        (result,) = w.run(file, values("x", "1", "1")).results
        assert (result.failed_rows, result.total_rows) == (1, 2)
        assert w.kind() is None


class TestResults:
    def test_a_failure_says_what_is_wrong_and_shows_it(self, w: Warehouse) -> None:
        query = "SELECT n, n - 15 AS x FROM generate_series(0, 1499) AS n"
        (result,) = w.run(header("name: non_negative"), query).results
        assert result.message == "15 of 1,500 rows break the rule: Each x is 0 or above."
        assert len(result.sample) == 10
        assert result.sample[0] == {"n": 0, "x": -15}
        assert result.bad_rows_sql == 'SELECT * FROM "mart"."t"\nWHERE "x" < 0'

    def test_rows_that_python_cannot_hold_are_not_shown(self, w: Warehouse) -> None:
        query = "SELECT -1 AS x, TIMESTAMP 'infinity' AS never"
        (result,) = w.run(header("name: positive"), query).results
        assert (result.failed_rows, result.sample) == (1, ())


class TestChecksThatCannotRun:
    FILE = f"""{TABLE}
columns:
  - {{name: x, checks: [{{name: positive}}, {{name: unique}}, {{name: pattern, value: '[0-9]+'}}]}}
  - {{name: gone, checks: [{{name: not_null}}, {{name: unique}}, {{name: pattern, value: a}}]}}
  - name: y
    checks: [{{name: min, value: abc}}, {{name: not_null}}, {{name: pattern, value: '('}}]
custom_checks:
  - {{name: fine, query: SELECT 0}}
  - {{name: broken, query: SELECT nope}}
  - {{name: fails, query: SELECT 1 / (SELECT 0)}}
  - {{name: fine too, query: SELECT 0}}
"""

    def test_they_count_as_failed_and_the_others_are_answered(self, w: Warehouse) -> None:
        built = w.run(self.FILE, values("x, y", "1, 1", "1, NULL", "-1, 3"))
        found = {r.check.label: (r.passed, r.failed_rows, bool(r.error)) for r in built.results}
        assert found == {
            "x: positive": (False, 1, False),
            "x: unique": (False, 1, False),
            "x: pattern": (False, 1, False),
            "gone: not_null": (False, None, True),
            "gone: unique": (False, None, True),
            "gone: pattern": (False, None, True),
            "y: min": (False, None, True),
            "y: not_null": (False, 1, False),
            "y: pattern": (False, None, True),
            "fine": (True, 0, False),
            "broken": (False, None, True),
            "fails": (False, None, True),
            "fine too": (True, 0, False),
        }
        assert not built.published
        messages = {result.check.label: result.message for result in built.results}
        assert 'could not be evaluated: column "gone" does not exist' in messages["gone: not_null"]
        assert "it compares integer with 'abc'; write a number" in messages["y: min"]
        assert "parentheses () not balanced" in messages["y: pattern"]
        assert "division by zero" in messages["fails"]
        assert w.kind() is None

    def test_they_do_not_keep_a_table_back_that_they_do_not_block(self, w: Warehouse) -> None:
        file = self.FILE.replace("{name: ", "{blocking: false, name: ")
        file = file.replace("- {blocking: false, name: ", "- {name: ", 3)
        assert w.run(file, values("x, y", "1, 1", "1, NULL", "-1, 3")).published
        assert len(w.rows()) == 3

    def test_a_view_that_fails_when_it_is_read_fails_its_checks(self, w: Warehouse) -> None:
        file = header("name: not_null}, {name: positive").replace(TABLE, VIEW)
        built = w.run(file, "SELECT CAST(s AS integer) AS x FROM (VALUES ('1'), ('a')) AS v(s)")
        assert [result.passed for result in built.results] == [False, False]
        assert all("invalid input syntax" in result.message for result in built.results)
        assert w.kind() is None

    def test_checks_of_a_script_that_makes_no_table_fail(self, w: Warehouse) -> None:
        file = header("name: not_null").replace(TABLE, "description: a script")
        (result,) = w.run(file, "CREATE TABLE other AS SELECT 1 AS x").results
        assert 'could not be evaluated: relation "mart.t" does not exist' in result.message
        assert w.kind("other") is None


ROWS = "SELECT n FROM generate_series(0, 4) AS n"


def custom(w: Warehouse, query: str, sql: str = ROWS, **more: Any) -> CheckResult:
    """The result of a custom check with this query."""
    one = {"name": "my check", "query": query, **more}
    (result,) = w.run(f"{TABLE}\n{yaml.safe_dump({'custom_checks': [one]})}", sql).results
    return result


class TestCustomChecks:
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

    @pytest.mark.parametrize(
        ("query", "reason"),
        [
            ("SELECT sum(n) FROM mart.t WHERE n > 9", "returned NULL; wrap its answer in coalesce"),
            ("SELECT n FROM mart.t WHERE n > 9", "one row with one column; it returned no row"),
            ("SELECT n FROM mart.t", "it returned more than one row"),
            ("SELECT 1, 2", "it returned 2 columns"),
            ("SELECT 'many'", "the query returned 'many', which is no number"),
            ("SELECT DATE '2024-01-01'", "'2024-01-01', which is no number"),
            ("SELECT ARRAY[1]", "'[1]', which is no number"),
            ("", "there is no query"),
            ("-- nothing", "there is no query"),
            ("SELECT 0; SELECT 0", "one query is needed here, not 2 statements"),
            ("DROP TABLE mart.t", "a query is needed here, not DROP"),
            ("SELECT 0; DROP TABLE mart.t", "one query is needed here, not 2 statements"),
            ("SELECT 0) AS r; COMMIT; SELECT (0", "one query is needed here, not 3 statements"),
            ("SELECT 'x", "has no end"),
            ("SELECT {{ nope }}", "missing variable 'nope'"),
            ("SELECT $1", "there is no parameter $1"),
            ("SELEC 0", "a query is needed here, not SELEC"),
            ("SELECT nope", "nope"),
            ("SELECT 0 FROM nowhere", 'relation "nowhere" does not exist'),
            ("SELECT CAST('x' AS integer)", 'type integer: "x"'),
        ],
    )
    def test_no_answer_is_a_failure_with_a_reason(
        self, w: Warehouse, query: str, reason: str
    ) -> None:
        result = custom(w, query)
        assert (result.passed, result.rejects) == (False, True)
        assert result.message.startswith("could not be evaluated: ")
        assert reason in str(result.error)
        assert w.kind() is None
        assert custom(w, query, blocking=False).message == result.message
        assert len(w.rows()) == 5

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT * FROM mart.t WHERE n < 2",
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
        assert result.message == "custom check 'my check' has returned 2 instead of the expected 3"
        assert len(result.sample) == 2
        assert result.failed_rows is None

    @pytest.mark.parametrize("tail", [";", " -- note", "; -- note", ";;", "\n;\n-- a\n-- b\n"])
    def test_nothing_after_a_query_harms_it(self, w: Warehouse, tail: str) -> None:
        assert custom(w, f"SELECT count(*) FROM mart.t WHERE n > 9{tail}").passed
        assert custom(w, f"SELECT count(*) FROM mart.t{tail}", value=5).passed

    def test_text_may_look_like_parameters(self, w: Warehouse) -> None:
        assert custom(w, "SELECT count(*) FROM mart.t WHERE n::text IN ('?', '$1', '%s')").passed

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT count(*) FROM mart.t WHERE n > 2",
            "select COUNT(1) as bad from mart.t t where t.n::text ~ '[34]'; -- bad",
        ],
    )
    def test_counted_rows_are_shown(self, w: Warehouse, query: str) -> None:
        result = custom(w, query)
        assert (result.failed_rows, result.sample) == (2, ({"n": 3}, {"n": 4}))

    def test_columns_of_one_name_are_all_shown(self, w: Warehouse) -> None:
        query = "SELECT count(*) FROM mart.t a JOIN mart.t b ON a.n = b.n + 4"
        assert custom(w, query).sample == ({"n": 4, "n_1": 0},)

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT count(n) FROM mart.t",
            "SELECT count(DISTINCT n) FROM mart.t",
            "SELECT count(*) - 1 FROM mart.t",
            "SELECT count(*) FROM mart.t HAVING count(*) > 1",
            "SELECT 3 UNION ALL SELECT 4 LIMIT 1",
        ],
    )
    def test_other_queries_have_no_rows_to_show(self, w: Warehouse, query: str) -> None:
        result = custom(w, query)
        assert not result.passed
        assert (result.sample, result.failed_rows) == ((), None)

    def test_a_sample_that_cannot_be_computed_does_not_hide_the_failure(self, w: Warehouse) -> None:
        w.sql("CREATE VIEW v AS SELECT n, CAST(s AS integer) AS i FROM (VALUES (1, 'x')) t(n, s)")
        result = custom(w, "SELECT count(*) FROM v")
        assert (result.passed, result.error, w.kind()) == (False, None, None)
