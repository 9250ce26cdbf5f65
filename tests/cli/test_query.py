"""`ecommerce query`: the warehouse on screen, as JSON and as CSV, and never changed."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import duckdb
import pytest
from orchestration.helpers import DAY, NewShop, Shop, Tiny, on_a_terminal, script


class TestTheOutput:
    def test_a_table_shows_names_and_values(self, day: Shop) -> None:
        outcome = day.invoke("query", "SELECT * FROM mart.sales_daily")
        assert outcome.succeeded
        assert outcome.stderr == ""
        lines = [line.split() for line in outcome.stdout.splitlines() if line.strip()]
        assert lines[0] == ["sale_date", "orders_count", "items_count", "revenue"]
        assert lines[-1] == [DAY, "500", "1506", "232856.13"]

    def test_json_is_a_list_of_records_with_exact_money(self, day: Shop) -> None:
        outcome = day.invoke("query", "--table", "mart.sales_daily", "--output", "json")
        [record] = json.loads(outcome.stdout, parse_float=str)
        assert (record["sale_date"], record["orders_count"]) == (DAY, 500)
        assert str(record["revenue"]) == "232856.13"

    def test_csv_has_a_header_and_all_rows(self, day: Shop) -> None:
        outcome = day.invoke("query", "--table", "raw.order_items", "--output", "csv")
        rows = list(csv.reader(io.StringIO(outcome.stdout)))
        assert rows[0][:3] == ["id", "order_id", "variant_id"]
        assert len(rows) == 1 + 1506

    def test_a_null_is_nothing_in_csv_and_null_in_json(self, day: Shop) -> None:
        sql = "SELECT NULL AS a, 'x,y' AS b"
        assert day.invoke("query", sql, "--output", "csv").stdout.splitlines() == [
            "a,b",
            ',"x,y"',
        ]
        record = json.loads(day.invoke("query", sql, "--output", "json").stdout)
        assert record == [{"a": None, "b": "x,y"}]

    def test_csv_and_json_say_every_value_and_column(self, day: Shop) -> None:
        sql = "SELECT true AS a, 2 AS a, [NULL, 'x'] AS l, {'k': false} AS s, 'a\\xFF'::BLOB AS b"
        csv_lines = day.invoke("query", sql, "--output", "csv").stdout.splitlines()
        assert list(csv.reader(csv_lines)) == [
            ["a", "a", "l", "s", "b"],
            ["true", "2", '[null, "x"]', '{"k": false}', "a\\xFF"],
        ]
        [record] = json.loads(day.invoke("query", sql, "--output", "json").stdout)
        assert record == {
            "a": True,
            "a_1": 2,
            "l": [None, "x"],
            "s": {"k": False},
            "b": "a\\xFF",
        }

    def test_parquet_holds_the_rows_with_their_own_types(self, day: Shop, tmp_path: Path) -> None:
        file = tmp_path / "rows.parquet"
        query = "SELECT sale_date, revenue, [1, NULL] AS l FROM mart.sales_daily ; -- the end"
        with file.open("wb") as stdout:
            subprocess.run(
                [script("ecommerce"), "query", query, "-o", "parquet"],
                env=day.environment, cwd=tmp_path, stdout=stdout, check=True,
            )  # fmt: skip
        with duckdb.connect() as duck:
            duck.execute(f"CREATE VIEW r AS FROM '{file}'")
            assert duck.execute("SELECT revenue::VARCHAR, l FROM r").fetchall() == [
                ("232856.13", [1, None])
            ]
            kinds = [row[1] for row in duck.execute("DESCRIBE r").fetchall()]
        assert kinds == ["DATE", "DECIMAL(18,2)", "INTEGER[]"]

    @pytest.mark.parametrize(
        ("sql", "said"),
        [
            ("SELECT 1); SELECT (2", "syntax error"),
            ("SELECT 1; SELECT 2", "only the rows of one query can be written as parquet"),
            ("DROP TABLE mart.sales_daily", "DROP can change something"),
            ("FROM read_text('/etc/passwd')", "this command reads the tables of the warehouse"),
        ],
    )
    def test_to_write_parquet_changes_and_reads_nothing_else(
        self, day: Shop, sql: str, said: str
    ) -> None:
        outcome = day.invoke("query", sql, "-o", "parquet")
        assert outcome.code == 1
        assert said in outcome.stderr
        assert outcome.stdout == ""

    def test_a_terminal_is_shown_no_parquet(self, day: Shop) -> None:
        told = on_a_terminal(day.environment, "query", "SELECT 1", "-o", "parquet")
        assert told.strip() == "a Parquet file is not for a terminal; add `> file.parquet`"

    def test_times_are_shown_in_utc(self, day: Shop) -> None:
        sql = "SELECT TIMESTAMPTZ '2025-03-05 12:00:00+00' AS t"
        outcome = day.invoke("query", sql, "--output", "json", TZ="Asia/Tokyo")
        assert json.loads(outcome.stdout)[0]["t"].startswith("2025-03-05T12:00:00")

    def test_a_limit_shows_that_many_rows_and_says_that_there_are_more(self, day: Shop) -> None:
        outcome = day.invoke(
            "query", "--table", "mart.top_skus", "--limit", "5", "--output", "json"
        )
        assert [record["rank"] for record in json.loads(outcome.stdout)] == [1, 2, 3, 4, 5]
        assert "more than 5 rows" in outcome.stderr

    def test_a_long_table_is_cut_at_a_hundred_rows_with_a_word(self, day: Shop) -> None:
        outcome = day.invoke("query", "SELECT range AS n FROM range(1000)")
        numbers = [line.strip() for line in outcome.stdout.splitlines() if line.strip().isdigit()]
        assert numbers == [str(n) for n in range(100)]
        assert "more than 100 rows" in outcome.stderr


class TestNothingCanBeChanged:
    @pytest.mark.parametrize(
        "sql",
        [
            "INSERT INTO mart.customers_by_age VALUES ('x', 1)",
            "DELETE FROM mart.customers_by_age",
            "DROP TABLE mart.customers_by_age",
            "CREATE TABLE mart.mine AS SELECT 1",
            "UPDATE stg.orders SET status = 'paid'",
        ],
    )
    def test_a_statement_that_writes_is_refused(self, day: Shop, sql: str) -> None:
        before = day.tables()
        outcome = day.invoke("query", sql)
        assert (outcome.code, outcome.stdout) == (1, "")
        word = sql.partition(" ")[0]
        assert outcome.stderr == f"{word} can change something; this command only reads\n"
        assert day.tables() == before


class TestMistakes:
    def test_a_query_that_does_not_parse(self, day: Shop) -> None:
        outcome = day.invoke("query", "SELEC 1")
        assert (outcome.code, outcome.stdout) == (1, "")
        assert 'syntax error at or near "SELEC"' in outcome.stderr

    def test_a_missing_table_names_the_nearest_one(self, day: Shop) -> None:
        outcome = day.invoke("query", "--table", "mart.sale_daily")
        assert (outcome.code, outcome.stdout) == (1, "")
        assert "sale_daily does not exist" in outcome.stderr
        assert 'Did you mean "sales_daily"?' in outcome.stderr

    def test_a_warehouse_that_is_not_there_yet(self, new_shop: NewShop) -> None:
        shop = new_shop()
        outcome = shop.invoke("query", "SELECT 1")
        assert outcome.code == 1
        assert f"{shop.warehouse} does not exist yet; run the pipeline first" in outcome.stderr
        assert not shop.warehouse.exists()

    @pytest.mark.parametrize(
        "arguments", [(), ("SELECT 1", "--table", "mart.sales_daily"), ("SELECT 1", "--limit", "0")]
    )
    def test_arguments_that_make_no_sense(self, day: Shop, arguments: tuple[str, ...]) -> None:
        assert day.invoke("query", *arguments).code == 2


def test_another_pipelines_warehouse_can_be_asked(tiny: Tiny) -> None:
    tiny.sql("main.t", "SELECT 42 AS answer")
    assert tiny.ecommerce("run").succeeded
    outcome = tiny.ecommerce("query", "--table", "main.t", "--output", "csv")
    assert outcome.stdout.split() == ["answer", "42"]


def test_a_connection_that_is_no_warehouse_is_named_with_its_type(tiny: Tiny) -> None:
    config = (tiny.folder / ".bruin.yml").read_text()
    tiny.write(".bruin.yml", f"{config}      mysql:\n        - {{name: shop, host: db}}\n")
    outcome = tiny.ecommerce("query", "SELECT 1", "--connection", "shop")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "the connection 'shop' is of type mysql; expected duckdb or postgres" in outcome.stderr


def test_a_reader_that_stops_early_is_no_error(day: Shop) -> None:
    head = day.run(
        "sh",
        "-c",
        f"{script('ecommerce')} query --table raw.order_items --output csv | head -n 1",
    )
    assert head.stdout == ("id,order_id,variant_id,quantity,unit_price,total_price,created_at\n")
    assert "Traceback" not in head.stderr
    assert "BrokenPipe" not in head.stderr
