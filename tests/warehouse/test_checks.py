"""Column checks: which rows each of them counts, on every kind of column."""

from __future__ import annotations

import re

import pytest

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.warehouse.checks import (
    SAMPLE_ROWS,
    CheckResult,
    checks_of,
)
from ecommerce_dagster.warehouse.rules import RULES, lint_checks
from warehouse.helpers import TABLE, VIEW, Warehouse, asset_of, values


@pytest.fixture(autouse=True, params=["small table", "large table"])
def _size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tables are counted in one scan, large ones in the cheapest way for each rule."""
    if request.param == "large table":
        monkeypatch.setattr("ecommerce_dagster.warehouse.check_counts._ROW_GROUP", -1)


INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER",
            "UBIGINT", "HUGEINT", "UHUGEINT")  # fmt: skip


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
    ("min, value: 0.1", ["0.1::FLOAT", "0.1::DOUBLE"], ["0.09::FLOAT", "0.1::FLOAT"], 1),
    ("min, value: '2024-01-01'", ["DATE '2024-01-01'"], ["DATE '2023-12-31'", "'2024-01-01'"], 1),
    ("min, value: '2024-01-01'", ["TIMESTAMPTZ '2024-01-01 00:00:00+00'"],
     ["TIMESTAMPTZ '2023-12-31 23:59:59.999999+00'", "TIMESTAMPTZ '2024-01-01 00:00:00+00'"], 1),
    ("min, value: b", ["'b'", "'c'"], ["'a'", "'b'"], 1),
    ("min, value: true", ["true"], ["false", "true"], 1),
    ("min, value: -9223372036854775807", ["-9223372036854775807"],
     ["'-9223372036854775808'::BIGINT"], 1),
    ("max, value: 10", ["10", "9.99"], ["10.01", "11", "10"], 2),
    ("max, value: 1e3", ["1000"], ["1001", "1000.5", "3"], 2),
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
    ("accepted_values, value: [5, 10]", ["5::DOUBLE", "10::DOUBLE"], ["1::DOUBLE", "5.5"], 2),
    ("accepted_values, value: [1.0, 2.50]", ["1", "2.5"], ["1.5", "25"], 2),
    ("accepted_values, value: ['5.00']", ["5.00", "5.0::DOUBLE"], ["5.01"], 1),
    ("accepted_values, value: [true]", ["true"], ["true", "false"], 1),
    ("accepted_values, value: [true, false]", ["'true'", "'false'"], ["'yes'"], 1),
    ("accepted_values, value: [true]", ["true"], ["1"], 1),
    ("accepted_values, value: single", ["'single'"], ["'double'"], 1),
    ("accepted_values, value: ['2024-01-01']", ["DATE '2024-01-01'"], ["DATE '2024-01-02'"], 1),
    ("pattern, value: '[a-z]+'", ["'abc'"], ["'abc1'", "'1abc'", "''", "'abc'"], 3),
    ("pattern, value: '^[a-z]+$'", ["'abc'"], ["'abc1'"], 1),
    ("pattern, value: 'a|b'", ["'a'", "'b'"], ["'ab'", "'ba'"], 2),
    ("pattern, value: \"o'c.*\"", ["'o''clock'"], ["'oclock'"], 1),
    ("pattern, value: '\\d{2}'", ["12", "34"], ["1", "123"], 2),
    ("regex, pattern: '.+@.+'", ["'a@b'"], ["'a@'", "'ab'"], 2),
]  # fmt: skip
IDS = [f"{rule}-{number}" for number, (rule, *_) in enumerate(CASES)]


class TestEachRule:
    @pytest.mark.parametrize(("rule", "good", "bad", "count"), CASES, ids=IDS)
    def test_counts_the_rows_that_break_it(
        self, w: Warehouse, rule: str, good: list[str], bad: list[str], count: int
    ) -> None:
        passing, failing = check(w, rule, *good), check(w, rule, *bad)
        assert (passing.passed, passing.failed_rows, passing.total_rows) == (True, 0, len(good))
        assert (failing.passed, failing.failed_rows, failing.total_rows) == (False, count, len(bad))
        assert (passing.error, failing.error) == (None, None)

    @pytest.mark.parametrize(("rule", "good", "bad", "count"), CASES, ids=IDS)
    def test_null_breaks_not_null_and_nothing_else(
        self, w: Warehouse, rule: str, good: list[str], bad: list[str], count: int
    ) -> None:
        result = check(w, rule, "NULL", *good, "NULL")
        assert result.passed == (rule != "not_null")
        nothing = f"CASE WHEN false THEN {good[0]} END"
        assert check(w, rule, nothing, nothing).passed == (rule != "not_null")

    @pytest.mark.parametrize(("rule", "good", "bad", "count"), CASES, ids=IDS)
    def test_an_empty_table_passes(
        self, w: Warehouse, rule: str, good: list[str], bad: list[str], count: int
    ) -> None:
        (result,) = w.run(header(f"name: {rule}"), values("x", good[0]) + " WHERE false").results
        assert (result.passed, result.failed_rows, result.total_rows) == (True, 0, 0)

    def test_there_is_a_case_for_each(self) -> None:
        tested = {re.split(r"\W", rule)[0] for rule, *_ in CASES}
        assert tested | {"relationships"} == set(RULES)

    def test_not_a_number_is_above_everything(self, w: Warehouse) -> None:
        assert check(w, "max, value: 10", "'nan'::DOUBLE", "'inf'::DOUBLE", "1").failed_rows == 2
        assert check(w, "min, value: .inf", "'inf'::DOUBLE", "1").failed_rows == 1
        assert check(w, "max, value: -.inf", "'-inf'::DOUBLE", "1").failed_rows == 1


class TestUnique:
    @pytest.mark.parametrize("kind", INTEGERS)
    def test_on_every_integer_type(self, w: Warehouse, kind: str) -> None:
        rows = [f"{n}::{kind}" for n in (1, 2, 2, 5, 5, 5, 100)]
        assert check(w, "unique", *rows).failed_rows == 3
        assert check(w, "unique", *sorted({*rows})).passed

    @pytest.mark.parametrize("kind", ["TINYINT", "SMALLINT", "INTEGER", "BIGINT"])
    def test_on_negative_numbers(self, w: Warehouse, kind: str) -> None:
        rows = [f"(-{n})::{kind}" for n in (5, 5, 1)] + [f"0::{kind}", f"5::{kind}"]
        assert check(w, "unique", *rows).failed_rows == 1

    @pytest.mark.parametrize(
        ("kind", "low", "high"),
        [
            ("TINYINT", -(2**7), 2**7 - 1),
            ("UTINYINT", 0, 2**8 - 1),
            ("SMALLINT", -(2**15), 2**15 - 1),
            ("INTEGER", -(2**31), 2**31 - 1),
            ("UINTEGER", 0, 2**32 - 1),
            ("BIGINT", -(2**63), 2**63 - 1),
            ("UBIGINT", 0, 2**64 - 1),
            ("HUGEINT", -(2**127) + 1, 2**127 - 1),
        ],
    )
    def test_at_both_ends_of_a_type(self, w: Warehouse, kind: str, low: int, high: int) -> None:
        for numbers, surplus in (
            ([low, low + 1, low + 1, low + 2], 1),
            ([high - 2, high - 1, high, high, high], 2),
            ([low, high, low, high, 1], 2),
            ([low, high], 0),
        ):
            rows = [f"'{number}'::{kind}" for number in numbers]
            assert check(w, "unique", *rows).failed_rows == surplus

    def test_on_few_numbers_far_apart(self, w: Warehouse) -> None:
        assert check(w, "unique", "1", "5000000000", "5000000000", "NULL").failed_rows == 1

    def test_on_numbers_that_a_bitmap_cannot_hold(
        self, w: Warehouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # DuckDB refuses a bitmap of more than 10^9; a table of 5 * 10^7 rows may ask for one.
        monkeypatch.setattr("ecommerce_dagster.warehouse.check_counts._BITMAP_SPARSENESS", 10**9)
        assert check(w, "unique", "1", "2000000000", "2000000000").failed_rows == 1

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("1.10", "1.2"),
            ("DATE '2024-01-01'", "DATE '2024-01-02'"),
            ("TIMESTAMPTZ '2024-01-01 00:00:00+00'", "TIMESTAMPTZ 'infinity'"),
            ("1e0", "'nan'::DOUBLE"),
            ("true", "false"),
            ("'a'::BLOB", "'b'::BLOB"),
            ("uuid()", "'00000000-0000-0000-0000-000000000000'::UUID"),
            ("INTERVAL 10000000 YEAR", "INTERVAL 1 DAY"),
            ("[1, NULL]", "[1]"),
            ("{'a': 1}", "{'a': 2}"),
            ("MAP {'a': 1}", "MAP {'b': 1}"),
            ("'1'::JSON", "'2'::JSON"),
        ],
    )
    def test_on_every_other_type(self, w: Warehouse, one: str, other: str) -> None:
        other_twice = check(w, "unique", one, other, other, "NULL", "NULL")
        assert (other_twice.failed_rows, other_twice.error) == (1, None)
        assert check(w, "unique", one, other, "NULL", "NULL").passed

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
        assert [row["x"] for row in result.sample] == [3, 4, 4]

    def test_null_refers_to_nothing(self, w: Warehouse) -> None:
        assert self.check(w, "NULL", "1").passed
        assert self.check(w, "NULL", "9").failed_rows == 1

    def test_nothing_occurs_in_an_empty_parent(self, w: Warehouse) -> None:
        w.sql("DELETE FROM raw.parent")
        assert self.check(w, "1", "NULL").failed_rows == 1

    def test_a_parent_of_nulls_only_holds_nothing(self, w: Warehouse) -> None:
        w.sql("DELETE FROM raw.parent WHERE id IS NOT NULL")
        assert self.check(w, "1").failed_rows == 1

    def test_a_table_may_refer_to_itself(self, w: Warehouse) -> None:
        more = ", foreign_key: {table: mart.t, column: id}"
        query = values("id, x", "1, NULL", "2, 1", "3, 7")
        (result,) = w.run(header("name: relationships", more=more), query).results
        assert result.failed_rows == 1

    def test_a_column_that_the_parent_lacks_is_not_taken_from_the_child(self, w: Warehouse) -> None:
        more = ", foreign_key: {table: raw.parent, column: x}"
        result = self.check(w, "1", "9", more=more)
        assert (result.passed, result.failed_rows) == (False, None)
        assert 'parent."x"' in str(result.error)

    def test_a_parent_that_does_not_exist_is_named(self, w: Warehouse) -> None:
        result = self.check(w, "1", more=", foreign_key: {table: raw.nobody, column: id}")
        assert not result.passed
        assert "could not be evaluated: Catalog Error: Table with name nobody" in result.message

    def test_odd_names(self, w: Warehouse) -> None:
        w.sql('CREATE TABLE raw."my-parent" AS SELECT 1 AS "order ""by"""')
        more = """, foreign_key: {table: raw.my-parent, column: 'order "by"'}"""
        assert self.check(w, "1", more=more).passed
        assert self.check(w, "2", more=more).failed_rows == 1


