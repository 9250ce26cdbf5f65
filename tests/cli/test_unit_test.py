"""`ecommerce unit-test`: the tests of the files, run in memory, and how their failures read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from orchestration.helpers import Outcome, Tiny

HEADER = """
columns:
  - {name: day, type: date}
  - {name: revenue, type: "decimal(10,2)"}
unit_tests:
"""
QUERY = """
WITH paid AS (SELECT * FROM raw.orders WHERE status = 'paid')
SELECT CAST(created_at AS DATE) AS day, sum(amount) AS revenue FROM paid
WHERE amount >= {{ var.least }}
GROUP BY ALL ORDER BY day
"""
INPUTS = """
    inputs:
      - asset: raw.orders
        rows:
          - {status: paid, amount: 10.10, created_at: "2024-01-01 10:00:00"}
          - {status: paid, amount: 5, created_at: "2024-01-01 11:00:00"}
          - {status: open, amount: 7, created_at: "2024-01-01 12:00:00"}
          - {status: paid, amount: 2, created_at: "2024-01-02 00:00:00"}
"""


@pytest.fixture
def shop(tiny: Tiny) -> Tiny:
    tiny.write("pipeline/pipeline.yml", "name: shop\nvariables: {least: {type: int, default: 0}}\n")
    tiny.write(
        "pipeline/assets/raw.orders.asset.yml",
        "name: raw.orders\ntype: duckdb.source\ncolumns:\n  - {name: id, type: bigint}\n"
        "  - {name: status, type: varchar}\n  - {name: amount, type: 'decimal(10,2)'}\n"
        "  - {name: created_at, type: timestamp}\n",
    )
    return tiny


def outcome_of(shop: Tiny, test: str, *arguments: str, query: str = QUERY) -> Outcome:
    test = f"  - name: t\n{test}" if "name:" not in test[:20] else test
    shop.sql("mart.daily", query, HEADER + test)
    return shop.ecommerce("unit-test", *arguments)


def expect(text: str) -> str:
    return f"{INPUTS}    expected:\n{text}"


def differences(outcome: Outcome) -> list[str]:
    """What is said of the only test."""
    assert (outcome.code, outcome.stderr) == (1, "")
    first, *lines, last = outcome.stdout.splitlines()
    assert first.startswith("FAIL  mart.daily: t  (")
    assert last == "1 unit test, 1 failed"
    return [line.strip() for line in lines]


ROWS = "      rows: [{day: 2024-01-01, revenue: 15.10}, {day: 2024-01-02, revenue: 2}]\n"


@pytest.mark.parametrize(
    "expected",
    [
        ROWS,
        ROWS + "      match: exact\n      order: strict\n      count: 2\n",
        "      count: 2\n",
        "      rows: [{day: 2024-01-02}]\n      match: subset\n",
        "      rows: [{revenue: '2.00'}, {revenue: 15.1}]\n",
        ROWS + "      ctes: {paid: {count: 3}}\n",
        "      ctes: {paid: {rows: [{amount: 5}], match: subset}}\n",
        "      ctes: {paid: [{amount: 5}, {amount: 2}, {amount: 10.1}]}\n",
        "      rows: [{day: 2024-01-02}]\n",
        "      rows: [{Day: 2024-01-02, REVENUE: 2}]\n",
        "      rows: []\n      match: subset\n",
        "      rows: [{day: 2024-01-01}, {day: 2024-01-02}]\n      match: exact\n",
        "      rows: [{day: 2024-01-02}, {revenue: 15.1}]\n      match: exact\n",
        "      rows: [{day: 2024-01-01}]\n      order: strict\n",
    ],
)
def test_a_test_passes(shop: Tiny, expected: str) -> None:
    outcome = outcome_of(shop, expect(expected))
    assert outcome.succeeded, outcome.text
    assert outcome.stdout == "PASS  mart.daily: t\n1 unit test, 0 failed\n"
    assert not shop.warehouse.exists()


@pytest.mark.parametrize(
    ("expected", "lines"),
    [
        ("      count: 3\n", ["2 rows instead of 3"]),
        ("      rows: [{day: 2024-01-01, revenue: 15}, {day: 2024-01-02, revenue: 2}]\n",
         ["~ changed  day=2024-01-01: revenue is 15.1 instead of 15"]),
        ("      rows: [{day: 2024-01-01, revenue: 15.1}]\n      match: exact\n",
         ["+ surplus  day=2024-01-02, revenue=2"]),
        ("      rows: []\n",
         ["+ surplus  day=2024-01-01, revenue=15.1", "+ surplus  day=2024-01-02, revenue=2"]),
        (ROWS.rstrip("]\n") + ", {day: 2024-01-05, revenue: null}]\n",
         ["- missing  day=2024-01-05, revenue=NULL"]),
        ("      rows: [{day: 2024-01-05}]\n      match: subset\n", ["- missing  day=2024-01-05"]),
        ("      rows: [{day: 2024-01-01}, {day: 2024-01-01}]\n",
         ["- missing  day=2024-01-01"]),
        ("      rows: [{day: 2024-01-02}]\n      order: strict\n", ["- missing  day=2024-01-02"]),
        ("      rows: [{day: 2024-01-02}, {day: 2024-01-01}]\n      order: strict\n",
         ["row 1 is day=2024-01-01 instead of day=2024-01-02"]),
        ("      rows: [{date: 2024-01-02}]\n",
         ["the query returns no column date; it returns day, revenue"]),
        ("      ctes: {paid: {count: 4}}\n", ["paid: 3 rows instead of 4"]),
        ("      ctes: {pait: {count: 4}}\n",
         ["the query has no CTE 'pait'; did you mean 'paid'?"]),
        ("      row: []\n", ["unknown key 'row' in `expected`; did you mean 'rows'?"]),
        ("      count: many\n", ["the expected count must be a whole number, not 'many'"]),
        ("      match: some\n", ["`match` is 'some'; expected exact or subset"]),
        ("      rows: 5\n", ["the expected rows must be a list of mappings"]),
    ],
)  # fmt: skip
def test_a_failure_says_what_differs(shop: Tiny, expected: str, lines: list[str]) -> None:
    assert differences(outcome_of(shop, expect(expected))) == lines


@pytest.mark.parametrize(
    ("value", "written", "equal"),
    [
        ("1234567890123456", "1234567890123457", False),
        ("CAST('1234567890.123456789' AS DECIMAL(30, 9))", "1234567890.123456789", True),
        ("0.1::DOUBLE + 0.2::DOUBLE", "0.3", True),
        ("0.1::DOUBLE", "0.1001", False),
        ("'007'", "7", False),
        ("'7'", "7", True),
        ("'1.10'", "1.10", True),
        ("true", "true", True),
        ("true", "false", False),
        ("TIMESTAMP '2024-01-01 00:00:00'", "2024-01-01", True),
        ("TIMESTAMPTZ '2024-01-01 12:00:00+02'", "'2024-01-01T10:00:00Z'", True),
        ("TIMESTAMP '2024-01-01 10:00:00'", "'2024-01-01T10:00:01'", False),
        ("DATE '2024-01-01'", "20240102", False),
        ("TIME '10:00:00'", "'10:00:00'", True),
        ("NULL", "null", True),
        ("NULL", "''", False),
        ("[1, 2]", "[1, 2]", True),
        ("{'a': [1], 'b': 'x'}", "{b: x, a: [1]}", True),
    ],
)
def test_values_are_equal_when_they_mean_the_same(
    shop: Tiny, value: str, written: str, equal: bool
) -> None:
    test = f"    expected: {{rows: [{{v: {written}}}]}}\n"
    assert outcome_of(shop, test, query=f"SELECT {value} AS v").succeeded == equal


@pytest.mark.parametrize(
    ("query", "test"),
    [
        ("SELECT current_date AS d, now() AS t, '{{ start_date }}' AS s, '{{ end_date }}' AS e, "
         "'{{ execution_timestamp }}' AS x",
         "execution_time: 2024-02-29T10:20:30Z\n    expected: {rows: [{d: 2024-02-29, "
         "t: 2024-02-29 10:20:30, s: '2024-02-29', e: '2024-02-29', "
         "x: '2024-02-29T10:20:30.000000Z'}]}"),
        ("SELECT {{ var.least }} AS v", "variables: {least: 7}\n    expected: {rows: [{v: 7}]}"),
        ("SELECT count(*) AS n FROM raw.orders WHERE id IS NULL",
         "inputs: [{asset: raw.orders, rows: []}]\n    expected: {rows: [{n: 0}]}"),
        ("SELECT a.x + b.y AS n FROM lake.s.a, b",
         "inputs: [{asset: lake.s.a, rows: [{x: 1}]}, {asset: b, rows: [{y: 2}]}]\n"
         "    expected: {rows: [{n: 3}]}"),
        ("SELECT {{ bruin.safe_divide('1', '0') }} AS n", "expected: {rows: [{n: null}]}"),
        ("SELECT a - 2 AS a, b * 3 AS b, lower(c) AS c, c + 1 AS d, e[1] AS e, f.g AS g FROM x",
         "inputs: [{asset: x, rows: [{a: 1, b: 0.10, c: null, e: [7], f: {g: h}}]}]\n"
         "    expected: {rows: [{a: -1, b: 0.30, c: null, d: null, e: 7, g: h}], match: exact}"),
    ],
)  # fmt: skip
def test_a_test_decides_what_the_query_sees(shop: Tiny, query: str, test: str) -> None:
    outcome = outcome_of(shop, f"    {test}\n", query=query)
    assert outcome.succeeded, outcome.text


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("orders.yml", "asset: raw.orders\nrows:\n  - {status: paid, amount: 3}\n"),
        ("orders.yaml", "inputs:\n  - asset: raw.orders\n    rows: [{status: paid, amount: 3}]\n"),
        ("orders.yml", "- asset: raw.orders\n  rows: [{status: paid, amount: 3}]\n"),
        ("raw.orders.csv", "status,amount,created_at\npaid,3,\n"),
        ("raw.orders.json", '[{"status": "paid", "amount": 3}]'),
        ("x/raw.orders.jsonl", '{"status": "paid", "amount": 3}\n'),
    ],
)
def test_fixtures_are_rows_that_tests_share(shop: Tiny, file: str, content: str) -> None:
    shop.write(f"pipeline/fixtures/{file}", content)
    name = file.rpartition("/")[2].rpartition(".")[0]
    test = f"    fixtures: [{name}]\n    expected: {{rows: [{{n: 1, amount: 3}}]}}\n"
    query = "SELECT count(*) AS n, sum(amount) AS amount FROM raw.orders"
    outcome = outcome_of(shop, test, query=query)
    assert outcome.succeeded, outcome.text
    named = f"    fixtures: [{{asset: raw.orders, file: {file}}}]\n    expected: {{count: 1}}\n"
    assert outcome_of(shop, named, query=query).succeeded
    own = f"    inputs: [{{asset: raw.orders, rows: []}}]\n{test}"
    lines = differences(outcome_of(shop, own, query=query))
    assert lines == ["- missing  n=1, amount=3"]


PIPELINE = """name: shop
variables: {least: {type: int, default: 0}}
fixtures:
  - name: few
    asset: RAW.Orders
    rows: [{STATUS: paid, amount: 3}, {status: open, Amount: 4}]
  - {name: none, asset: raw.orders}
