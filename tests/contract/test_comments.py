"""Descriptions are comments of tables and columns in every warehouse, written when they change."""

from __future__ import annotations

import json

import pytest

from contract.helpers import VIEW, DuckLake, Postgres, Row, Warehouse, only, values
from ecommerce_dagster.warehouses.base import nothing

REBUILT = "materialization: {type: table, strategy: create+replace}"
MERGED = "materialization: {type: table, strategy: merge}"
STORED = {
    "rebuilt": REBUILT,
    "merged": MERGED,
    "appended": "materialization: {type: table, strategy: append}",
    "truncated": "materialization: {type: table, strategy: truncate+insert}",
    "history": "materialization: {type: table, strategy: scd2_by_column}",
    "declared": "materialization: {type: table, strategy: ddl}",
    "view": VIEW,
}
ROWS = values("id, v", "1, 'a'")


def header(stored: str, table: str = "", **columns: str) -> str:
    """A file that describes its table and some of its columns."""
    described = [
        {"name": name, "type": kind, "primary_key": name == "id", "description": text}
        for name, kind, text in (
            ("id", "integer", columns.pop("id", "")),
            *((name, "varchar", text) for name, text in columns.items()),
        )
    ]
    return f"{stored}\ndescription: {json.dumps(table)}\ncolumns: {json.dumps(described)}"


@pytest.mark.parametrize("stored", STORED.values(), ids=STORED)
def test_follow_the_file_whatever_becomes_of_the_table(w: Warehouse, stored: str) -> None:
    query = "" if "ddl" in stored else ROWS
    is_bare = stored == VIEW and isinstance(w, DuckLake)  # Its views have columns without any.
    for text in ("first", "first", "it's \"second\";\n\\n 'ü' ✓ %s {x} --", "x" * 10_000):
        built = w.run(header(stored, f"{text}, table\n", id=text, v="  "), query)
        assert (built.published, built.loaded.warnings) == (True, ())
        assert w.comments() == {"": f"{text}, table"} | ({} if is_bare else {"id": text})
    # What a file says no more stays.
    w.run(header(stored, "", v="new"), query)
    kept = {"": f"{text}, table"} | ({} if is_bare else {"id": text, "v": "new"})
    assert w.comments() == kept


@pytest.mark.parametrize("stored", [REBUILT, MERGED, VIEW], ids=["rebuilt", "merged", "view"])
def test_of_others_stay_where_the_file_says_nothing(w: Warehouse, stored: str) -> None:
    w.run(header(stored), ROWS)
    kind = "VIEW" if stored == VIEW else "TABLE"
    w.sql(f"COMMENT ON {kind} mart.t IS 'theirs'")
    expected = {"": "theirs"}
    if not (kind == "VIEW" and isinstance(w, DuckLake)):
        w.sql("COMMENT ON COLUMN mart.t.v IS 'their column'")
        expected |= {"v": "their column", "id": "ours"}
    for _ in range(2):
        w.run(header(stored, id="ours"), ROWS)
        assert w.comments() == expected
    # A column that is gone takes its comment with it, one that comes has that of the file.
    if stored == REBUILT:
        w.run(header(stored, "ours", n="new"), 'SELECT 1 AS id, 2 AS "N"')
        assert {name.lower(): text for name, text in w.comments().items()} == {
            "": "ours", "id": "ours", "n": "new",
        }  # fmt: skip


def versions(w: Warehouse) -> list[Row]:
    """What changes with each comment that is written on mart.t, be it the same."""
    if isinstance(w, Postgres):
        return w.sql(
            "SELECT xmin::text, objsubid FROM pg_description WHERE objoid = 'mart.t'::regclass"
        )
    return w.sql("SELECT wal_size FROM pragma_database_size() WHERE database_name = 'shop'")


@only("duckdb", "postgres")
def test_that_are_there_are_not_written_again(w: Warehouse) -> None:
    same = header(MERGED, "table", id="key", v="value")
    w.run(same, ROWS)
    before = versions(w)
    w.run(same, ROWS)
    assert versions(w) == before
    w.run(header(MERGED, "table", id="key", v="other"), ROWS)
    assert versions(w) != before


def test_are_public_with_the_rows_and_not_before(w: Warehouse) -> None:
    checked = header(MERGED, "first").replace(
        '"name": "id"', '"name": "id", "checks": [{"name": "positive"}]'
    )
    assert w.run(checked, ROWS).published
    bad = checked.replace("first", "second")
    assert not w.run(bad, values("id, v", "-1, 'a'")).published
    assert w.comments() == {"": "first"}
    assert w.run(f"{bad}\nmeta: {{publish: always}}", values("id, v", "-1, 'a'")).published
    assert w.comments() == {"": "second"}


def test_a_table_that_another_program_makes_is_left_alone(w: Warehouse) -> None:
    w.sql("CREATE SCHEMA mart", "CREATE TABLE mart.t (id integer)")
    asset = w.asset(header(MERGED, "ours", id="ours"))
    assert w.publish(asset, nothing).published
    assert w.comments() == {}


def test_a_script_describes_the_table_that_it_makes(w: Warehouse) -> None:
    script = "DROP TABLE IF EXISTS mart.t; CREATE TABLE mart.t (id integer)"
    w.sql("CREATE SCHEMA mart")
    w.run(header("materialization: {type: none}", "made", id="key"), script)
    assert w.comments() == {"": "made", "id": "key"}
    w.run(header("materialization: {type: none}", "of nothing"), "DROP TABLE mart.t")
    assert w.kind() is None


@only("postgres")
def test_who_does_not_own_a_table_publishes_its_rows_and_is_told(w: Postgres) -> None:
    appended = STORED["appended"]
    w.run(header(appended), ROWS)
    w.sql(
        "DROP ROLE IF EXISTS writer", "CREATE ROLE writer LOGIN PASSWORD 'secret'",
        "GRANT USAGE ON SCHEMA mart TO writer", "GRANT SELECT, INSERT ON mart.t TO writer",
        f"GRANT TEMPORARY ON DATABASE {w.server.database} TO writer",
    )  # fmt: skip
    try:
        writer = w.away(user="writer", password="secret")
        built = w.run(header(appended, "ours", v="ours"), ROWS, connection=writer)
        assert built.published
        assert built.loaded.warnings == (
            "the descriptions of mart.t are not written as its comments: must be owner of table t",
        )
        assert (w.rows(), w.comments()) == ([(1, "a"), (1, "a")], {})
    finally:
        w.sql("DROP OWNED BY writer", "DROP ROLE writer")


@only("postgres")
def test_a_table_that_is_vacuumed_is_not_waited_for(w: Postgres) -> None:
    appended = STORED["appended"]
    w.run(header(appended), ROWS)
    with w.another_session() as other, other.transaction():
        # The lock of a VACUUM, which lets rows be written.
        other.execute("LOCK TABLE mart.t IN SHARE UPDATE EXCLUSIVE MODE")
        built = w.run(header(appended, "ours"), ROWS)
    assert len(w.rows()) == 2
    assert "lock timeout" in built.loaded.warnings[0]
    w.run(header(appended, "ours"), ROWS)
    assert w.comments() == {"": "ours"}
