"""`ecommerce warehouse`, and the other commands, for a pipeline whose tables are in a DuckLake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from orchestration.helpers import LAKE_CONFIG, Tiny


@pytest.fixture
def lake(tiny: Tiny) -> Tiny:
    """A table that two runs made, of other rows each time."""
    tiny.write(".bruin.yml", LAKE_CONFIG)
    for rows in (1, 2):
        tiny.sql("mart.t", f"SELECT range AS n FROM range({rows})")
        assert tiny.ecommerce("run").succeeded
    return tiny


def test_a_table_goes_back_to_a_snapshot_and_old_ones_are_forgotten(lake: Tiny) -> None:
    def count() -> str:
        outcome = lake.ecommerce("query", "SELECT count(*) AS n FROM mart.t", "--output", "csv")
        assert outcome.succeeded, outcome.text
        return outcome.stdout

    assert count() == "n\n2\n"
    told = lake.ecommerce("warehouse", "snapshots", "--output", "json")
    later, first, _ = json.loads(told.stdout)
    assert (first["snapshot"], first["changed"], first["message"]) == (
        1,
        ["mart.t"],
        "build mart.t",
    )
    assert first["about"]["run_id"] != later["about"]["run_id"]
    shown = lake.ecommerce("warehouse", "snapshots", "--table", "mart.t", "--limit", "1").stdout
    assert "build mart.t" in shown
    assert later["about"]["run_id"][:8] in shown

    back = lake.ecommerce("warehouse", "rollback", "1", "--yes")
    assert (back.code, back.stdout) == (0, "mart.t: 1 row\n")
    assert count() == "n\n1\n"
    again = lake.ecommerce("warehouse", "rollback", "3", "--yes")
    assert (again.code, again.stdout) == (0, "nothing has changed since snapshot 3\n")
    unknown = lake.ecommerce("warehouse", "rollback", "9", "--yes")
    assert (unknown.code, unknown.stderr) == (
        1, "there is no snapshot 9; the kept ones are 0 to 3\n",
    )  # fmt: skip

    kept = lake.ecommerce("warehouse", "maintain")
    assert (kept.code, kept.stdout) == (
        0, "0 snapshots expired, 0 files merged, 0 files deleted\n",
    )  # fmt: skip


def test_who_does_not_say_yes_changes_nothing(lake: Tiny) -> None:
    asked = lake.ecommerce("warehouse", "rollback", "1")
    assert asked.code == 1
    assert "Restore all tables and views to snapshot 1?" in asked.stdout
    assert "roll back" not in lake.ecommerce("warehouse", "snapshots").stdout


def test_a_file_has_no_snapshots(tiny: Tiny) -> None:
    tiny.sql("mart.t", "SELECT 1 AS n")
    outcome = tiny.ecommerce("warehouse", "snapshots")
    assert outcome.code == 2
    assert ".bruin.yml:7: the connection 'duckdb-default' is not a DuckLake" in outcome.stderr


def test_a_connection_can_be_tried_before_there_is_a_lake_and_after(
    lake: Tiny, tmp_path: Path
) -> None:
    assert lake.ecommerce("connections", "test").stdout == "duckdb-default: works\n"
    new = Tiny(tmp_path / "new")
    new.write(".bruin.yml", LAKE_CONFIG)
    assert "does not exist yet" in new.ecommerce("connections", "test").stdout
    assert not (new.folder / "lake.db").exists()
    new.write("lake.db", "this is not a database")
    broken = new.ecommerce("connections", "test")
    assert broken.code == 1
    assert "cannot be opened: " in broken.stdout
