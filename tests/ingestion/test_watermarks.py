"""What a merge by watermark sees of changes that come late, in whatever way they are late."""

from __future__ import annotations

import pytest

from ingestion.helpers import World

MERGE = {"incremental_strategy": "merge", "incremental_key": "at", "primary_key": "id"}
# What the watermark alone takes: no keys are compared.
NO_OVERLAP = "meta: {overlap: 0, compare_keys: off}"


def overlap(length: str) -> str:
    return f"meta: {{overlap: {length}, compare_keys: off}}"


ALONE = overlap("10m")
KINDS = pytest.mark.parametrize("kind", ["timestamptz", "timestamp"])


def source(w: World, kind: str = "timestamptz") -> None:
    """The table t with a row for each of the last two hours, and an index on its time."""
    w.sql(
        f"CREATE TABLE t (id int PRIMARY KEY, at {kind} DEFAULT now(), v text)",
        "CREATE INDEX ON t (at)",
        "INSERT INTO t SELECT n, now() - n * interval '1 hour', 'old' FROM generate_series(1, 2) n",
    )


def is_equal(w: World) -> bool:
    """Whether the table holds what the source does."""
    return w.rows("FROM raw.t ORDER BY id") == w.sql("SELECT * FROM t ORDER BY id")


@pytest.fixture(autouse=True)
def _utc(w: World) -> None:
    w.sql("SET TimeZone = 'UTC'")


@KINDS
def test_a_row_that_is_committed_after_later_ones_is_taken(w: World, kind: str) -> None:
    source(w, kind)
    with w.session() as slow:
        slow.execute("SET TimeZone = 'UTC'")
        slow.execute("BEGIN")
        slow.execute("INSERT INTO t (id, v) VALUES (3, 'late')")
        slow.execute("UPDATE t SET v = 'late', at = now() WHERE id = 1")
        w.sql("INSERT INTO t (id, v) VALUES (4, 'quick')")
        w.load(MERGE)
        assert w.rows("SELECT id, v FROM raw.t ORDER BY id") == [
            (1, "old"), (2, "old"), (4, "quick"),
        ]  # fmt: skip
        slow.execute("COMMIT")
    assert w.load(MERGE).loaded.rows_written == 2
    assert is_equal(w)


@KINDS
def test_the_overlap_is_as_long_as_the_file_says(w: World, kind: str) -> None:
    source(w, kind)
    w.load(MERGE)
    w.sql("UPDATE t SET v = 'late', at = at + interval '40 minutes' WHERE id = 2")
    assert w.load(MERGE, ALONE).loaded.rows_written == 0
    assert w.load(MERGE, overlap("19m59s")).loaded.rows_written == 0
    assert w.load(MERGE, overlap("20m")).loaded.rows_written == 1
    assert is_equal(w)


def test_rows_that_are_read_again_and_are_equal_are_not_written_again(w: World) -> None:
    source(w)
    w.load(MERGE)
    assert w.load(MERGE, "meta: {overlap: 1000h}").loaded.rows_written == 0


@KINDS
def test_rows_with_the_time_of_the_watermark_itself_are_taken(w: World, kind: str) -> None:
    source(w, kind)
    w.load(MERGE, NO_OVERLAP)
    w.sql("INSERT INTO t SELECT 3, at, 'equal' FROM t WHERE id = 1")
    w.sql("INSERT INTO t SELECT 4, at - interval '1 us', 'before' FROM t WHERE id = 1")
    assert w.load(MERGE, NO_OVERLAP).loaded.rows_written == 1
    assert [v for (v,) in w.rows("SELECT v FROM raw.t ORDER BY id")] == ["old", "old", "equal"]
    w.load(MERGE)
    assert is_equal(w)


@KINDS
def test_a_time_that_is_yet_to_come_does_not_hide_the_rows_of_today(w: World, kind: str) -> None:
    source(w, kind)
    w.sql("INSERT INTO t VALUES (3, now() + interval '40 years', 'a clock that is wrong')")
    w.load(MERGE)
    w.sql("INSERT INTO t (id, v) VALUES (4, 'new')")
    w.sql("UPDATE t SET v = 'changed' WHERE id = 3")
    assert w.load(MERGE).loaded.rows_written == 2
    assert is_equal(w)


def test_writers_whose_clocks_differ_by_the_overlap_miss_nothing(w: World) -> None:
    source(w)
    w.sql("INSERT INTO t VALUES (3, now() + interval '9 minutes', 'a clock that is fast')")
    w.load(MERGE)
    for id in (4, 5):
        w.sql(f"INSERT INTO t (id, v) VALUES ({id}, 'a clock that is right')")
        assert w.load(MERGE).loaded.rows_written == 1
    assert is_equal(w)


def test_a_date_is_read_again_from_the_day_of_the_watermark_on(w: World) -> None:
    w.sql("CREATE TABLE t (id int PRIMARY KEY, at date)")
    w.sql("INSERT INTO t VALUES (1, '2024-01-01'), (2, '2024-01-02'), (3, '2999-01-01')")
    w.load(MERGE)
    w.sql("INSERT INTO t VALUES (4, '2024-01-01'), (5, '2024-01-02'), (6, '2024-01-03')")
    w.load(MERGE, ALONE)
    assert [id for (id,) in w.rows("SELECT id FROM raw.t ORDER BY id")] == [1, 2, 3, 5, 6]
    w.sql("INSERT INTO t VALUES (7, '2024-01-01')")
    w.load(MERGE, overlap("48h"))
    assert is_equal(w)


def test_an_index_on_the_key_still_serves(w: World) -> None:
    source(w)
    w.sql("INSERT INTO t SELECT n, now() - n * interval '1 h' FROM generate_series(3, 20000) n")
    w.sql("ANALYZE t")
    w.load(MERGE)
    w.sql("SELECT pg_stat_reset()")
    w.load(MERGE)
    assert w.uses_an_index()


def test_a_new_column_with_a_default_is_read_of_all_rows_once(w: World) -> None:
    source(w)
    w.load(MERGE)
    w.sql("ALTER TABLE t ADD COLUMN n int DEFAULT 7")
    built = w.load(MERGE)
    assert built.loaded.schema_changes == ("added column n INTEGER",)
    assert is_equal(w)
    w.sql("UPDATE t SET n = 8")
    assert w.load(MERGE).loaded.rows_written == 1  # the one in the overlap
