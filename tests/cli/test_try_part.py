"""`ecommerce try --sample`, `--days`, `--empty`: a change is built of rows that belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest
from orchestration.helpers import Outcome, Tiny, config_with_source, tables

from ecommerce_dagster.shop.embedded_postgres import PostgresServer

# Customers, orders and their lines; each fifth order is of nobody.
CUSTOMERS = "SELECT n AS id, 'c' || n AS name FROM generate_series(1, 400) AS t(n)"
ORDERS = (
    "SELECT n AS order_no, CASE WHEN n % 5 > 0 THEN 1 + n % 400 END AS customer_id, "
    "CAST(TIMESTAMP '2025-01-01' + n * INTERVAL '1 hour' AS TIMESTAMP) AS placed_at "
    "FROM generate_series(1, 2000) AS t(n)"
)
LINES = (
    "SELECT n AS line_no, 1 + n % 2000 AS order_no, 1 + n % 7 AS vat_id "
    "FROM generate_series(1, 6000) AS t(n)"
)
OF_CUSTOMER = (
    "columns: [{name: order_no, primary_key: true}, "
    "{name: customer_id, foreign_key: {table: raw.customers, column: id}}]"
)
BY_TIME = (
    "materialization: {type: table, strategy: time_interval, incremental_key: placed_at, "
    "time_granularity: timestamp}"
)
# The mart fails where an order or its customer is missing.
MART = (
    "SELECT l.line_no, o.order_no, o.customer_id, o.placed_at, v.vat_id FROM raw.lines AS l "
    "LEFT JOIN raw.orders AS o ON o.order_no = l.order_no "
    "LEFT JOIN raw.vat AS v ON v.vat_id = l.vat_id"
)
CHECKS = """columns:
  - {name: order_no, checks: [{name: not_null}]}
  - {name: vat_id, checks: [{name: not_null}]}
  - {name: customer_id, foreign_key: {table: raw.customers, column: id}, checks: [{name: relationships}]}