"""


@pytest.mark.parametrize(
    ("test", "rows"),
    [
        ("fixtures: [few]", "[{n: 2, amount: 7}]"),
        ("fixtures: [none]", "[{n: 0, amount: null}]"),
        ("fixtures: [{name: few}]", "[{n: 2}]"),
        ("fixtures: [few]\n    inputs: [{asset: raw.orders, rows: [{amount: 1}]}]", "[{n: 1}]"),
        ("description: without any", "[{n: 0, amount: null}]"),
    ],
)
def test_fixtures_of_the_pipeline_are_shared_and_other_tables_empty(
    shop: Tiny, test: str, rows: str
) -> None:
    shop.write("pipeline/pipeline.yml", PIPELINE)
    shop.write("pipeline/fixtures/other.yml", "asset: raw.orders\nrows: []\n")
    query = "SELECT count(*) AS n, sum(amount) AS amount FROM Raw.ORDERS"
    test = f"    {test}\n    expected: {{rows: {rows}}}\n"
    outcome = outcome_of(shop, test, query=query)
    assert outcome.succeeded, outcome.text
    [line] = differences(
        outcome_of(shop, test.replace("rows: [{n", "rows: [{n: 9, x"), query=query)
    )
    assert line.startswith("the query returns no column x")


@pytest.mark.parametrize(
    ("query", "succeeds"),
    [
        ("CREATE OR REPLACE TABLE x.y AS SELECT 3 AS v", True),
        ("CREATE VIEW y AS (WITH a AS (SELECT 3 AS v) SELECT v FROM a);", True),
        ("INSERT INTO y SELECT 3 AS v", True),
        ("INSERT INTO y WITH a AS (SELECT 3 AS v) SELECT v FROM a", True),
        ("-- create table\nSELECT 3 AS v, 'insert' AS w", True),
        ("DELETE FROM y WHERE v = 3", False),
        ("CREATE TABLE y (v INTEGER)", False),
    ],
)
@pytest.mark.parametrize("kind", ["duckdb.sql", "pg.sql"])
def test_a_select_inside_of_another_statement_is_tested(
    shop: Tiny, query: str, succeeds: bool, kind: str
) -> None:
    shop.write(
        "pipeline/assets/t.sql",
        f"/* @bruin\nname: t\ntype: {kind}\nunit_tests: [{{name: t, expected: {{rows: [{{v: 3}}]}}}}]\n"
        f"@bruin */\n{query}\n",
    )
    outcome = shop.ecommerce("unit-test", "t")
    assert outcome.succeeded == succeeds, outcome.text
    assert succeeds or "this asset has no SELECT to test" in outcome.stdout


def test_columns_of_a_csv_that_nobody_declares_are_what_their_values_are(shop: Tiny) -> None:
    content = "day,n,price,ok,zip\n2024-01-31,1,0.10,true,007\n2024-01-01,,2.5,false,12\n"
    shop.write("pipeline/fixtures/other.t.csv", content)
    test = (
        "    fixtures: [other.t]\n    expected:\n"
        "      rows: [{next: 2024-02-01, n: 1, price: 2.60, ok: 1, zip: 007}]\n"
    )
    query = (
        "SELECT max(day) + 1 AS next, sum(n + 0) AS n, sum(price) AS price,"
        " count(*) FILTER (WHERE ok) AS ok, min(zip) AS zip FROM other.t"
    )
    outcome = outcome_of(shop, test, query=query)
    assert outcome.succeeded, outcome.text


@pytest.mark.parametrize(
    ("test", "line"),
    [
        ("    expcted: {count: 1}\n", "unknown key 'expcted' in a unit test; "
                                      "did you mean 'expected'?"),
        ("    description: nothing\n", "the test says nothing of what is `expected`: rows, count "
                                       "or ctes"),
        ("    fixtures: [ordrs]\n    expected: {count: 1}\n",
         "there is no fixture 'ordrs' in pipeline.yml or fixtures/; did you mean 'orders'?"),
        ("    inputs: {a: 1}\n    expected: {count: 1}\n",
         "`inputs` must be a list (`- item` lines)"),
        ("    inputs: [{rows: []}]\n    expected: {count: 1}\n",
         "inputs: an input is `asset: name` with its `rows`"),
        ("    inputs: [{asset: x}]\n    expected: {count: 1}\n",
         "the input x has no rows and declares no columns"),
        ("    execution_time: soon\n    expected: {count: 1}\n",
         "execution_time: 'soon' is not a time"),
    ],
)  # fmt: skip
def test_a_test_that_makes_no_sense_fails(shop: Tiny, test: str, line: str) -> None:
    shop.write("pipeline/fixtures/orders.yml", "asset: raw.orders\nrows: []\n")
    assert differences(outcome_of(shop, test)) == [line]


def test_a_missing_input_is_said(shop: Tiny) -> None:
    query = "SELECT 1 AS day, 2 AS revenue FROM raw.others"
    [line] = differences(outcome_of(shop, "    expected: {count: 1}\n", query=query))
    assert '"raw.others" does not exist' in line
    assert "its rows are given below `inputs`" in line


def test_json_has_every_test_with_its_place(shop: Tiny) -> None:
    shop.sql("other", "SELECT 1 AS x", "unit_tests: [{name: o, expected: {count: 1}}]")
    outcome = outcome_of(shop, expect("      count: 5\n"), "--output", "json")
    found: dict[str, Any] = json.loads(outcome.stdout)
    assert (outcome.code, found["success"]) == (1, False)
    by_asset = {test["asset"]: test for test in found["tests"]}
    assert by_asset["other"]["passed"]
    assert by_asset["mart.daily"]["differences"] == ["2 rows instead of 5"]
    assert by_asset["mart.daily"]["file"].endswith("assets/mart.daily.sql")
    assert by_asset["mart.daily"]["line"] == 10


def test_one_asset_is_tested_by_its_name_and_by_its_file(shop: Tiny) -> None:
    shop.sql("other", "SELECT 1 AS x", "unit_tests: [{name: o, expected: {count: 2}}]")
    assert outcome_of(shop, expect("      count: 2\n"), "mart.daily").succeeded
    file = str(shop.directory / "assets" / "other.sql")
    outcome = shop.ecommerce("unit-test", file)
    assert outcome.code == 1
    assert "1 unit test, 1 failed" in outcome.stdout
    assert shop.ecommerce("unit-test", "othr").stderr.startswith("there is no asset 'othr'; did")


def test_a_query_for_postgres_is_tested_in_memory_too(shop: Tiny) -> None:
    shop.write(
        "pipeline/assets/p.sql",
        "/* @bruin\nname: p\ntype: pg.sql\nunit_tests:\n  - name: t\n    inputs: [{asset: x, rows: "
        "[{v: abc}]}]\n    expected: {rows: [{n: '3', ok: true}]}\n@bruin */\n"
        "SELECT length(v)::text AS n, v ~ 'b' AS ok FROM x\n",
    )
    outcome = shop.ecommerce("unit-test", "p")
    assert outcome.succeeded, outcome.text
