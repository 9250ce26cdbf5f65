"""`ecommerce doctor` says what is wrong with the operation, and `ecommerce metrics` its numbers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from orchestration.daemon_simulation import daemon
from orchestration.helpers import (
    COUNT_AT_ONCE,
    LAKE_CONFIG,
    Shop,
    Tiny,
    clean_environment,
    config_with_source,
    eventually,
    free_port,
    script,
)
from orchestration.receivers import webhook
from prometheus_client.parser import text_string_to_metric_families

from cli.test_status import WAITS, start
from ecommerce_dagster.health.examine import examine
from ecommerce_dagster.health.finding import Finding, Setup
from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer

RULE = "columns: [{name: n, checks: [{name: positive}]}]"
LOADED = (
    "name: raw.t\ntype: ingestr\nparameters: "
    "{source_connection: pg, source_table: public.t, destination: duckdb}\n"
)


@pytest.fixture
def tiny(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.chdir(tiny.folder)
    tiny.sql("main.t", "SELECT 1 AS n", RULE)
    return tiny


def doctor(tiny: Tiny, code: int = 0) -> dict[tuple[str, str], dict[str, Any]]:
    """What the command says of each thing."""
    outcome = tiny.ecommerce("doctor", "--output", "json")
    assert outcome.code == code, outcome.text
    told = json.loads(outcome.stdout)
    assert told["level"] == {0: told["level"], 1: "problem"}[code]
    return {(one["part"], one["name"]): one for one in told["findings"]}


def numbers(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples of metrics by the values of their labels, but for that of the pipeline."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels.pop("pipeline") == "tiny"
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {})
            found[sample.name][labels] = sample.value
    return found


def files_in(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


class TestLooking:
    def test_before_the_first_run_nothing_is_wrong_and_nothing_is_made(self, tiny: Tiny) -> None:
        before = files_in(tiny.folder)
        found = doctor(tiny)
        assert {one["level"] for one in found.values()} == {"ok"}
        assert found["records", ""]["text"] == "there are none yet"
        assert "the first run makes it" in found["connection", "duckdb-default"]["text"]
        assert found["version", "dagster"]["facts"]["version"] == dg.__version__
        assert tiny.ecommerce("metrics").succeeded
        assert files_in(tiny.folder) == before

    def test_after_a_run_it_changes_no_file(self, tiny: Tiny) -> None:
        assert tiny.ecommerce("run").succeeded
        before = files_in(tiny.folder)
        text = tiny.ecommerce("doctor")
        first, *lines = text.stdout.splitlines()
        assert (text.code, first) == (0, "tiny: 0 problems, 0 warnings")
        assert all(line.startswith("ok       ") for line in lines)
        assert any(line.startswith("ok       connection duckdb-default: works (") for line in lines)
        changed = files_in(tiny.folder).items() - before.items()
        # SQLite keeps who reads it in files of its own, and the folder's time changes with them.
        assert all(Path(name).is_dir() or name.endswith(("-shm", "-wal")) for name, _ in changed)

    def test_files_with_mistakes_and_records_that_cannot_be_read(self, tiny: Tiny) -> None:
        assert tiny.ecommerce("run").succeeded
        tiny.write("pipeline/assets/broken.sql", "/* @bruin\nname: main.b\ntype: no\n@bruin */\n")
        (tiny.folder / "state/dagster/history/runs.db").write_text("no database" * 1000)
        found = doctor(tiny, 1)
        assert found["files", ""]["text"] == "1 mistake; Dagster does not load the pipeline"
        assert "cannot be read: file is not a database" in found["records", ""]["text"]
        assert found["failure", ""]["text"] == "not known: the records of runs cannot be read"
        assert found["failure", ""]["facts"] == {}
        assert found["connection", "duckdb-default"]["level"] == "ok"

    def test_a_part_that_does_not_answer_or_fails_keeps_no_other_back(self, tiny: Tiny) -> None:
        import threading

        never = threading.Event()

        def hangs(setup: Setup) -> Iterator[Finding]:
            never.wait()
            yield Finding("a", "", "ok", "")

        def fails(setup: Setup) -> Sequence[Finding]:
            raise KeyError("s3cr3t")

        def answers(setup: Setup) -> Sequence[Finding]:
            return [Finding("c", "x", "ok", "well")]

        parts = {"a": hangs, "b": fails, "c x": answers}
        setup: Any = None
        found = examine(setup, parts, patience=0.5)
        assert [one.part for one in found] == ["a", "b", "c"]
        assert found[0].text == "not known: no answer within 0.5 s"
        assert "KeyError" in found[1].text
        assert "s3cr3t" not in found[1].text
        assert found[2].text == "well"
        never.set()


class TestWhatWasRejected:
    def test_the_tables_that_are_kept_and_the_metrics_have_the_same_numbers(
        self, tiny: Tiny
    ) -> None:
        tiny.sql("main.u", "SELECT 1 AS n", RULE)
        assert tiny.ecommerce("run").succeeded
        rows = "SELECT unnest([-1, -2, 3]) AS n"
        tiny.sql("main.t", rows, RULE)
        tiny.sql("main.never", rows, RULE)
        assert tiny.ecommerce("run").code == 1

        found = doctor(tiny, 1)
        kept = found["unpublished", ""]
        assert kept["level"] == "problem"
        assert kept["text"].startswith("main.never was never published: n: positive rejected")
        assert kept["text"].endswith("; so it is for main.t")
        assert kept["facts"]["tables"] == 2
        assert kept["facts"]["oldest_seconds"] > 0
        failure = found["failure", ""]
        assert failure["facts"]["blocking"] == 2
        assert failure["advice"].startswith("See `ecommerce status`")
        text = tiny.ecommerce("doctor").stdout
        assert text.startswith("tiny: 2 problems, 0 warnings\n")
        assert "\nproblem  unpublished: main.never was never published" in text

        file = tiny.folder / "metrics" / "tiny.prom"
        file.parent.mkdir()
        file.write_text("old")
        assert tiny.ecommerce("metrics", "--textfile", str(file)).succeeded
        assert [path.name for path in file.parent.iterdir()] == ["tiny.prom"]

        shown = numbers(file.read_text())
        for (part, name), one in doctor(tiny, 1).items():
            level = ["ok", "warning", "problem"].index(one["level"])
            assert shown["ecommerce_health_level"][name, part] == level
            for fact, value in one["facts"].items():
                exact = isinstance(value, int) and "bytes" not in fact
                if exact:
                    assert shown[f"ecommerce_{part}_{fact}"][(name,)] == value, (part, fact)
        assert shown["ecommerce_check_bad_rows"] == {
            ("main.never", "n: positive"): 2, ("main.t", "n: positive"): 2,
            ("main.u", "n: positive"): 0,
        }  # fmt: skip
        assert shown["ecommerce_asset_rows"] == {("main.t",): 1, ("main.u",): 1}
        last = shown["ecommerce_asset_last_success_timestamp_seconds"]
        assert last["main.u",] > last["main.t",]
        assert shown["ecommerce_asset_duration_seconds"]["main.u",] >= 0
        runs = shown["ecommerce_runs"]
        assert (runs["success",], runs["failure",], runs["queued",]) == (1, 1, 0)

    def test_bad_rows_that_are_published_keep_no_table_back(self, tiny: Tiny) -> None:
        tiny.sql("main.first", "SELECT -1 AS n", f"meta: {{publish: always}}\n{RULE}")
        assert tiny.ecommerce("run").code == 1
        tiny.sql("main.t", "SELECT 1 AS n", RULE.replace("positive", "negative"))
        assert tiny.ecommerce("run", "main.t", "--only", "checks").code == 1
        found = doctor(tiny, 1)
        assert found["failure", ""]["facts"]["blocking"] == 2
        assert found["unpublished", ""]["facts"]["tables"] == 0

    def test_a_file_that_cannot_be_written_is_a_sentence(self, tiny: Tiny) -> None:
        outcome = tiny.ecommerce("metrics", "--textfile", str(tiny.folder / "none" / "x.prom"))
        assert outcome.code == 2
        told = "none/x.prom cannot hold the metrics: No such file or directory\n"
        assert outcome.stderr.endswith(told)


@contextmanager
def opened_by(code: str) -> Iterator[int]:
    """Another process that has something open; its id."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}\nprint('open', flush=True)\nimport time\ntime.sleep(600)"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process.pid
        finally:
            process.kill()


