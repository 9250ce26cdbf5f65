"""Whatever names and values hold, they arrive as they are and stay inside of their SQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from orchestration.helpers import Tiny

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from trust.helpers import connect, database, ingest

BREAK_OUT = """x"; DROP TABLE main.victim; --"""
QUOTES = """x'); DROP TABLE main.victim; --"""
EXTREMES = """
CREATE TABLE extremes (
    id int, "select" float8, "Order By" date, "a.b""c" timestamptz, "näme 🛒" text, "from" numeric(38, 10)
);
INSERT INTO extremes VALUES
    (1, 'NaN', 'infinity', 'infinity', '', 9999999999999999999999999999.9999999999),
    (2, 'infinity', '-infinity', '-infinity', repeat('🛒é', 200000), 0.0000000001),
    (3, '-infinity', '4713-01-01 BC', '4713-01-02 00:00:00Z BC', E'a\\nb\\t\\\\''"', -0.1),
    (4, 1e308, '5000000-12-31', '294246-12-31 23:59:59Z', ' ', NULL),
    (5, 5e-324, NULL, NULL, NULL, 0);
CREATE TABLE wide AS SELECT 1 AS id
"""
NAMES = ('"select"', '"Order By"', '"a.b""c"', '"from"')
EXPECTED = [
    ("nan", "infinity", "infinity", "9999999999999999999999999999.9999999999"),
    ("inf", "-infinity", "-infinity", "0.0000000001"),
    ("-inf", "4713-01-01 (BC)", "4713-01-02 (BC) 00:00:00+00", "-0.1000000000"),
    ("1e+308", "5000000-12-31", "294246-12-31 23:59:59+00", None),
    ("5e-324", None, None, "0.0000000000"),
]
ODD_SCHEMA = "s'; DROP TABLE t; --"


@pytest.fixture
def source(tiny: Tiny, server: PostgresServer) -> Iterator[Any]:
    with database(server, "bad_input") as (place, session):
        connect(tiny, place)
        yield session


def test_the_extremes_of_postgres_arrive_in_the_tables_below(tiny: Tiny, source: Any) -> None:
    source.execute(EXTREMES)
    source.execute("; ".join(f'ALTER TABLE wide ADD "c {n}" int DEFAULT {n}' for n in range(999)))
    for table in "extremes", "wide":
        ingest(tiny, table)
        tiny.sql(f"main.below_{table}", f"FROM main.{table}", f"depends: [main.{table}]")

    outcome = tiny.ecommerce("run")

    assert outcome.succeeded, outcome.text
    texts = ", ".join(f"CAST({name} AS VARCHAR)" for name in NAMES)
    assert tiny.query(f"SELECT {texts} FROM main.below_extremes ORDER BY id") == EXPECTED
    words = 'SELECT "näme 🛒" FROM {} ORDER BY id'
    arrived = tiny.query(words.format("main.below_extremes"))
    assert arrived == source.execute(words.format("extremes")).fetchall()
    [row] = tiny.query("FROM main.below_wide")
    assert row == (1, *range(999))


class TestNothingBreaksOutOfItsSql:
    @pytest.fixture(autouse=True)
    def victim(self, tiny: Tiny) -> None:
        tiny.sql("main.victim", "SELECT 1 AS n")
        assert tiny.ecommerce("run", "main.victim").succeeded

    def test_names_and_values_of_a_source(self, tiny: Tiny, source: Any) -> None:
        name = BREAK_OUT.replace('"', '""')
        source.execute(f'CREATE TABLE t (id int, "{name}" text)'.encode())
        source.execute("INSERT INTO t VALUES (1, %s)", [QUOTES])
        source.execute(f'CREATE SCHEMA "{ODD_SCHEMA}"; CREATE TABLE "{ODD_SCHEMA}".v (id int)')
        ingest(tiny, "t", incremental_strategy="merge", primary_key="id", incremental_key="id")
        ingest(tiny, "v", source_table=json.dumps(f"{ODD_SCHEMA}.v"))

        for _ in range(2):
            outcome = tiny.ecommerce("run")
            assert outcome.succeeded, outcome.text

        assert tiny.query("FROM main.t") == [(1, QUOTES)]
        assert [name for name, *_ in tiny.query("DESCRIBE main.t")] == ["id", BREAK_OUT]
        assert source.execute("SELECT count(*) FROM t").fetchone() == (1,)
        assert tiny.query("FROM main.victim") == [(1,)]

    def test_names_and_values_of_a_file(self, tiny: Tiny) -> None:
        quoted = BREAK_OUT.replace('"', '""')
        tiny.sql(
            "main.t",
            f"SELECT 1 AS \"{quoted}\", 'y' AS v",
            f"""
description: |
  {QUOTES} {BREAK_OUT} */ $$; DROP TABLE main.victim; $$
columns:
  - name: '{BREAK_OUT}'
    type: integer
    description: "{QUOTES}"
    checks:
      - {{name: not_null}}
      - {{name: unique}}
      - {{name: accepted_values, value: [1]}}
  - name: v
    type: varchar
    checks:
      - {{name: accepted_values, value: ["{QUOTES}"]}}
      - {{name: pattern, value: "{QUOTES}("}}
""",
        )

        outcome = tiny.ecommerce("run")

        assert outcome.code == 1
        assert "Traceback" not in outcome.text
        assert "FAIL  main.t" in outcome.text
        assert tiny.query("FROM main.victim") == [(1,)]
