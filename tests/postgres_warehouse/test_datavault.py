"""What is true of hubs and satellites in PostgreSQL alone; the rest is in contract/."""

from __future__ import annotations

from contract.test_datavault import HUB, SATELLITE

from postgres_warehouse.helpers import Warehouse


def test_many_keys_of_a_hub_are_joined_by_hash(w: Warehouse) -> None:
    for end in (100_000, 100_001):  # row by row this would take minutes
        w.run(HUB, f"SELECT n AS hk FROM generate_series(1, {end}) n")
    assert w.sql("SELECT count(*) FROM mart.t") == [(100_001,)]


def test_many_keys_of_a_satellite_are_joined_by_hash(w: Warehouse) -> None:
    for day in (1, 2):
        query = f"SELECT n AS hk, n % 7 AS v, {day} AS ld FROM generate_series(1, 100000) n"
        w.run(SATELLITE, query)
    assert w.sql("SELECT count(*) FROM mart.t") == [(100_000,)]


def test_columns_of_a_satellite_have_any_name_and_type(w: Warehouse) -> None:
    header = SATELLITE.replace("name: hk", 'name: "H k"')
    for day, note in enumerate(("x", "x", "y")):
        w.run(
            header,
            f"""SELECT 'a' AS "H k", {day} AS ld, '{{"n": 1}}'::jsonb AS "rowid",
            ARRAY['{note}'] AS "select" """,
        )
    assert [row[1] for row in w.rows()] == [0, 2]