class TestLocks:
    @pytest.mark.parametrize(
        ("read_only", "verb"), [(False, "writes to"), (True, "reads")], ids=["writer", "reader"]
    )
    def test_another_program_is_named(self, tiny: Tiny, read_only: bool, verb: str) -> None:
        assert tiny.ecommerce("run").succeeded
        code = f"import duckdb\nc = duckdb.connect({str(tiny.warehouse)!r}, read_only={read_only})"
        with opened_by(code) as pid:
            found = doctor(tiny)["lock", "duckdb-default"]
        assert found["level"] == "warning"
        assert f"process {pid} (" in found["text"]
        assert f"python3.11) {verb} {tiny.warehouse}: runs wait" in found["text"]
        assert found["advice"] == f"Close the database there; `kill {pid}` ends it"
        assert doctor(tiny)["lock", "duckdb-default"]["level"] == "ok"

    def test_a_run_is_named_and_is_no_reason_to_worry(self, tiny: Tiny) -> None:
        tiny.write("pipeline/assets/waits.py", WAITS.format(folder=tiny.folder))
        running = start(tiny, "main.waits")
        assert eventually((tiny.folder / "begun").exists, 120)
        with opened_by(
            "from filelock import FileLock\n"
            f"l = FileLock({str(tiny.warehouse) + '.lock'!r})\nl.acquire()"
        ):
            found = doctor(tiny)
            assert found["lock", "duckdb-default"]["facts"]["run_lock"] == 1
        (tiny.folder / "go").touch()
        running.communicate(timeout=100)
        assert found["queue", ""]["facts"]["running"] == 1
        assert found["lock", "duckdb-default"]["level"] == "ok"

    def test_sessions_of_postgresql_that_wait_for_others(
        self, tiny: Tiny, database: PostgresServer
    ) -> None:
        tiny.write("pipeline/assets/main.t.sql", POSTGRES_ASSET)
        tiny.write(".bruin.yml", config_of(database))
        assert doctor(tiny)["lock", "pg"]["text"] == "no session waits for another"
        change(database, 'CREATE TABLE "od""d" (n int)')
        waits = (
            "import psycopg, threading\n"
            f"c = psycopg.connect({database.dsn!r}, application_name='waits')\n"
            'args = [\'SELECT * FROM "od""d"\']\n'
            "threading.Thread(target=c.execute, args=args, daemon=True).start()"
        )
        with psycopg.connect(database.dsn, application_name="bi\x1b[31m tool") as holder:
            holder.execute('LOCK TABLE "od""d"')
            with opened_by(waits):
                assert eventually(lambda: doctor(tiny)["lock", "pg"]["level"] == "warning")
                found = doctor(tiny)["lock", "pg"]
            pid = holder.info.backend_pid
        change(database, 'DROP TABLE "od""d"')
        assert "(waits) has waited" in found["text"]
        assert f"held by session {pid} (bi" in found["text"]
        assert "\x1b" not in found["text"]
        assert f"pg_terminate_backend({pid})" in found["advice"]
        assert found["facts"]["blocked"] == 1


