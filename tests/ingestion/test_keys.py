"""After a load the table has the keys of its source, however they changed and whenever the changes
were committed: in each warehouse, without anybody asking for it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ingestion.helpers import QUERY, TABLE, TWO_PLACES, World, days

MERGE = {"incremental_strategy": "merge", "incremental_key": "at", "primary_key": "id"}
WHOLE = {"incremental_strategy": "merge", "primary_key": "id"}
APPEND = {"incremental_strategy": "append", "incremental_key": "id"}
EVENTS = {"incremental_strategy": "append", "incremental_key": "at", "primary_key": "id"}
BY_KEYS = pytest.mark.parametrize("parameters", [MERGE, WHOLE], ids=["by time", "whole"])
ALL = "SELECT * FROM raw.t ORDER BY 1, 2, 3"


def source(p: World, rest: str = "id int PRIMARY KEY") -> None:
    """Five rows, of five days."""
    p.sql(f"CREATE TABLE t ({rest}, at timestamptz DEFAULT now(), v text)", "SET TimeZone = 'UTC'")
    p.sql(
        "INSERT INTO t SELECT n, '2024-01-01Z'::timestamptz + n * interval '1 day', 'v' || n"
        " FROM generate_series(1, 5) n"
    )


def is_equal(p: World) -> bool:
    return p.rows(ALL) == p.sql("SELECT * FROM t ORDER BY 1, 2, 3")


def counts(p: World, parameters: dict[str, Any], rest: str = "", **how: Any) -> tuple[Any, Any]:
    """How many rows one load missed before, and how many it found gone. It warns of nothing."""
    loaded = p.load(parameters, rest, **how).loaded
    assert loaded.warnings == ()
    return loaded.rows_missed, loaded.rows_deleted


CHANGES = {
    "nothing": ([], 0),
    "deletes": (["DELETE FROM t WHERE id IN (2, 4)"], 2),
    "a primary key that is updated": (["UPDATE t SET id = 9 WHERE id = 2"], 1),
    "keys that are swapped": (["UPDATE t SET id = -id", "UPDATE t SET id = id + 6"], 0),
    "truncate": (["TRUNCATE t"], 5),
    "truncate and reload with the same number": (
        [
            "TRUNCATE t",
            "INSERT INTO t SELECT n, '2024-01-01Z'::timestamptz + n * interval '1 h', 'w' FROM"
            " generate_series(3, 7) n",
        ],
        2,
    ),
    "another table of the same name": (
        [
            "CREATE TABLE new AS SELECT id + 1 AS id, at, v FROM t",
            "DROP TABLE t",
            "ALTER TABLE new RENAME TO t",
        ],
        1,
    ),
    "an old row for an old row": (
        ["DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (8, '2020-01-01Z', 'old')"],
        1,
    ),
}


@TWO_PLACES
@BY_KEYS
@pytest.mark.parametrize("change", CHANGES)
def test_a_merged_table_is_its_source_after_any_change(
    p: World, parameters: dict[str, str], change: str
) -> None:
    after_a_change(p, parameters, change)


@pytest.mark.parametrize("p", ["_in_a_lake"], indirect=True)
@BY_KEYS
def test_so_it_is_in_a_lake(p: World, parameters: dict[str, str]) -> None:
    """After rows that are gone, that are new and that are others, all in one load."""
    after_a_change(p, parameters, "truncate and reload with the same number")


def after_a_change(p: World, parameters: dict[str, str], change: str) -> None:
    source(p)
    p.load(parameters)
    statements, gone = CHANGES[change]
    p.sql(*statements) if statements else None
    assert counts(p, parameters)[1] == gone
    assert is_equal(p)
    assert counts(p, parameters) == (None, 0)


@pytest.mark.parametrize("way", [TABLE, QUERY], ids=["table", "query"])
def test_what_is_committed_later_than_any_overlap_is_merged(p: World, way: str) -> None:
    source(p)
    parameters = {**MERGE, "source_table": way}
    with p.session() as slow:
        slow.execute("BEGIN")
        slow.execute("INSERT INTO t VALUES (6, '2020-01-01Z', 'late')")
        slow.execute("SAVEPOINT s")
        slow.execute("UPDATE t SET v = 'late', at = '2020-01-02Z' WHERE id = 2")
        slow.execute("RELEASE s")
        p.load(parameters)
        slow.execute("COMMIT")
    assert counts(p, parameters) == (2, 0)
    assert is_equal(p)


@pytest.mark.parametrize("parameters", [APPEND, {**APPEND, "primary_key": "id"}], ids=["", "key"])
def test_what_is_committed_after_later_rows_is_appended_once(
    p: World, parameters: dict[str, str]
) -> None:
    source(p)
    p.load(parameters)
    with p.session() as first, p.session() as second:
        first.execute("BEGIN")
        first.execute("INSERT INTO t VALUES (6, '2024-02-01Z', 'first')")
        second.execute("BEGIN")
        second.execute("INSERT INTO t VALUES (7, '2024-02-01Z', 'rolled back')")
        second.execute("SAVEPOINT s")
        second.execute("INSERT INTO t VALUES (8, '2024-02-01Z', 'below a savepoint')")
        second.execute("RELEASE s")
        p.sql("INSERT INTO t VALUES (9, '2024-02-01Z', 'last')")
        assert p.load(parameters).loaded.rows_written == 1
        first.execute("COMMIT")
        second.execute("DELETE FROM t WHERE id = 7")
        assert counts(p, parameters) == (1, None)
        second.execute("COMMIT")
    assert counts(p, parameters) == (1, None)
    assert counts(p, parameters) == (None, None)
    assert is_equal(p)


@pytest.mark.parametrize("parameters", [MERGE, APPEND], ids=["merge", "append"])
def test_a_prepared_transaction_comes_when_it_is_committed(
    p: World, parameters: dict[str, str]
) -> None:
    source(p)
    with p.session() as other:
        other.execute("BEGIN")
        other.execute("INSERT INTO t VALUES (0, '2020-01-01Z', 'prepared')")
        other.execute("PREPARE TRANSACTION 'slow'")
    p.load(parameters)
    assert len(p.rows()) == 5
    p.sql("COMMIT PREPARED 'slow'")
    assert counts(p, parameters)[0] == 1
    assert is_equal(p)


def test_rows_that_were_appended_stay_and_do_not_come_again(p: World) -> None:
    source(p)
    p.load(APPEND)
    p.sql("DELETE FROM t WHERE id = 1", "UPDATE t SET v = 'changed' WHERE id = 2")
    p.sql("INSERT INTO t VALUES (0, '2024-01-01Z', 'late')")
    for missed in (1, None):
        assert counts(p, APPEND) == (missed, None)
        assert [row[2] for row in p.rows(ALL)] == ["late", "v1", "v2", "v3", "v4", "v5"]


def test_a_row_with_a_new_time_is_appended_whether_that_is_later_or_not(p: World) -> None:
    source(p)
    p.load(EVENTS)
    p.sql("UPDATE t SET v = 'changed' WHERE id = 1")
    p.sql("UPDATE t SET at = '2024-03-01Z', v = 'later' WHERE id = 2")
    p.sql("UPDATE t SET at = '2020-03-01Z', v = 'earlier' WHERE id = 3")
    assert counts(p, EVENTS) == (1, None)
    assert counts(p, EVENTS) == (None, None)
    versions = [(row[0], row[2]) for row in p.rows("SELECT * FROM raw.t ORDER BY 1, 3")]
    assert versions == [
        (1, "v1"), (2, "later"), (2, "v2"), (3, "earlier"), (3, "v3"), (4, "v4"), (5, "v5"),
    ]  # fmt: skip


class TestRowsThatShareAKey:
    BY_DAY = {"incremental_strategy": "append", "incremental_key": "day"}

    @pytest.fixture(autouse=True)
    def _source(self, p: World) -> None:
        p.sql("CREATE TABLE t (day date, v text, more jsonb)")
        p.sql("INSERT INTO t VALUES ('2024-01-01', 'a', '[1]'), ('2024-01-01', 'a', '[1]')")
        p.load(self.BY_DAY)

    def rows(self, p: World) -> list[Any]:
        return [row[0] for row in p.rows("SELECT v FROM raw.t ORDER BY v")]

    def test_those_that_came_are_told_by_the_whole_row(self, p: World) -> None:
        p.sql("INSERT INTO t VALUES ('2024-01-01', 'b', NULL), ('2024-01-01', 'a', '[1]')")
        assert counts(p, self.BY_DAY) == (2, None)
        assert self.rows(p) == ["a", "a", "a", "b"]

    def test_one_that_cannot_be_told_from_a_changed_one_is_said(self, p: World) -> None:
        p.sql("UPDATE t SET v = 'changed' WHERE ctid = (SELECT min(ctid) FROM t)")
        assert counts(p, self.BY_DAY) == (None, None)
        p.sql("INSERT INTO t VALUES ('2024-01-01', 'new', NULL), ('2023-01-01', 'old', NULL)")
        loaded = p.load(self.BY_DAY).loaded
        assert (loaded.rows_missed, loaded.warnings) == (1, (
            "1 row of the source may be new and not in raw.t: others have the same incremental_key"
            " and were changed; name a `primary_key`, or use 'merge'",
        ))  # fmt: skip
        assert self.rows(p) == ["a", "a", "old"]


KINDS = {
    "text": ["a", "A", "a ", "é", "e\u0301", "", "\\", "' \"", "1", "1.0"],
    "char(3)": ["a", "A", "b "],
    "uuid": [str(uuid.UUID(int=n << 64)) for n in range(3)],
    "numeric": ["1", "1.10", "-0.000001", "100000"],
    "numeric(9,2)": ["1", "1.10", "0", "-7.5"],
    "float8": ["0", "1", "NaN", "Infinity", "1e300", "-1e-300"],
    "real": ["0", "0.1", "NaN"],
    "boolean": ["true", "false"],
    "date": ["2024-01-01", "infinity", "0044-03-15 BC"],
    "timestamp": ["2024-01-01 10:00:00.5", "infinity"],
    "bytea": ["\\x00", "\\x", "\\xff"],
    "jsonb": ['{"a": 1}', "[]"],
}


@TWO_PLACES
@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_any_kind_are_no_difference_and_their_loss_is_one(p: World, kind: str) -> None:
    p.sql(f"CREATE TABLE t (id {kind} PRIMARY KEY, at timestamptz DEFAULT now(), v text)")
    for value in KINDS[kind]:
        p.postgres.execute("INSERT INTO t (id, v) VALUES (%s, 'v')", [value])
    p.load(MERGE)
    assert counts(p, MERGE) == (None, 0)
    p.postgres.execute(f"DELETE FROM t WHERE id = %s::{kind}".encode(), [KINDS[kind][0]])
    p.postgres.execute("UPDATE t SET at = '2020-01-01' WHERE id = %s", [KINDS[kind][1]])
    assert counts(p, MERGE) == (1, 1)
    assert counts(p, MERGE) == (None, 0)
    assert len(p.rows("SELECT v FROM raw.t")) == len(KINDS[kind]) - 1


ODD = {
    "a key twice": "SELECT n % 3 AS id, '2024-01-01Z'::timestamptz + n * interval '1 d' AS at, n FROM",
    "a key that is NULL": "SELECT nullif(n, 3) AS id, '2024-01-01Z'::timestamptz AS at, n FROM",
    "a time that is NULL": "SELECT n AS id, nullif('2024-01-01Z'::timestamptz, '2024-01-01Z') AS at, n FROM",
    "times that end never": "SELECT n AS id, 'infinity'::timestamptz AS at, n FROM",
    "zeros with a sign": "SELECT CASE n WHEN 1 THEN '-0'::float8 ELSE n END AS id, now() AS at, n FROM",
}


@TWO_PLACES
@pytest.mark.parametrize("odd", ODD)
def test_odd_keys_are_read_again_in_no_run(p: World, odd: str) -> None:
    p.sql(f"CREATE VIEW t AS {ODD[odd]} generate_series(1, 5) n")
    p.load(MERGE)
    before = p.rows("SELECT id, n FROM raw.t ORDER BY 1, 2")
    for _ in range(2):
        missed, gone = counts(p, MERGE)
        assert (missed, gone) == (None, 0)
        assert p.rows("SELECT id, n FROM raw.t ORDER BY 1, 2") == before


def test_declared_types_and_masks_of_keys_are_no_difference(p: World) -> None:
    source(p)
    rest = (
        "columns: [{name: id, type: varchar, primary_key: true, mask: sha256},"
        " {name: at, type: date}]"
    )
    p.load(MERGE, rest)
    assert counts(p, MERGE, rest) == (None, 0)
    p.sql("DELETE FROM t WHERE id = 3", "UPDATE t SET at = '2020-05-05Z' WHERE id = 2")
    assert counts(p, MERGE, rest) == (1, 1)
    assert counts(p, MERGE, rest) == (None, 0)


@pytest.mark.parametrize("name", ["ID", "Id"])
def test_the_case_of_a_key_is_no_difference(p: World, name: str) -> None:
    source(p, f'"{name}" int PRIMARY KEY')
    p.load(MERGE)
    p.sql(f'DELETE FROM t WHERE "{name}" = 3')
    assert counts(p, MERGE) == (None, 1)
    assert is_equal(p)


def test_a_table_that_keeps_its_history_gets_what_was_missed_and_keeps_what_is_gone(
    p: World,
) -> None:
    source(p)
    p.load(MERGE, "refresh_restricted: true")
    p.sql("DELETE FROM t WHERE id = 3", "INSERT INTO t VALUES (0, '2020-01-01Z', 'late')")
    assert counts(p, MERGE, "refresh_restricted: true") == (1, None)
    assert counts(p, MERGE, "refresh_restricted: true") == (None, None)
    assert [row[0] for row in p.rows()] == [0, 1, 2, 3, 4, 5]


def test_what_is_before_the_start_of_the_asset_is_neither_missed_nor_gone(p: World) -> None:
    source(p)
    start = "start_date: '2024-01-04'"
    for parameters, deleted in ((MERGE, 0), (EVENTS, None)):
        p.load(parameters, start, full_refresh=True)
        assert [row[0] for row in p.rows()] == [3, 4, 5]
        assert counts(p, parameters, start) == (None, deleted)
        p.load(parameters, full_refresh=True)
        assert counts(p, parameters, start) == (None, deleted)
        assert [row[0] for row in p.rows()] == [1, 2, 3, 4, 5]
    p.load(MERGE, full_refresh=True)
    p.sql("DELETE FROM t WHERE id IN (1, 4)")
    assert counts(p, MERGE, start) == (None, 1)
    assert [row[0] for row in p.rows()] == [1, 2, 3, 5]
    assert counts(p, MERGE, start, reconcile=True) == (None, 2)
    assert [row[0] for row in p.rows()] == [3, 5]


@TWO_PLACES
@pytest.mark.parametrize("strategy", ["merge", "append"])
@pytest.mark.parametrize(
    ("parameters", "rest"),
    [
        ({"sql_limit": 3}, ""),
        ({}, "meta: {compare_keys: off}"),
        ({"source_table": "query:SELECT * FROM t WHERE at < :interval_end"}, ""),
        ({"source_table": "query:SELECT * FROM t WHERE at < now() - interval '1 s'"}, ""),
        ({"source_table": "query:SELECT * FROM t ORDER BY id DESC LIMIT 5"}, ""),
    ],
    ids=["a limit", "switched off", "of an interval", "by the clock", "of the query"],
)
def test_what_takes_a_part_by_itself_is_not_compared(
    p: World, parameters: dict[str, Any], rest: str, strategy: str
) -> None:
    source(p)
    parameters = {**MERGE, "incremental_strategy": strategy, **parameters}
    interval = days("2024-01-02", 2) if "interval" in parameters.get("source_table", "") else None
    p.load(parameters, rest, interval=interval)
    rows = p.rows()
    p.sql("INSERT INTO t VALUES (0, '2020-01-01Z', 'late')", "DELETE FROM t WHERE id = 1")
    assert counts(p, parameters, rest, interval=interval) == (None, None)
    assert p.rows() == rows or "sql_limit" in parameters


def test_a_column_that_comes_with_late_rows_comes_with_them(p: World) -> None:
    source(p)
    p.load(APPEND)
    p.sql("ALTER TABLE t ADD COLUMN extra int", "INSERT INTO t VALUES (0, now(), 'late', 7)")
    assert counts(p, APPEND) == (1, None)
    assert p.rows("SELECT id, extra FROM raw.t WHERE id < 2 ORDER BY id") == [(0, 7), (1, None)]
