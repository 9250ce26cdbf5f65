"""What an earlier state of a pipeline left behind goes on to work."""

from __future__ import annotations

import dagster as dg
import duckdb
from orchestration.helpers import ROOT, Tiny

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from trust.helpers import connect, database, ingest


def test_tables_with_other_types_and_without_newer_columns_are_brought_up_to_date(
    tiny: Tiny, server: PostgresServer
) -> None:
    with duckdb.connect(str(tiny.warehouse)) as old:
        old.execute("CREATE TABLE main.t (id INTEGER, changed TIMESTAMPTZ)")
        old.execute("INSERT INTO main.t VALUES (1, '2024-01-01 00:00:00+00')")
        old.execute("CREATE TABLE main.kept (day DATE, n INTEGER)")
        old.execute("INSERT INTO main.kept VALUES ('2024-01-01', 1)")
        old.execute("CREATE VIEW main.replaced AS SELECT 'old' AS n")
        old.execute("CREATE TABLE main.unknown AS SELECT 7 AS n")
    tiny.sql("main.replaced", "SELECT 1 AS n")
    append = (
        "columns: [{name: day, type: date}, {name: n, type: integer}, {name: note, type: varchar}]"
    )
    path = tiny.sql("main.kept", "SELECT DATE '2024-01-02' AS day, 2 AS n, 'new' AS note", append)
    path.write_text(path.read_text().replace("type: table", "type: table\n  strategy: append"))
    with database(server, "upgrade") as (place, session):
        session.execute("CREATE TABLE t (id bigint, changed timestamptz, note text DEFAULT 'x')")
        session.execute("INSERT INTO t VALUES (1, '2024-01-01Z'), (5000000000, '2024-01-02Z')")
        connect(tiny, place)
        merge = {"incremental_strategy": "merge", "incremental_key": "changed", "primary_key": "id"}
        ingest(tiny, "t", **merge)

        outcome = tiny.ecommerce("run")

    assert outcome.succeeded, outcome.text
    assert tiny.query("SELECT id, note FROM main.t ORDER BY id") == [(1, "x"), (5000000000, "x")]
    kept = tiny.query("SELECT CAST(day AS VARCHAR), n, note FROM main.kept ORDER BY day")
    assert kept == [("2024-01-01", 1, None), ("2024-01-02", 2, "new")]
    assert tiny.query("FROM main.replaced") == [(1,)]
    assert tiny.query("FROM main.unknown") == [(7,)]


def test_an_instance_with_other_settings_keeps_its_runs_and_gets_those_of_today(tiny: Tiny) -> None:
    tiny.sql("main.a", "SELECT 1 AS n")
    home = "state/dagster"
    assert tiny.ecommerce("run").succeeded
    tiny.write(f"{home}/dagster.yaml", "telemetry:\n  enabled: false\n")

    assert tiny.ecommerce("run").succeeded

    # What is added says where the events are: in Dagster's own place.
    settings = (tiny.folder / home / "dagster.yaml").read_text()
    assert settings.startswith((ROOT / "ecommerce_dagster" / "dagster.yaml").read_text())
    assert f'base_dir: "{tiny.folder / home}/history/runs"' in settings
    with dg.DagsterInstance.from_config(str(tiny.folder / home)) as instance:
        assert [run.is_success for run in instance.get_runs()] == [True, True]