POSTGRES_ASSET = """/* @bruin
name: main.t
type: pg.sql
connection: pg
materialization: {type: table}
@bruin */
SELECT 1 AS n
"""


def config_of(server: PostgresServer) -> str:
    return config_with_source(
        server.host, server.port, server.password, server.user, server.database
    )


@pytest.mark.parametrize(
    ("times", "level"), [(0.2, "ok"), (0.7, "warning"), (1.5, "problem")], ids=str
)
def test_the_disk_has_room_for_the_next_copy(tiny: Tiny, times: float, level: str) -> None:
    """The file has holes, and takes so many times what is free."""
    assert tiny.ecommerce("run", ECOMMERCE_PUBLISHED_COPY="off").succeeded
    free = shutil.disk_usage(tiny.folder).free
    os.truncate(tiny.warehouse, int(times * free))
    found = doctor(tiny, int(level == "problem"))["disk", "duckdb-default"]
    assert found["level"] == level
    assert found["facts"]["needed_bytes"] >= int(times * free)
    assert found["advice"] == ("" if level == "ok" else "Free some space, or use a larger disk")
    without = tiny.ecommerce("doctor", "-o", "json", ECOMMERCE_PUBLISHED_COPY="off")
    needed = [one["facts"]["needed_bytes"] for one in json.loads(without.stdout)["findings"]
              if (one["part"], one["name"]) == ("disk", "duckdb-default")]  # fmt: skip
    assert needed == [100_000_000]


