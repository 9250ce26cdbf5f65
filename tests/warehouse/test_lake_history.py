"""Going back to a snapshot of a DuckLake, and its upkeep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from ecommerce_dagster.bruin.model.lakehouse import Lakehouse
from ecommerce_dagster.warehouses.duckdb.database import WarehouseError
from ecommerce_dagster.warehouses.ducklake.attach import LAKE, open_lake
from ecommerce_dagster.warehouses.ducklake.maintenance import Upkeep, maintain
from ecommerce_dagster.warehouses.ducklake.snapshots import roll_back, snapshots_of
from warehouse.helpers import TABLE, VIEW, day
from warehouse.lakes import build, lake_in, rows

BY_TIME = """
materialization:
  {type: table, strategy: time_interval, incremental_key: ts, time_granularity: timestamp}
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lakehouse:
    """Snapshots: 1 makes mart.t, 2 mart.same, 3 another mart.t, 4 a view."""
    lake = lake_in(tmp_path)
    with open_lake(lake) as session:
        for header, query in (
            (TABLE, "SELECT 1 AS n UNION ALL SELECT 2"),
            (f"name: mart.same\n{TABLE}", "SELECT 1 AS n"),
            (TABLE, "SELECT 3 AS n, 'x' AS more"),
            (f"name: mart.v\n{VIEW}", "SELECT more FROM mart.t"),
        ):
            build(lake, header, query, session=session)
    return lake


def changed(lake: Lakehouse) -> list[tuple[str, Sequence[str]]]:
    with open_lake(lake, read_only=True) as connection:
        return [(s.message, s.changed) for s in snapshots_of(connection, lake)]


def test_snapshots_say_what_changed_and_why(lake: Lakehouse) -> None:
    build(
        lake,
        BY_TIME.replace("mat", "name: mart.d\nmat", 1),
        "SELECT TIMESTAMP '2024-01-01' AS ts",
        day("2024-01-01"),
    )
    assert changed(lake) == [
        ("build mart.d", ("mart.d",)),
        ("build mart.v", ("mart.v",)),
        ("build mart.t", ("mart.t",)),
        ("build mart.same", ("mart.same",)),
        ("build mart.t", ("mart.t",)),
        ("", ()),
    ]


def test_everything_goes_back_that_has_changed_since(lake: Lakehouse) -> None:
    assert roll_back(lake, 2, []) == [
        "mart.t: 2 rows",
        "mart.v: dropped, it did not exist then",
    ]
    assert rows(lake, "FROM mart.t ORDER BY n") == [(1,), (2,)]
    assert changed(lake)[0] == ("roll back to snapshot 2", ("mart.t", "mart.v"))
    # And forth.
    assert roll_back(lake, 4, []) == ["mart.t: 1 row", "mart.v: the view as it was"]
    assert rows(lake, "FROM mart.t, mart.v") == [(3, "x", "x")]
    assert roll_back(lake, 6, []) == []


def test_one_table_goes_back_alone(lake: Lakehouse) -> None:
    build(lake, TABLE, "SELECT 4 AS n, 'y' AS more")
    assert roll_back(lake, 4, ["MART.t"]) == ["mart.t: 1 row"]
    assert rows(lake, "FROM mart.t, mart.v") == [(3, "x", "x")]


def test_rows_that_were_added_go_and_those_that_were_deleted_come_back(tmp_path: Path) -> None:
    """The table stays the same one, with what is declared of it."""
    lake, count = lake_in(tmp_path), 20
    with open_lake(lake) as connection:
        connection.execute("CREATE TABLE t (n INTEGER NOT NULL)")
        connection.execute(f"INSERT INTO t FROM range({count})")
        connection.execute(f"INSERT INTO t FROM range({count})")
        connection.execute("DELETE FROM t WHERE n = 0")
    for number, there in ((2, 1), (3, 2), (4, 0), (2, 1)):
        roll_back(lake, number, [])
        assert rows(lake, "SELECT count(*), count(*) FILTER (n = 0) FROM t") == [
            (count * (2 - (number == 2)) - (2 if number == 4 else 0), there)
        ]
    with open_lake(lake) as connection, pytest.raises(duckdb.ConstraintException):
        connection.execute("INSERT INTO t VALUES (NULL)")


def test_a_table_that_is_gone_comes_back(lake: Lakehouse) -> None:
    with open_lake(lake) as connection:
        connection.execute("DROP SCHEMA mart CASCADE")
    assert roll_back(lake, 4, ["mart.t"]) == ["mart.t: 1 row"]
    assert rows(lake, "FROM mart.t") == [(3, "x")]


def test_what_does_not_exist_is_refused(lake: Lakehouse) -> None:
    with pytest.raises(WarehouseError, match="there is no snapshot 99; the kept ones are 0 to 4"):
        roll_back(lake, 99, [])
    with pytest.raises(WarehouseError, match="no table 'mart.sam'; did you mean 'mart.same'?"):
        roll_back(lake, 1, ["mart.sam"])


def test_upkeep_forgets_what_is_old_and_merges_small_files(lake: Lakehouse) -> None:
    append = "name: mart.a\nmaterialization: {type: table, strategy: append}"
    with open_lake(lake) as session:
        for _ in range(3):
            build(lake, append, "SELECT range AS n FROM range(20)", session=session)
    files = "SELECT count(*) FROM ducklake_list_files('_lake', 'a', schema => 'mart')"
    assert rows(lake, files) == [(3,)]
    before = rows(lake, "FROM mart.a ORDER BY n")
    assert maintain(lake) == Upkeep(expired=0, merged=3, deleted=0)
    assert rows(lake, files) == [(1,)]
    _age(lake)
    done = maintain(lake, keep_days=7)
    assert done.expired > 7
    assert rows(lake, "FROM mart.a ORDER BY n") == before
    assert len(changed(lake)) == 1
    # Of what was merged a month ago nothing is left.
    assert done.deleted == 3
    assert str(Upkeep(1, 2, 3)) == "1 snapshot expired, 2 files merged, 3 files deleted"


def _age(lake: Lakehouse) -> None:
    """Let a month go by."""
    with open_lake(lake) as connection:
        place = f"__ducklake_metadata_{LAKE}.main"
        connection.execute(
            f"UPDATE {place}.ducklake_snapshot SET snapshot_time = snapshot_time - INTERVAL 30 DAY;"
            f"UPDATE {place}.ducklake_files_scheduled_for_deletion"
            " SET schedule_start = schedule_start - INTERVAL 30 DAY"
        )
