"""Ingestr assets from a real MySQL server: exact values, strategies, watermarks."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from orchestration.helpers import Tiny

from ingestion_files.mysql_server import PASSWORD, MySQLServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("duckdb_extension_mysql_scanner") is None,
        reason="the package duckdb-extension-mysql-scanner is not installed",
    ),
]
KEYS = "incremental_key: updatedAt, primary_key: Id"
PEOPLE = """
CREATE OR REPLACE TABLE shop.people
    (Id INT UNSIGNED PRIMARY KEY, eMail VARCHAR(50), updatedAt DATETIME(6));
INSERT INTO shop.people VALUES
    (1, 'a', '2025-01-01'), (2, 'b', '2025-01-02 12:00:00.5'), (3, NULL, '2025-01-03');
"""


@pytest.fixture(scope="module")
def mysql() -> Iterator[MySQLServer]:
    with MySQLServer() as server:
        server.execute("CREATE DATABASE shop; CREATE DATABASE other;")
        yield server


class Shop:
    """A pipeline whose raw.t is loaded from the server."""

    def __init__(self, tiny: Tiny, mysql: MySQLServer) -> None:
        self.tiny, self.mysql = tiny, mysql
        config = (tiny.folder / ".bruin.yml").read_text()
        tiny.write(".bruin.yml", f"{config}      mysql: [{{name: my, {mysql.connection}}}]\n")

    def load(self, table: str, more: str = "", rest: str = "", *arguments: str) -> Any:
        self.tiny.write(
            "pipeline/assets/t.asset.yml",
            "name: raw.t\ntype: ingestr\nconnection: duckdb-default\nparameters: "
            f'{{source_connection: my, source_table: "{table}"{more and f", {more}"}}}\n{rest}',
        )
        outcome = self.tiny.ecommerce("run", *arguments)
        assert PASSWORD not in outcome.text
        return outcome

    def rows(self, *given: str, columns: str = "*") -> list[tuple[Any, ...]]:
        outcome = self.load(*given)
        assert outcome.code == 0, outcome.text
        return self.tiny.query(f"SELECT {columns} FROM raw.t ORDER BY ALL")

    def types(self) -> dict[str, str]:
        return {row[0]: row[1] for row in self.tiny.query("DESCRIBE raw.t")}


@pytest.fixture
def shop(tiny: Tiny, mysql: MySQLServer) -> Shop:
    mysql.execute(PEOPLE)
    return Shop(tiny, mysql)


# The definition of a column, a literal of it, the type in DuckDB and the value.
VALUES = [
    ("DECIMAL(12,4)", "12345678.1234", "DECIMAL(12,4)", Decimal("12345678.1234")),
    ("DECIMAL(38,10)", "1234567890123456789012345678.0123456789", "DECIMAL(38,10)",
     Decimal("1234567890123456789012345678.0123456789")),
    ("DECIMAL(65,20)", "123456789012345678901234567890.00000000000000000001", "VARCHAR",
     "123456789012345678901234567890.00000000000000000001"),
    ("DATETIME(6)", "'2025-01-02 03:04:05.123456'", "TIMESTAMP", datetime(2025, 1, 2, 3, 4, 5, 123456)),
    # The server is three hours ahead; a TIMESTAMP is a moment.
    ("TIMESTAMP(3)", "'2025-01-02 03:04:05.123'", "TIMESTAMP", datetime(2025, 1, 2, 0, 4, 5, 123000)),
    ("DATE", "'2025-01-02'", "DATE", date(2025, 1, 2)),
    ("DATE", "'0000-00-00'", "DATE", None),
    ("DATETIME", "'0000-00-00'", "TIMESTAMP", None),
    ("TIME(3)", "'-100:34:56.789'", "VARCHAR", "-100:34:56.789"),
    ("TINYINT(1)", "1", "TINYINT", 1),
    ("TINYINT(1)", "2", "TINYINT", 2),
    ("TINYINT UNSIGNED", "255", "UTINYINT", 255),
    ("SMALLINT UNSIGNED", "65535", "USMALLINT", 65535),
    ("INT UNSIGNED", "4294967295", "UINTEGER", 4294967295),
    ("BIGINT UNSIGNED", "18446744073709551615", "UBIGINT", 18446744073709551615),
    ("BIGINT", "-9223372036854775808", "BIGINT", -9223372036854775808),
    ("ENUM('a','b')", "'b'", "VARCHAR", "b"),
    ("SET('x','y')", "'x,y'", "VARCHAR", "x,y"),
    ("JSON", "'{\"k\": [1, 2]}'", "VARCHAR", '{"k": [1, 2]}'),
    ("BLOB", "x'00ff10'", "BLOB", b"\x00\xff\x10"),
    ("BINARY(4)", "x'01020300'", "BLOB", b"\x01\x02\x03\x00"),
    ("LONGTEXT", "'é漢😀'", "VARCHAR", "é漢😀"),
    ("VARCHAR(9)", "''", "VARCHAR", ""),
    ("YEAR", "2025", "INTEGER", 2025),
    ("DOUBLE", "0.1", "DOUBLE", 0.1),
    ("INT", "NULL", "INTEGER", None),
]  # fmt: skip


def test_values_arrive_as_they_are(shop: Shop) -> None:
    columns = ", ".join(f"c{n} {definition}" for n, (definition, *_) in enumerate(VALUES))
    values = ", ".join(literal for _, literal, *_ in VALUES)
    shop.mysql.execute(
        f"CREATE OR REPLACE TABLE shop.kinds ({columns}) CHARSET utf8mb4;"
        f"INSERT INTO shop.kinds VALUES ({values})"
    )
    [row] = shop.rows("kinds")
    assert list(row) == [value for *_, value in VALUES]
    assert list(shop.types().values()) == [kind for _, _, kind, _ in VALUES]
    # And without the column that DuckDB has no number for.
    exact = [case for case in VALUES if "65" not in case[0].partition(",")[0]]
    [row] = shop.rows("kinds", "sql_exclude_columns: c2", "", "--full-refresh")
    assert list(row) == [value for *_, value in exact]


def test_a_declared_type_is_kept(shop: Shop) -> None:
    shop.mysql.execute(
        "CREATE OR REPLACE TABLE shop.flags (id INT, flag TINYINT(1), d DECIMAL(60,2));"
        "INSERT INTO shop.flags VALUES (1, 1, 1.25), (2, 0, NULL)"
    )
    rest = "columns: [{name: flag, type: boolean}, {name: d, type: 'decimal(20,2)'}]"
    assert shop.rows("flags", "", rest) == [(1, True, Decimal("1.25")), (2, False, None)]


def test_an_incomplete_date_stops_the_load(shop: Shop) -> None:
    shop.mysql.execute(
        "CREATE OR REPLACE TABLE shop.bad (d DATE); INSERT INTO shop.bad VALUES ('2025-01-00')"
    )
    outcome = shop.load("bad")
    assert outcome.code == 1
    assert "t.asset.yml:4: Conversion Error: Date out of range: 2025-1-0" in outcome.text


class TestStrategies:
    def test_replace(self, shop: Shop) -> None:
        assert shop.rows("people", columns="id, e_mail") == [(1, "a"), (2, "b"), (3, None)]
        shop.mysql.execute("DELETE FROM shop.people WHERE Id = 2")
        assert shop.rows("people", columns="id") == [(1,), (3,)]

    def test_append_takes_what_is_later(self, shop: Shop) -> None:
        more = "incremental_strategy: append, incremental_key: updatedAt"
        shop.rows("people", more)
        shop.mysql.execute(
            "UPDATE shop.people SET eMail = 'unseen' WHERE Id = 1;"
            "INSERT INTO shop.people VALUES (4, 'd', '2025-01-03 00:00:00.000001')"
        )
        assert shop.rows("people", more, columns="id, e_mail") == [
            (1, "a"), (2, "b"), (3, None), (4, "d"),
        ]  # fmt: skip

    def test_append_by_a_text_compares_as_the_warehouse_does(self, shop: Shop) -> None:
        shop.mysql.execute(
            "CREATE OR REPLACE TABLE shop.codes (code VARCHAR(9)) COLLATE utf8mb4_general_ci;"
            "INSERT INTO shop.codes VALUES ('A'), ('B')"
        )
        more = "incremental_strategy: append, incremental_key: code"
        shop.rows("codes", more)
        shop.mysql.execute("INSERT INTO shop.codes VALUES ('a')")
        assert shop.rows("codes", more) == [("A",), ("B",), ("a",)]

    def test_merge_from_a_watermark(self, shop: Shop) -> None:
        more = f"incremental_strategy: merge, {KEYS}"
        shop.rows("people", more)
        shop.mysql.execute(
            "UPDATE shop.people SET eMail = 'unseen' WHERE Id = 1;"
            "UPDATE shop.people SET eMail = 'new', updatedAt = '2025-01-04' WHERE Id = 2;"
            "INSERT INTO shop.people VALUES (4, 'd', '2025-01-05')"
        )
        assert shop.rows("people", more, columns="id, e_mail") == [
            (1, "a"), (2, "new"), (3, None), (4, "d"),
        ]  # fmt: skip

    def test_a_window_is_replaced(self, shop: Shop) -> None:
        more = f"incremental_strategy: delete+insert, {KEYS}"
        shop.rows("people", more)
        shop.mysql.execute(
            "DELETE FROM shop.people; INSERT INTO shop.people VALUES "
            "(8, 'y', '2025-01-02 00:00:00'), (9, 'z', '2025-01-02 23:59:59.999999')"
        )
        day = ("--start-date", "2025-01-02", "--end-date", "2025-01-02")
        assert shop.load("people", more, "", *day).code == 0
        assert shop.tiny.query("SELECT id FROM raw.t ORDER BY 1") == [(1,), (3,), (8,), (9,)]


def test_tables_of_other_databases_and_queries(shop: Shop) -> None:
    shop.mysql.execute("CREATE OR REPLACE TABLE other.x AS SELECT 7 AS n")
    assert shop.rows("other.x") == [(7,)]
    query = "query:SELECT count(*) AS n FROM people WHERE Id > 1"
    assert shop.rows(query, "", "", "--full-refresh") == [(2,)]


def test_checks_keep_a_bad_load_back(shop: Shop) -> None:
    rest = "columns: [{name: e_mail, checks: [{name: not_null}]}]"
    outcome = shop.load("people", "", rest)
    assert outcome.code == 1
    assert "1 of 3 rows" in outcome.text
    tables = "SELECT count(*) FROM information_schema.tables WHERE table_name = 't'"
    assert shop.tiny.query(tables) == [(0,)]


def test_what_cannot_be_read_is_said(shop: Shop) -> None:
    outcome = shop.load("peple")
    assert "has no table 'shop.peple'; did you mean 'shop.people'?" in outcome.text
    shop.tiny.write(
        ".bruin.yml",
        (shop.tiny.folder / ".bruin.yml")
        .read_text()
        .replace("username: reader", "username: nobody"),
    )
    outcome = shop.load("people")
    assert "127.0.0.1:" in outcome.text
    assert "/shop cannot be read as MySQL: " in outcome.text
    assert "Traceback" not in outcome.text