class TestConnections:
    def test_a_server_that_stops(self, tiny: Tiny, reachable_tmp: Path) -> None:
        tiny.write("pipeline/assets/raw.t.asset.yml", LOADED)
        with EmbeddedPostgres(reachable_tmp / "stops") as server:
            tiny.write(".bruin.yml", config_of(server))
            works = doctor(tiny)["connection", "pg"]
            assert works["facts"]["works"] == 1
            assert works["text"].startswith(f"works, PostgreSQL {works['facts']['version']} (")
        outcome = tiny.ecommerce("doctor", "--output", "json")
        assert server.password not in outcome.text
        found = doctor(tiny, 1)
        assert (
            f"{server.host}:{server.port}/shop cannot be reached"
            in found["connection", "pg"]["text"]
        )
        assert found["connection", "pg"]["advice"] == "Start the server, or correct .bruin.yml:10"
        assert found["lag", "pg"]["facts"] == {"seconds": None}
        assert found["lag", "pg"]["text"].startswith("unknown: ")

        # Nobody needs it.
        (tiny.directory / "assets/raw.t.asset.yml").unlink()
        assert doctor(tiny)["connection", "pg"]["level"] == "warning"

    def test_a_lake_and_a_file_that_is_no_database(self, tiny: Tiny) -> None:
        tiny.write(".bruin.yml", LAKE_CONFIG)
        assert "does not exist yet" in doctor(tiny)["connection", "duckdb-default"]["text"]
        assert not (tiny.folder / "lake.db").exists()
        assert tiny.ecommerce("run").succeeded
        found = doctor(tiny)
        assert found["connection", "duckdb-default"]["facts"]["works"] == 1
        assert found["disk", "duckdb-default data"]["level"] == "ok"
        (tiny.folder / "lake.db").write_text("no database" * 1000)
        broken = doctor(tiny, 1)["connection", "duckdb-default"]
        assert "lake.db cannot be opened: " in broken["text"]

    def test_the_demonstrations_server_is_not_started_and_used_when_it_runs(
        self, reachable_tmp: Path
    ) -> None:
        shop = Shop(reachable_tmp / "rests", {})

        def connection() -> dict[str, Any]:
            outcome = shop.invoke("doctor", "--output", "json")
            assert outcome.succeeded, outcome.text
            found = json.loads(outcome.stdout)["findings"]
            return next(one for one in found if one["name"] == "pg-default")

        assert "its local server is not running" in connection()["text"]
        with EmbeddedPostgres(shop.home / "postgres"):
            assert connection()["facts"]["works"] == 1
        assert connection()["facts"]["works"] is None
        assert not (shop.home / "dagster").exists()


