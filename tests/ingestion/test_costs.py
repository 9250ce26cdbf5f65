"""What a load makes PostgreSQL read, counted in rows. It may not grow unnoticed."""

from __future__ import annotations

from typing import Any

import pytest

from ecommerce_dagster.sources.postgres.ingest import Ingestion
from ecommerce_dagster.warehouses.duckdb.transaction import DuckDBTransaction
from ecommerce_dagster.warehouses.publish import publish
from ingestion.helpers import NewWorld, World, asset_of, days, eventually

ROWS = 20_000
_TABLE = f"""
CREATE TABLE t AS SELECT n AS id, '2025-03-01Z'::timestamptz + n % 100 * interval '1 day' AS day,
    '2025-01-01Z'::timestamptz + n * interval '1 minute' AS updated_at FROM generate_series(1, {ROWS}) n
"""


@pytest.fixture(scope="module")
def world(new_world: NewWorld) -> World:
    world = new_world("")
    world.sql(
        _TABLE,
        "CREATE INDEX ON t (day)",
        "CREATE INDEX ON t (updated_at)",
        "CREATE INDEX ON t (id)",
    )
    world.postgres.autocommit = True
    world.sql("VACUUM ANALYZE t")
    return world


def rows_read(
    world: World, parameters: str, *, meta: dict[str, Any] | None = None, **how: Any
) -> int:
    """The rows that PostgreSQL reads for one load, by index or not."""
    settle(world)
    world.sql("SELECT pg_stat_reset()")
    asset = asset_of(parameters, "columns: [{name: id, primary_key: true}]")
    asset = asset.model_copy(update={"meta": meta or {}})
    fill = Ingestion(asset, world.connection, **how)
    with fill.prepare(world.duck):
        publish(DuckDBTransaction(world.duck, asset), asset, fill, [], str)
    settle(world)
    ((read,),) = world.sql(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables"
        " WHERE relname = 't'"
    )
    return int(read)


def settle(world: World) -> None:
    """Wait until all is counted: a session hands in what it did when it ends."""
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    assert eventually(lambda: world.sql(others) == [(0,)])
    world.sql("SELECT pg_stat_force_next_flush()")
    world.sql("SELECT pg_stat_clear_snapshot()")


def test_a_full_load_reads_each_row_once(world: World) -> None:
    assert rows_read(world, "") <= ROWS


def test_a_day_is_read_by_its_index(world: World) -> None:
    parameters = "{incremental_strategy: delete+insert, incremental_key: day}"
    rows_read(world, parameters)

    assert rows_read(world, parameters, interval=days("2025-03-05")) <= 3 * ROWS // 100


def test_a_merge_reads_what_changed(world: World) -> None:
    parameters = "{incremental_strategy: merge, incremental_key: updated_at}"
    rows_read(world, parameters, full_refresh=True)
    world.sql("UPDATE t SET updated_at = '2025-06-01Z' WHERE id <= 50")

    # They are counted before they are read, and so are those of the minutes before the watermark;
    # the keys are read of each row, once.
    assert rows_read(world, parameters) <= ROWS + ROWS // 100
    world.sql("UPDATE t SET updated_at = '2025-06-02Z' WHERE id <= 50")
    assert rows_read(world, parameters, meta={"compare_keys": False}) <= ROWS // 100


def test_an_append_reads_what_is_new_and_each_key_once(world: World) -> None:
    parameters = "{incremental_strategy: append, incremental_key: updated_at}"
    rows_read(world, parameters, full_refresh=True)
    world.sql(f"INSERT INTO t SELECT {ROWS} + n, now(), now() FROM generate_series(1, 50) n")
    assert rows_read(world, parameters) <= ROWS + ROWS // 100

    # Of rows that are gone from the source the sum tells nothing more: the keys are joined.
    world.sql(f"DELETE FROM t WHERE id > {ROWS}")
    assert rows_read(world, parameters) <= 2 * ROWS + ROWS // 100
