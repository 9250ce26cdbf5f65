"""Column checks: which rows each of them counts, and what a check says that cannot run."""

from __future__ import annotations

import re

import pytest

from contract.checked import CASES, check, header, words_of
from contract.helpers import (
    ALL,
    LARGE,
    TABLE,
    VIEW,
    Warehouse,
    asset_of,
    however_counted,
    only,
    values,
)
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sql.checks import SAMPLE_ROWS, CheckResult, checks_of
from ecommerce_dagster.sql.rules import RULES, lint_checks

IDS = [f"{rule}-{number}" for number, (rule, *_) in enumerate(CASES)]


@however_counted
@pytest.mark.parametrize(("rule", "good", "bad", "count"), CASES, ids=IDS)
class TestEachRule:
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

    def test_null_breaks_not_null_and_nothing_else(
        self, w: Warehouse, rule: str, good: list[str], bad: list[str], count: int
    ) -> None:
        assert check(w, rule, "NULL", *good, "NULL").passed == (rule != "not_null")
        nothing = f"CASE WHEN false THEN {good[0]} END"
        assert check(w, rule, nothing, nothing).passed == (rule != "not_null")

    def test_an_empty_table_passes(
        self, w: Warehouse, rule: str, good: list[str], bad: list[str], count: int
    ) -> None:
        (result,) = w.run(header(f"name: {rule}"), values("x", good[0]) + " WHERE false").results
        assert (result.passed, result.failed_rows, result.total_rows) == (True, 0, 0)


def test_there_is_a_case_for_each_rule() -> None:
    tested = {re.split(r"\W", rule)[0] for rule, *_ in CASES}
    assert tested | {"relationships"} == set(RULES)


@however_counted
class TestUnique:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("1.10", "1.2"),
            ("DATE '2024-01-01'", "DATE '2024-01-02'"),
            ("TIMESTAMPTZ '2024-01-01 00:00:00+00'", "TIMESTAMPTZ 'infinity'"),
            ("1e0", "'nan'::float8"),
            ("true", "false"),
            ("'a'::bytea", "'b'::bytea"),
            ("'10000000-0000-0000-0000-000000000000'::uuid",
             "'00000000-0000-0000-0000-000000000000'::uuid"),
            ("INTERVAL '1 month'", "INTERVAL '1 day'"),
            ("INTERVAL '1000000 years'", "INTERVAL '1 day'"),
            ("ARRAY[1, NULL]", "ARRAY[1]"),
        ],
    )  # fmt: skip
    def test_on_every_type(self, w: Warehouse, one: str, other: str) -> None:
        twice = check(w, "unique", one, other, other, "NULL", "NULL")
        assert (twice.failed_rows, twice.error) == (1, None)
        assert check(w, "unique", one, other, "NULL", "NULL").passed

    @pytest.mark.parametrize("kind", ["smallint", "integer", "bigint", "numeric"])
    def test_on_numbers_around_zero(self, w: Warehouse, kind: str) -> None:
        rows = [f"(-{n})::{kind}" for n in (5, 5, 1)] + [f"0::{kind}", f"5::{kind}"]
        assert check(w, "unique", *rows).failed_rows == 1

    @pytest.mark.parametrize(("kind", "bits"), [("smallint", 15), ("integer", 31), ("bigint", 63)])
    def test_at_both_ends_of_a_type(self, w: Warehouse, kind: str, bits: int) -> None:
        low, high = -(2**bits), 2**bits - 1
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

    def test_the_sample_shows_all_rows_of_a_repeated_value(self, w: Warehouse) -> None:
        query = values("x, n", "1, 'a'", "2, 'b'", "1, 'c'", "NULL, 'd'", "NULL, 'e'")
        (result,) = w.run(header("name: unique"), query).results
        assert sorted(row["n"] for row in result.sample) == ["a", "c"]