class TestDagster:
    def test_a_run_in_the_queue_that_nobody_starts(self, tiny: Tiny) -> None:
        assert tiny.ecommerce("run").succeeded
        with Shop(tiny.folder / "state", {}).instance() as instance:
            [done] = instance.get_runs()
            queued, origin = dg.DagsterRunStatus.QUEUED, done.remote_job_origin
            run = dg.DagsterRun("tiny", status=queued, remote_job_origin=origin)
            instance.add_run(run)
            found = doctor(tiny, 1)
            assert found["queue", ""]["facts"]["queued"] == 1
            assert "1 queued, 0 running, 0 gone; the oldest waits for" in found["queue", ""]["text"]
            assert found["daemon", ""]["level"] == "problem"
            assert (
                found["daemon", ""]["text"] == "does not run; it is needed for 1 run in the queue"
            )
            instance.delete_run(run.run_id)
        assert doctor(tiny)["daemon", ""]["text"] == "does not run; nothing waits for it"

    @pytest.mark.timeout(600)
    def test_a_daemon_that_follows_a_source_and_dies(
        self, tiny: Tiny, database: PostgresServer
    ) -> None:
        with webhook() as hook:
            hook.status = 500
            tiny.write(
                ".bruin.yml",
                config_of(database)
                + f"      webhook:\n        - {{name: hook, url: '{hook.url}'}}\n",
            )
            tiny.write("pipeline/pipeline.yml", "name: tiny\nnotifications: {webhook: [hook]}\n")
            tiny.write("pipeline/assets/raw.t.asset.yml", LOADED)
            change(database, "DROP TABLE IF EXISTS t", "CREATE TABLE t AS SELECT 1 AS n")
            shop = Shop(tiny.folder / "state", {"ECOMMERCE_PIPELINE": str(tiny.directory)})

            def now(part: str, name: str = "") -> dict[str, Any]:
                outcome = tiny.ecommerce("doctor", "--output", "json")
                found = json.loads(outcome.stdout)["findings"]
                return next(one for one in found if (one["part"], one["name"]) == (part, name))

            with daemon(shop, "tiny_pg_changes"):
                loaded = {"seconds": 0, "tables_changed": 0, "runs_requested": 0}
                assert eventually(
                    lambda: loaded.items() <= now("lag", "pg")["facts"].items(), 120, 1
                ), now("lag", "pg")
                assert now("daemon")["text"] == "runs"
                assert now("automation", "tiny_pg_changes")["level"] == "ok"
                # What cannot be built fails; those who are to be told cannot be reached.
                tiny.sql("main.t", "SELECT error('broken') AS n")
                assert tiny.ecommerce("run", "main.t").code == 1
                assert eventually(lambda: now("alert")["level"] == "problem", 120, 1), now("alert")
            alert = now("alert")
            assert alert["text"] == "1 message not delivered to webhook hook"
            assert alert["facts"] == {"waiting": 1, "broken": 1}

            change(database, "INSERT INTO t VALUES (2)")
            lag = now("lag", "pg")
            assert lag["text"].startswith("changes wait to be loaded for about ")
            assert lag["text"].endswith(": raw.t")
            assert lag["facts"]["seconds"] > 0
            assert lag["facts"]["tables_changed"] == 1

            change(database, "DROP TABLE t")
            lag = now("lag", "pg")
            assert lag["level"] == "problem"
            assert lag["text"].startswith("there is no source for raw.t; ")
            (tiny.directory / "assets/raw.t.asset.yml").unlink()


def change(server: PostgresServer, *statements: str) -> None:
    with psycopg.connect(server.dsn) as connection:
        for statement in (*statements, COUNT_AT_ONCE):
            connection.execute(statement.encode())


def test_the_endpoint_serves_the_numbers_of_the_moment(tiny: Tiny) -> None:
    port = free_port()
    command = ["metrics", "--port", str(port), "--pipeline", str(tiny.directory)]
    process = subprocess.Popen(
        [script("ecommerce"), *command],
        env=clean_environment(ECOMMERCE_HOME=str(tiny.folder / "state")),
        cwd=tiny.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == f"Metrics are at http://127.0.0.1:{port}/metrics (Ctrl-C stops it)\n"

        def fetched() -> dict[str, dict[tuple[str, ...], float]]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                return numbers(answer.read().decode())

        assert "ecommerce_asset_rows" not in fetched()
        assert tiny.ecommerce("run").succeeded
        assert fetched()["ecommerce_asset_rows"] == {("main.t",): 1}
        taken = tiny.ecommerce("metrics", "--port", str(port))
        assert (taken.code, taken.stderr) == (
            1, f"Error: port {port} is taken; choose another one with --port\n",
        )  # fmt: skip
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "Interrupted.\n")
    both = tiny.ecommerce("metrics", "--port", "1", "--textfile", "x")
    assert both.code == 2
    assert "give a --textfile or a --port, not both" in both.stderr
