"""One check at a time: on a column with these values, or with this query."""

from __future__ import annotations

from typing import Any

import yaml

from contract.helpers import TABLE, Warehouse, values
from ecommerce_dagster.sql.checks import CheckResult

# Five rows: 0 to 4.
ROWS = "SELECT n FROM generate_series(0, 4) AS s(n)"

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
    ("min, value: 0.1", ["0.1::real", "0.1::float8"], ["0.09::real", "0.1::real"], 1),
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
    ("accepted_values, value: [5, 10]", ["5::float8", "10::float8"], ["1::float8", "5.5"], 2),
    ("accepted_values, value: [1.0, 2.50]", ["1", "2.5"], ["1.5", "25"], 2),
    ("accepted_values, value: ['5.00']", ["5.00", "5.0::float8"], ["5.01"], 1),
    ("accepted_values, value: [true]", ["true"], ["true", "false"], 1),
    ("accepted_values, value: [true, false]", ["'true'", "'false'"], ["'yes'"], 1),
    ("accepted_values, value: [true]", ["true"], ["1"], 1),
    ("accepted_values, value: single", ["'single'"], ["'double'"], 1),
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


def header(rule: str, column: str = "x", more: str = "") -> str:
    return f"{TABLE}\ncolumns: [{{name: {column}, checks: [{{{rule}}}]{more}}}]"


def check(w: Warehouse, rule: str, *rows: str, column: str = "x", more: str = "") -> CheckResult:
    """The result of one rule on a column with these values (SQL expressions)."""
    (result,) = w.run(header(f"name: {rule}", column, more), values("x", *rows)).results
    return result


def custom(w: Warehouse, query: str, sql: str = ROWS, **more: Any) -> CheckResult:
    """The result of a custom check with this query."""
    one = {"name": "my check", "query": query, **more}
    (result,) = w.run(f"{TABLE}\n{yaml.safe_dump({'custom_checks': [one]})}", sql).results
    return result


def words_of(w: Warehouse, duckdb: str, postgres: str) -> str:
    """What the database says, where each says it in another way."""
    return postgres if w.name == "postgres" else duckdb