@however_counted
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

    def test_a_parent_of_nulls_only_holds_nothing(self, w: Warehouse) -> None:
        w.sql("DELETE FROM raw.parent WHERE id IS NOT NULL")
        assert self.check(w, "1").failed_rows == 1

    def test_a_table_may_refer_to_itself(self, w: Warehouse) -> None:
        more = ", foreign_key: {table: mart.t, column: id}"
        query = values("id, x", "1, NULL", "2, 1", "3, 7")
        (result,) = w.run(header("name: relationships", more=more), query).results
        assert result.failed_rows == 1

    def test_a_column_of_the_parent_is_not_taken_for_the_childs(self, w: Warehouse) -> None:
        w.sql("ALTER TABLE raw.parent ADD COLUMN x int DEFAULT 1")
        assert self.check(w, "9").failed_rows == 1

    @pytest.mark.parametrize("column", ["x", "gone"])
    def test_a_column_that_the_parent_lacks_is_not_taken_from_the_child(
        self, w: Warehouse, column: str
    ) -> None:
        more = f", foreign_key: {{table: raw.parent, column: {column}}}"
        result = self.check(w, "1", "9", more=more)
        assert (result.passed, result.failed_rows) == (False, None)
        reason = words_of(w, f'parent."{column}"', f"column parent.{column} does not exist")
        assert reason in str(result.error)

    def test_a_parent_that_does_not_exist_is_named(self, w: Warehouse) -> None:
        result = self.check(w, "1", more=", foreign_key: {table: raw.nobody, column: id}")
        assert not result.passed
        reason = words_of(
            w, "Catalog Error: Table with name nobody", 'relation "raw.nobody" does not exist'
        )
        assert f"could not be evaluated: {reason}" in result.message

    def test_names_are_found_in_any_case(self, w: Warehouse) -> None:
        w.sql('CREATE TABLE raw."My-Parent" AS SELECT 1 AS "Order ""by"""')
        more = """, foreign_key: {table: RAW.my-parent, column: 'order "BY"'}"""
        assert self.check(w, "1", more=more).passed
        assert self.check(w, "2", more=more).failed_rows == 1


@however_counted
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
    def test_two_checks_of_one_name_are_both_answered(self, w: Warehouse) -> None:
        file = f"""{TABLE}
columns:
  - {{name: x, checks: [{{name: min, value: 1}}, {{name: min, value: 2, blocking: false}}]}}
custom_checks:
  - {{name: same name, query: SELECT 0}}
  - {{name: Same  Name, query: SELECT 1}}"""
        results = w.run(file, "SELECT 1 AS x").results
        assert [result.check.id for result in results] == [
            "mart.t:x:min",
            "mart.t:x:min_2",
            "mart.t:custom-check:same_name",
            "mart.t:custom-check:same_name_2",
        ]
        assert [result.passed for result in results] == [True, False, True, False]
        assert [result.rejects for result in results] == [False, False, False, True]

    def test_one_check_written_twice_is_one(self) -> None:
        file = header("name: not_null}, {name: not_null}, {name: min, value: 1")
        assert [check.label for check in checks_of(asset_of(file))] == ["x: not_null", "x: min"]

    @however_counted
    def test_a_failure_says_what_is_wrong_and_shows_it(self, w: Warehouse) -> None:
        query = "SELECT n, n - 15 AS x FROM generate_series(0, 1499) AS s(n)"
        (result,) = w.run(header("name: non_negative"), query).results
        assert result.message == "15 of 1,500 rows break the rule: Each x is 0 or above."
        assert len(result.sample) == SAMPLE_ROWS == 10
        assert result.sample[0] == {"n": 0, "x": -15}
        assert result.bad_rows_sql == 'SELECT * FROM "mart"."t"\nWHERE "x" < 0'

    def test_rows_that_python_cannot_hold_are_not_shown(self, w: Warehouse) -> None:
        never = words_of(w, "INTERVAL 10000000 YEAR", "TIMESTAMP 'infinity'")
        (result,) = w.run(header("name: positive"), f"SELECT -1 AS x, {never} AS never").results
        assert (result.failed_rows, result.sample) == (1, ())

    @pytest.mark.parametrize(
        ("rule", "words"),
        [
            ("not_null", "Each x has a value."),
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
        (one,) = checks_of(asset_of(header(f"name: {rule}")))
        assert one.words == words


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
  - {{name: fails, query: SELECT CAST('x' AS integer)}}
  - {{name: fine too, query: SELECT 0}}
"""

    @only(*ALL, LARGE)
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
        reason = words_of(w, "Binder Error", 'column "gone" does not exist')
        assert f"could not be evaluated: {reason}" in messages["gone: not_null"]
        kind = words_of(w, "INTEGER", "integer")
        assert f"it compares {kind} with 'abc'; write a number" in messages["y: min"]
        reason = words_of(w, "missing ): (", "parentheses () not balanced")
        assert reason in messages["y: pattern"]
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
        reason = words_of(w, "Could not convert", "invalid input syntax")
        assert all(reason in result.message for result in built.results)
        assert w.kind() is None

    def test_checks_of_a_script_that_makes_no_table_fail(self, w: Warehouse) -> None:
        file = header("name: not_null").replace(TABLE, "description: a script")
        (result,) = w.run(file, "CREATE TABLE other AS SELECT 1 AS x").results
        reason = words_of(w, "Catalog Error: Table with name", 'relation "mart.t" does not exist')
        assert f"could not be evaluated: {reason}" in result.message
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
