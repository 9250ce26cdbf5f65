"""`ecommerce diff`: what it finds, wherever the tables are, and that it changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestration.helpers import LAKE_CONFIG, Outcome, Tiny

from ecommerce_dagster.runtime.diff.compare import compare_by_key, compare_by_rows
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from ecommerce_dagster.sql.difference import Comparison, SharedColumn

OLD = """
    (1, 'a', 10.00, DATE '2025-01-01'), (2, 'b', 20.00, NULL), (3, 'c', 30.00, NULL),
    (4, NULL, 40.00, NULL), (5, 'e', 50.00, NULL)
"""
NEW = """
    (1, 'a', 10.00, DATE '2025-01-01'), (2, 'B', 20.00, NULL), (3, 'c', 30.01, DATE '2025-01-02'),
    (4, '', 40.00, NULL), (6, 'f', 60.00, NULL), (7, 'g', 70.00, NULL)
"""


def table(name: str, rows: str, columns: str = "id, name, amount, day") -> str:
    return f"CREATE TABLE {name} AS SELECT * FROM (VALUES {rows}) AS t({columns})"


@pytest.fixture
def pair(tiny: Tiny) -> Tiny:
    """s.old and s.new, of which the file of s.new says the key."""
    with duckdb.connect(str(tiny.warehouse)) as duck:
        duck.execute("CREATE SCHEMA s")
        duck.execute(table("s.old", OLD))
        duck.execute(table("s.new", NEW))
    header = "columns: [{name: id, primary_key: true}, {name: name}, {name: amount}, {name: day}]"
    tiny.sql("s.new", "SELECT 1 AS id, 'a' AS name, 1.0 AS amount, CURRENT_DATE AS day", header)
    return tiny


def diff(tiny: Tiny, *arguments: str) -> Outcome:
    return tiny.ecommerce("diff", *arguments)


def records(tiny: Tiny, *arguments: str) -> list[dict[str, Any]]:
    outcome = diff(tiny, *arguments, "--output", "json")
    assert outcome.succeeded, outcome.text
    found: list[dict[str, Any]] = json.loads(outcome.stdout)
    return found


class TestWhatIsFound:
    def test_rows_that_came_went_and_changed_by_the_key_of_the_file(self, pair: Tiny) -> None:
        before = hashlib.sha256(pair.warehouse.read_bytes()).digest()
        [found] = records(pair, "s.old", "s.new")
        assert (found["rows_before"], found["rows_after"], found["key"]) == (5, 6, ["id"])
        assert (found["added"], found["removed"], found["changed"]) == (2, 1, 3)
        assert (found["added_rows"], found["removed_rows"]) == ([{"id": 6}, {"id": 7}], [{"id": 5}])
        columns = {column["name"]: column for column in found["columns"]}
        assert {name: column["rows"] for name, column in columns.items()} == {
            "name": 2,
            "amount": 1,
            "day": 1,
        }
        assert columns["name"]["examples"] == [
            {"key": {"id": 2}, "before": "b", "after": "B"},
            {"key": {"id": 4}, "before": None, "after": ""},
        ]
        assert columns["amount"]["before"] == {"values": 5, "sum": 150.0}
        assert columns["amount"]["after"] == {"values": 6, "sum": 230.01}
        assert hashlib.sha256(pair.warehouse.read_bytes()).digest() == before

    def test_text_says_it_in_lines(self, pair: Tiny) -> None:
        outcome = diff(pair, "s.old", "s.new", "--limit", "1")
        assert outcome.stdout.splitlines() == [
            "s.new: 5 rows, then 6 by id: 2 added, 1 removed, 3 changed",
            "  name differs in 2 rows; not NULL 4 → 6",
            "    id 2: b → B",
            "  amount differs in 1 row; sum 150.00 → 230.01 (+53.34%); not NULL 5 → 6",
            "    id 3: 30.00 → 30.01",
            "  day differs in 1 row; not NULL 1 → 2",
            "    id 3: NULL → 2025-01-02",
            "  added    id 6",
            "  removed  id 5",
        ]
        assert outcome.stderr == ""

    def test_a_key_of_the_file_that_one_side_lacks_is_none(self, pair: Tiny) -> None:
        with duckdb.connect(str(pair.warehouse)) as duck:
            duck.execute("CREATE TABLE s.without AS SELECT name FROM s.new")
        [found] = records(pair, "s.without", "s.new")
        assert (found["key"], found["added"], found["note"]) == ([], 0, "")

    def test_tolerance_is_a_share_of_the_larger_number(self, pair: Tiny) -> None:
        [near] = records(pair, "s.old", "s.new", "-t", "0.04", "--exclude", "name,DAY")
        assert (near["changed"], near["columns"]) == (0, [])
        [far] = records(pair, "s.old", "s.new", "-t", "0.03", "--exclude", "name,day")
        assert far["changed"] == 1

    def test_columns_that_came_went_and_are_of_another_type(self, tiny: Tiny) -> None:
        with duckdb.connect(str(tiny.warehouse)) as duck:
            duck.execute("CREATE TABLE a AS SELECT 1 AS id, 5 AS n, '7' AS t, TRUE AS gone")
            duck.execute("CREATE TABLE b AS SELECT 1 AS ID, 5.0::DOUBLE AS n, 7 AS t, 'x' AS came")
        [found] = records(tiny, "a", "b", "--key", "id")
        assert found["new_columns"] == {"came": "VARCHAR"}
        assert found["lost_columns"] == {"gone": "BOOLEAN"}
        assert found["retyped"] == {"n": ["INTEGER", "DOUBLE"], "t": ["VARCHAR", "INTEGER"]}
        assert (found["changed"], found["equal"]) == (0, False)
        outcome = diff(tiny, "a", "b", "--key", "id")
        assert outcome.stdout.splitlines() == [
            "b: 1 row, all of them equal but for columns",
            "  new column came (VARCHAR)",
            "  lost column gone (BOOLEAN)",
            "  n was INTEGER and is DOUBLE",
            "  t was VARCHAR and is INTEGER",
        ]

    def test_without_a_key_whole_rows_are_compared_as_often_as_they_are_there(
        self, tiny: Tiny
    ) -> None:
        with duckdb.connect(str(tiny.warehouse)) as duck:
            duck.execute(table("a", "(1, 'x'), (1, 'x'), (2, 'y'), (NULL, NULL)", "n, t"))
            duck.execute(table("b", "(1, 'x'), (2, 'y'), (2, 'y'), (NULL, NULL)", "n, t"))
        [found] = records(tiny, "a", "b")
        assert (found["added"], found["removed"], found["changed"]) == (1, 1, 0)
        assert found["added_rows"] == [{"n": 2, "t": "y"}]
        [found] = records(tiny, "a", "b", "--key", "n")
        assert (found["added"], found["removed"], found["key"]) == (1, 1, [])
        assert found["note"] == "n is no key of these rows, so that whole rows are compared"

    def test_a_primary_key_of_the_database_counts(self, tiny: Tiny) -> None:
        with duckdb.connect(str(tiny.warehouse)) as duck:
            for name, value in (("a", 1), ("b", 2)):
                duck.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, n INTEGER)")
                duck.execute(f"INSERT INTO {name} VALUES (1, {value}), (2, 9)")
        [found] = records(tiny, "a", "b")
        assert (found["key"], found["changed"]) == (["id"], 1)

    def test_masked_values_and_rows_that_are_not_to_be_shown_stay_out(self, pair: Tiny) -> None:
        header = (
            "columns: [{name: id, primary_key: true}, {name: name, mask: hash}, {name: amount},"
            " {name: day}]"
        )
        query = "SELECT 1 AS id, 'a' AS name, 1.0 AS amount, CURRENT_DATE AS day"
        pair.sql("s.new", query, header)
        for output in ("text", "json", "markdown", "html"):
            told = diff(pair, "s.old", "s.new", "--output", output).stdout
            assert "30.01" in told
            assert "b → B" not in told
            assert '"before": "b"' not in told
        pair.sql("s.new", query, header.replace("mask: hash", "") + "\nmeta: {preview: 'false'}")
        assert "30.01" not in diff(pair, "s.old", "s.new").stdout.replace("230.01", "")
        pair.sql("s.new", query, header.replace("mask: hash", ""))
        pair.write("pipeline/pipeline.yml", "name: tiny\nmeta: {preview: 'false'}\n")
        assert "30.01" not in diff(pair, "s.old", "s.new").stdout.replace("230.01", "")


class TestWhereTheyAre:
    def test_a_table_of_postgresql_with_one_of_duckdb_every_value_exact(
        self, tiny: Tiny, database: PostgresServer
    ) -> None:
        with psycopg.connect(database.dsn, autocommit=True) as postgres:
            postgres.execute("DROP TABLE IF EXISTS things")
            postgres.execute("CREATE TABLE things (id int PRIMARY KEY, n numeric, j jsonb)")
            postgres.execute("INSERT INTO things VALUES (1, 0.1, '{}'), (2, 12345678901.5, NULL)")
        with duckdb.connect(str(tiny.warehouse)) as duck:
            duck.execute(
                "CREATE TABLE things AS SELECT * FROM (VALUES (1, 0.1, '{}'::JSON),"
                " (2, 12345678901.4, NULL)) AS t(id, n, j)"
            )
        entry = (
            f"      postgres:\n        - {{name: pg, host: {database.host}, port: {database.port},"
            f" username: {database.user}, password: '{database.password}',"
            f" database: {database.database}, ssl_mode: disable}}\n"
        )
        config = tiny.folder / ".bruin.yml"
        config.write_text(config.read_text() + entry)
        [found] = records(tiny, "pg:things", "things")
        assert (found["key"], found["changed"]) == (["id"], 1)
        [column] = found["columns"]
        assert column["examples"][0] == {
            "key": {"id": 2},
            "before": 12345678901.5,
            "after": 12345678901.4,
        }
        assert records(tiny, "pg:things", "pg:public.things")[0]["equal"]
        missing = diff(tiny, "pg:nothing", "things")
        assert (missing.code, missing.stdout) == (1, "")
        assert 'relation "public.nothing" does not exist' in missing.stderr
        assert database.password not in missing.stderr

    def test_two_environments_table_by_table(self, tiny: Tiny) -> None:
        config = tiny.folder / ".bruin.yml"
        config.write_text(
            config.read_text()
            + "  dev:\n    schema_prefix: dev_\n    connections:\n      duckdb:\n"
            "        - {name: duckdb-default, path: warehouse.duckdb}\n"
            "  other:\n    connections:\n      duckdb:\n"
            "        - {name: duckdb-default, path: other.duckdb}\n"
        )
        tiny.sql("mart.a", "SELECT range AS id, 1 AS n FROM range(5)")
        tiny.sql("mart.b", "SELECT 2 AS n")
        tiny.sql(
            "mart.c",
            "SELECT n FROM mart.b",
            "depends: [mart.b]\nmaterialization: {type: view}",
            table=False,
        )
        assert tiny.ecommerce("run").succeeded
        tiny.sql("mart.a", "SELECT range AS id, 3 AS n FROM range(4)")
        assert tiny.ecommerce("run", "mart.a", "mart.b", "--environment", "dev").succeeded
        arguments = ("--against", "default", "--environment", "dev")
        found = {record["name"]: record for record in records(tiny, *arguments)}
        assert (found["mart.a"]["added"], found["mart.a"]["removed"]) == (4, 5)
        assert found["mart.b"]["equal"]
        assert "there is no table 'dev_mart.c'" in found["mart.c"]["missing"]
        assert [r["name"] for r in records(tiny, *arguments, "mart.b")] == ["mart.b"]
        unknown = diff(tiny, *arguments, "mart.bb")
        assert (unknown.code, unknown.stdout) == (2, "")
        assert "there is no asset 'mart.bb'; did you mean 'mart.b'?" in unknown.stderr
        # In another file: a view there is copied, so that what it reads is found.
        assert tiny.ecommerce("run", "--environment", "other").succeeded
        there = {r["name"]: r for r in records(tiny, "--against", "default", "-e", "other")}
        assert (there["mart.a"]["equal"], there["mart.c"]["equal"]) == (False, True)
        text = diff(tiny, "--against", "default", "-e", "other").stdout
        assert text.splitlines()[-1] == "3 tables: 2 equal, 1 not"

    def test_a_table_of_a_ducklake_with_what_it_was(self, tiny: Tiny) -> None:
        (tiny.folder / ".bruin.yml").write_text(LAKE_CONFIG)
        tiny.sql("mart.a", "SELECT range AS id FROM range(3)")
        assert tiny.ecommerce("run").succeeded
        tiny.sql("mart.a", "SELECT range AS id FROM range(1, 3)")
        assert tiny.ecommerce("run").succeeded
        listed = tiny.ecommerce("warehouse", "snapshots", "--output", "json").stdout
        numbers = [s["snapshot"] for s in json.loads(listed) if "mart.a" in s["changed"]]
        [found] = records(tiny, f"mart.a@{numbers[-1]}", "--key", "id")
        assert (found["added"], found["removed"], found["removed_rows"]) == (0, 1, [{"id": 0}])
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        assert records(tiny, f"mart.a@{today}")[0]["equal"]
        assert records(tiny, f"mart.a@{numbers[0]}", "mart.a")[0]["equal"]
        for moment, said in (
            ("99", "there is no snapshot 99"),
            ("yesterday", "no snapshot is that old"),
            ("soon", "'soon' is neither the number of a snapshot nor a day"),
        ):
            refused = diff(tiny, f"mart.a@{moment}")
            assert refused.code == 1
            assert said in refused.stderr


class TestItsOutput:
    def test_the_exit_code_says_so_when_asked(self, pair: Tiny) -> None:
        assert diff(pair, "s.old", "s.new").code == 0
        assert diff(pair, "s.old", "s.new", "--fail-if-diff").code == 1
        same = diff(pair, "s.old", "s.old", "--fail-if-diff")
        assert (same.code, same.stdout) == (0, "s.old: equal: 5 rows\n")

    def test_markdown_and_html_cannot_be_broken_by_values(self, pair: Tiny) -> None:
        with duckdb.connect(str(pair.warehouse)) as duck:
            duck.execute("UPDATE s.new SET name = '<b>|`x`' WHERE id = 2")
        markdown = diff(pair, "s.old", "s.new", "-o", "markdown").stdout
        row = next(line for line in markdown.splitlines() if line.startswith("| name"))
        assert "b → \\<b\\>\\|\\`x\\`" in row
        assert row.replace("\\|", "").count("|") == 5
        page = diff(pair, "s.old", "s.new", "-o", "html").stdout
        assert "&lt;b&gt;|`x`" in page
        assert "<b>" not in page

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (("s.new",), 2, "name a table to compare s.new with, or add @yesterday"),
            (("a", "b", "c"), 2, "name two tables, or an environment with --against"),
            (("s.nw", "s.new"), 1, "s.nw: there is no table 's.nw'; did you mean 's.new'?"),
            (("s.old", "s.new", "--key", "ids"), 1, "s.old: there is no column 'ids'"),
            (("s.old", "s.new", "--exclude", "x"), 1, "s.old and s.new: there is no column 'x'"),
            (("s.new@3",), 1, "only a DuckLake keeps former rows; 'duckdb-default' is none"),
            (("nope:s.old", "s.new"), 2, "no connection 'nope' in the environment 'default'"),
            (("lite:t", "s.new"), 1, "'lite' is of type sqlite; expected duckdb or postgres"),
            (("--against", "nope"), 2, "there is no environment 'nope'"),
        ],
    )
    def test_what_it_refuses(
        self, pair: Tiny, arguments: tuple[str, ...], code: int, said: str
    ) -> None:
        config = pair.folder / ".bruin.yml"
        lite = "      sqlite:\n        - {name: lite, path: lite.db}\n"
        config.write_text(config.read_text() + lite)
        outcome = diff(pair, *arguments)
        assert (outcome.code, outcome.stdout) == (code, "")
        assert said in outcome.stderr
        assert "Traceback" not in outcome.stderr


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 6)),
        st.one_of(st.none(), st.integers(-2, 2)),
        st.one_of(st.none(), st.sampled_from(["", "a", "A"])),
    ),
    max_size=8,
)
COLUMNS = [
    SharedColumn(n, n, t, t) for n, t in (("k", "INTEGER"), ("n", "INTEGER"), ("t", "VARCHAR"))
]


@settings(max_examples=100)
@given(old=ROWS, new=ROWS)
def test_it_agrees_with_a_model_on_any_rows(
    old: list[tuple[Any, ...]], new: list[tuple[Any, ...]]
) -> None:
    with duckdb.connect() as duck:
        for name, rows in (("old", old), ("new", new)):
            duck.execute(f"CREATE TABLE {name} (k INTEGER, n INTEGER, t VARCHAR)")
            for row in rows:
                duck.execute(f"INSERT INTO {name} VALUES (?, ?, ?)", row)
        by_key = compare_by_key(duck, Comparison("old", "new", COLUMNS[:1], COLUMNS[1:]))
        by_rows = compare_by_rows(duck, Comparison("old", "new", [], COLUMNS), wanted_key=False)
    more, fewer = Counter(new) - Counter(old), Counter(old) - Counter(new)
    assert (by_rows["added"], by_rows["removed"]) == (more.total(), fewer.total())
    before, after = ({row[0]: row[1:] for row in rows} for rows in (old, new))
    matched = [(r, s) for r in old for s in new if r[0] == s[0]]
    several = max(Counter(r[0] for r in old).values(), default=1) > 1
    several |= max(Counter(s[0] for s in new).values(), default=1) > 1
    if by_key is None:
        assert several
        return
    # A key that is there twice on one side, and not on the other, is no ambiguity.
    assert len(matched) == len({r[0] for r in old} & {s[0] for s in new})
    assert by_key["added"] == sum(s[0] not in before for s in new)
    assert by_key["removed"] == sum(r[0] not in after for r in old)
    both = before.keys() & after.keys()
    assert by_key["changed"] == sum(before[k] != after[k] for k in both)
    counts = {column.name: column.rows for column in by_key["columns"]}
    for position, name in enumerate("nt"):
        differs = sum(before[k][position] != after[k][position] for k in both)
        assert counts.get(name, 0) == differs


def test_a_large_table_does_not_need_the_memory_of_its_rows(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "large.duckdb")) as duck:
        duck.execute(f"SET memory_limit = '80MB'; SET temp_directory = '{tmp_path}'")
        duck.execute(
            "CREATE TABLE a AS SELECT range AS k, range AS n, repeat('x', 40) || range AS t"
            " FROM range(1_000_000)"
        )
        duck.execute(
            "CREATE TABLE b AS SELECT k, n + (k % 100 = 7)::INT AS n,"
            " CASE WHEN k = 900001 THEN 'seldom' ELSE t END AS t FROM a"
        )
        columns = [SharedColumn("k", "k", "BIGINT", "BIGINT"), *COLUMNS[1:]]
        found = compare_by_key(duck, Comparison("a", "b", columns[:1], columns[1:]))
    assert found is not None
    assert (found["changed"], found["added"], found["removed"]) == (10_001, 0, 0)
    often, seldom = found["columns"]
    assert [change.key for change in often.examples] == [(7,), (107,), (207,)]
    assert [(c.key, c.after) for c in seldom.examples] == [((900001,), "seldom")]