class TestNames:
    NAMES = ("select", "order by", 'a "quoted" one', "it's", "größe", "表", "a.b", "a:b", "rowid",
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
        results = w.checks(file, f"SELECT unnest([1, 3, 3, NULL, -1]) AS {quoted}")
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
        result = check(w, "unique", "1", "1", column="X")
        assert result.failed_rows == 1

    def test_a_view_can_be_checked(self, w: Warehouse) -> None:
        file = header("name: unique").replace(TABLE, VIEW)
        (result,) = w.run(file, values("x", "1", "1")).results
        assert (result.failed_rows, result.total_rows) == (1, 2)
        assert w.kind() is None


class TestResults:
    def test_two_checks_of_one_name_are_both_answered(self, w: Warehouse) -> None:
        file = f"""{TABLE}
columns:
  - {{name: x, checks: [{{name: min, value: 1}}, {{name: min, value: 2, blocking: false}}]}}
custom_checks:
  - {{name: same name, query: SELECT 0}}
  - {{name: Same  Name, query: SELECT 1}}"""
        asset = asset_of(file)
        assert [check.id for check in checks_of(asset)] == [
            "mart.t:x:min",
            "mart.t:x:min_2",
            "mart.t:custom-check:same_name",
            "mart.t:custom-check:same_name_2",
        ]
        results = w.run(file, "SELECT 1 AS x").results
        assert [result.passed for result in results] == [True, False, True, False]
        assert [result.rejects for result in results] == [False, False, False, True]

    def test_one_check_written_twice_is_one(self) -> None:
        file = header("name: not_null}, {name: not_null}, {name: min, value: 1")
        assert [check.label for check in checks_of(asset_of(file))] == ["x: not_null", "x: min"]

    def test_a_failure_says_what_is_wrong_and_shows_it(self, w: Warehouse) -> None:
        query = "SELECT range AS n, range - 15 AS x FROM range(1500)"
        (result,) = w.run(header("name: non_negative"), query).results
        assert result.message == "15 of 1,500 rows break the rule: Each x is 0 or above."
        assert len(result.sample) == SAMPLE_ROWS == 10
        assert result.sample[0] == {"n": 0, "x": -15}
        assert result.bad_rows_sql == 'SELECT * FROM "mart"."t"\nWHERE "x" < 0'

    def test_the_sql_of_a_failure_finds_its_rows(self, w: Warehouse) -> None:
        for rule, _, bad, count in CASES:
            if rule != "unique":
                result = check(w, f"{rule}, blocking: false", *bad)
                assert len(w.sql(str(result.bad_rows_sql))) == count

    def test_rows_that_python_cannot_hold_are_not_shown(self, w: Warehouse) -> None:
        query = "SELECT -1 AS x, INTERVAL 10000000 YEAR AS years"
        (result,) = w.run(header("name: positive"), query).results
        assert (result.failed_rows, result.sample) == (1, ())

    @pytest.mark.parametrize(
        ("rule", "words"),
        [
            ("not_null", "Each x is present."),
            ("unique", "Each x occurs once."),
            ("positive", "Each x is above 0."),
            ("range, min: 1, max: 2.5", "Each x is at least 1 and at most 2.5."),
            ("range, max: 2", "Each x is at most 2."),
            ("accepted_values, value: [a, true, 1]", "Each x is one of a, true, 1."),
            ("pattern, value: a+", "Each x matches a+ as a whole."),
            ("min, value: 3, description: My words.", "My words."),
        ],
    )
    def test_a_rule_is_a_sentence(self, rule: str, words: str) -> None:
        (only,) = checks_of(asset_of(header(f"name: {rule}")))
        assert only.words == words


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
        }
        assert not built.published
        messages = {result.check.label: result.message for result in built.results}
        assert "could not be evaluated: Binder Error" in messages["gone: not_null"]
        assert "it compares INTEGER with 'abc'; write a number" in messages["y: min"]
        assert "missing ): (" in messages["y: pattern"]

    def test_they_do_not_keep_a_table_back_that_they_do_not_block(self, w: Warehouse) -> None:
        file = self.FILE.replace("{name: ", "{blocking: false, name: ")
        file = file.replace("- {blocking: false, name: ", "- {name: ", 3)
        assert w.run(file, values("x, y", "1, 1", "1, NULL", "-1, 3")).published
        assert len(w.rows()) == 3

    def test_a_view_that_fails_when_it_is_read_fails_its_checks(self, w: Warehouse) -> None:
        file = header("name: not_null}, {name: positive").replace(TABLE, VIEW)
        built = w.run(file, "SELECT CAST(s AS INTEGER) AS x FROM (VALUES ('1'), ('a')) AS v(s)")
        assert [result.passed for result in built.results] == [False, False]
        assert all("Could not convert" in result.message for result in built.results)
        assert w.kind() is None

    def test_checks_of_a_script_that_makes_no_table_fail(self, w: Warehouse) -> None:
        file = header("name: not_null").replace(TABLE, "description: a script")
        (result,) = w.run(file, "CREATE TABLE other AS SELECT 1 AS x").results
        assert "could not be evaluated: Catalog Error: Table with name" in result.message
        assert w.kind("other") is None