depends: [raw.customers, raw.orders, raw.lines, raw.vat]"""


def pipeline(tiny: Tiny, type: str = "duckdb.sql") -> Tiny:
    def add(name: str, query: str, *more: str) -> None:
        header = "\n".join((f"name: {name}", f"type: {type}", *more))
        tiny.write(f"pipeline/assets/{name}.sql", f"/* @bruin\n{header}\n@bruin */\n{query}\n")

    table = "materialization: {type: table}"
    add("raw.customers", CUSTOMERS, table, "columns: [{name: id, primary_key: true}]")
    add("raw.orders", ORDERS, BY_TIME, OF_CUSTOMER)
    add("raw.lines", LINES, table, "columns: [{name: line_no, primary_key: true}]")
    add("raw.vat", "SELECT n AS vat_id FROM generate_series(1, 7) AS t(n)", table)
    add("mart.lines", MART, table, CHECKS)
    built = tiny.ecommerce("run")
    assert built.succeeded, built.text
    return tiny


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def shop(request: pytest.FixtureRequest, tiny: Tiny) -> Iterator[Tiny]:
    if request.param == "duckdb":
        yield pipeline(tiny)
        return
    server: PostgresServer = request.getfixturevalue("database")
    place = (server.host, server.port, server.password, server.user)
    (tiny.folder / ".bruin.yml").write_text(config_with_source(*place, server.database))
    tiny.write("pipeline/pipeline.yml", "name: tiny\ndefault_connections: {postgres: pg}\n")
    yield pipeline(tiny, "pg.sql")
    with psycopg.connect(server.dsn, autocommit=True) as postgres:
        found = postgres.execute("SELECT nspname FROM pg_namespace").fetchall()
        assert not [name for (name,) in found if name.startswith("try_")]
        postgres.execute("DROP SCHEMA IF EXISTS raw CASCADE")
        postgres.execute("DROP SCHEMA IF EXISTS mart CASCADE")


def asked(shop: Tiny, sql: str) -> int:
    connection = "pg" if "pg" in (shop.directory / "pipeline.yml").read_text() else "duckdb-default"
    told = shop.ecommerce("query", sql, "--connection", connection, "--output", "csv")
    assert told.succeeded, told.text
    return int(told.stdout.split()[-1])


def built_rows(tried: Outcome) -> int:
    assert tried.succeeded, tried.text
    (rows,) = re.findall(r"PASS  mart.lines +([\d,]+) rows?", tried.stdout)
    return int(rows.replace(",", ""))


def test_a_sample_is_of_one_key_in_all_tables(shop: Tiny) -> None:
    tried = shop.ecommerce("try", "mart.lines", "--sample", "10%")
    # A tenth of the customers by their hash, orders of nobody, and the lines of those orders.
    expected = asked(
        shop,
        "SELECT count(*) AS n FROM raw.lines AS l JOIN raw.orders AS o ON o.order_no = l.order_no "
        "WHERE customer_id IS NULL OR md5(CAST(customer_id AS VARCHAR)) < '19999999'",
    )
    assert built_rows(tried) == expected < 2400
    assert (
        "read: 10 % of the values of raw.customers.id: raw.customers, raw.orders, raw.lines; "
        "all rows: raw.vat"
    ) in tried.stderr
    assert "mart.lines: not compared: it was built of 10 % of the rows" in tried.stdout
    by_line = shop.ecommerce("try", "mart.lines", "--sample", "10", "--by", "LINE_NO")
    assert "read: 10 % of the values of LINE_NO: raw.lines; all rows: " in by_line.stderr
    assert 400 < built_rows(by_line) < 800


def test_the_last_days_are_those_that_there_are_rows_of(shop: Tiny) -> None:
    tried = shop.ecommerce("try", "mart.lines", "--days", "2")
    assert "read: the days 2025-03-24 to 2025-03-25: raw.orders, raw.lines; all rows: " in (
        tried.stderr
    )
    assert built_rows(tried) == asked(
        shop,
        "SELECT count(*) AS n FROM raw.lines AS l JOIN raw.orders AS o ON o.order_no = l.order_no "
        "WHERE placed_at >= '2025-03-24'",
    )


def test_no_rows_show_whether_it_can_be_built(shop: Tiny) -> None:
    assert built_rows(shop.ecommerce("try", "mart.lines", "--empty")) == 0
    # The orders are tried, too: they are made of nothing that is there, and so are all of them.
    whole = shop.ecommerce("try", "raw.orders", "--empty", "--fail-if-diff")
    assert "mart.lines: not compared: it was built of no rows" in whole.stdout
    assert "PASS  raw.orders" in whole.stdout


def test_no_table_of_production_is_written(tiny: Tiny) -> None:
    pipeline(tiny)
    before = tables(tiny.warehouse)
    for part in (("--sample", "1%"), ("--days", "3"), ("--empty",)):
        assert tiny.ecommerce("try", "mart.lines", *part).succeeded
    assert tables(tiny.warehouse) == before
    found = tiny.query("SELECT schema_name FROM information_schema.schemata")
    assert not [name for (name,) in found if str(name).startswith("try_")]


def test_what_cannot_be_chosen_is_refused(tiny: Tiny) -> None:
    tiny.sql("raw.a", "SELECT 1 AS n")
    tiny.sql("mart.b", "SELECT n FROM raw.a", "depends: [raw.a]")
    assert tiny.ecommerce("run").succeeded
    for code, arguments, told in (
        (2, ("--sample", "0"), "'0' is no part of the rows; write a percentage such as 1% or 0.5%"),
        (2, ("--sample", "many"), "'many' is no part of the rows; write a percentage such as"),
        (2, ("--sample", "1%", "--empty"), "--sample, --days and --empty exclude each other"),
        (2, ("--by", "n"), "--by is the key of --sample"),
        (1, ("--sample", "1%"), "has a key to take a sample by; name a column with --by"),
        (1, ("--sample", "1%", "--by", "m"), "no table has the column 'm'; known: n"),
        (1, ("--days", "7"), "no table that is read is loaded or rebuilt by the days of a column"),
    ):
        tried = tiny.ecommerce("try", "mart.b", *arguments)
        assert tried.code == code, tried.text
        assert told in " ".join(tried.stderr.replace("│", "").split())
        assert tried.stdout == ""
        found = tiny.query("SELECT schema_name FROM information_schema.schemata")
        assert not [name for (name,) in found if str(name).startswith("try_")]