class TestLint:
    @pytest.mark.parametrize(
        ("rule", "complaint"),
        [
            ("not_nul", "unknown check 'not_nul'; did you mean 'not_null'?"),
            ("min", "the check 'min' of 'x' needs `value:`"),
            ("min, value: [1, 2]", "needs one value, not a list"),
            ("range", "needs `max:` or `min:`"),
            ("range, value: 3", "takes `max:` or `min:`; remove `value:`"),
            ("pattern", "needs `pattern:` or `value:`"),
            ("accepted_values", "needs `value:`"),
            ("accepted_values, value: []", "needs at least one value"),
            ("unique, value: 1", "takes no value; remove `value:`"),
            ("relationships", "needs `foreign_key: {table, column}` on the column"),
        ],
    )
    def test_a_check_that_means_nothing_is_reported(self, rule: str, complaint: str) -> None:
        log = ProblemLog()
        lint_checks(asset_of(header(f"name: {rule}")), log)
        (problem,) = log.errors
        assert complaint in problem.message

    @pytest.mark.parametrize("rule", [rule for rule, *_ in CASES])
    def test_the_others_are_not(self, rule: str) -> None:
        log = ProblemLog()
        lint_checks(asset_of(header(f"name: {rule}")), log)
        assert log.errors == ()
