"""What breaks around a run is named with its asset; other branches finish, old data stays."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from orchestration.helpers import Outcome, Tiny, clean_environment, copy_state, script

from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer
from trust.helpers import assert_fails, connect, database, ingest

_SLOW = """
CREATE FUNCTION slow(int) RETURNS int AS 'SELECT pg_sleep(0.002); SELECT $1' LANGUAGE sql;
CREATE TABLE base AS SELECT generate_series(1, 1000) AS id;
CREATE OR REPLACE VIEW t AS SELECT slow(id) AS id FROM base
"""


class Branches:
    """A pipeline of two branches, main.t and main.u with a table below each, that has run once."""

    def __init__(self, pipeline: Tiny, server: PostgresServer, session: Any) -> None:
        self.pipeline, self.server, self.session = pipeline, server, session
        session.execute("CREATE VIEW t AS SELECT 1 AS id; CREATE TABLE u AS SELECT 1 AS id")
        connect(pipeline, server)
        for table in "t", "u":
            # A server that starts again refuses everybody for a moment.
            ingest(pipeline, table, "retries: 3" if table == "u" else "")
            name = f"main.below_{table}"
            pipeline.sql(name, f"SELECT * FROM main.{table}", f"depends: [main.{table}]")
        assert pipeline.ecommerce("run").succeeded
        session.execute("UPDATE u SET id = 2")

    def largest(self) -> dict[str, int]:
        """The largest id in each table."""
        names = ("t", "below_t", "u", "below_u")
        return {n: self.pipeline.query(f"SELECT max(id) FROM main.{n}")[0][0] for n in names}


@pytest.fixture
def branches(tiny: Tiny, server: PostgresServer) -> Iterator[Branches]:
    with database(server, "branches") as (place, session):
        yield Branches(tiny, place, session)


T_KEEPS_ITS_ROWS = {"t": 1, "below_t": 1, "u": 2, "below_u": 2}


class TestPostgres:
    def test_that_restarts_in_the_middle_of_a_load(self, tiny: Tiny, reachable_tmp: Path) -> None:
        with EmbeddedPostgres(reachable_tmp / "restarting") as server:
            with psycopg.connect(server.dsn, autocommit=True) as session:
                branches = Branches(tiny, server, session)
                session.execute(_SLOW)

            outcome = _while_it_crashes(server, lambda: tiny.ecommerce("run"))

            assert_fails(
                outcome,
                "pipeline/assets/main.t.asset.yml:6: server closed the connection unexpectedly",
                "SKIP  main.below_t",
                "2 succeeded, 1 failed, 1 skipped",
            )
            assert branches.largest() == T_KEEPS_ITS_ROWS

            ingest(tiny, "t", "retries: 3")
            healed = _while_it_crashes(server, lambda: tiny.ecommerce("run"))

            assert healed.succeeded, healed.text
            assert "RETRY main.t" in healed.text
            assert branches.largest() == {"t": 1000, "below_t": 1000, "u": 2, "below_u": 2}

    def test_that_lets_nobody_read_one_table(self, branches: Branches, tiny: Tiny) -> None:
        branches.session.execute("DROP ROLE IF EXISTS reader")
        branches.session.execute(
            "CREATE ROLE reader LOGIN PASSWORD 'x'; GRANT SELECT ON u TO reader"
        )
        as_reader = PostgresServer(
            branches.server.host, branches.server.port, "reader", "x", branches.server.database
        )
        connect(tiny, as_reader)

        outcome = tiny.ecommerce("run")

        assert_fails(outcome, "main.t.asset.yml:6: ", "permission denied for view t")
        assert branches.largest() == T_KEEPS_ITS_ROWS
        branches.session.execute("GRANT SELECT ON t TO reader")
        assert tiny.ecommerce("run").succeeded

    @pytest.mark.parametrize("why", ["a lock", "a slow query"])
    def test_that_does_not_answer_in_the_time_of_the_asset(
        self, branches: Branches, tiny: Tiny, why: str
    ) -> None:
        branches.session.execute(_SLOW.replace("0.002", "60") if why == "a slow query" else "")
        ingest(tiny, "t", "timeout: 1s")
        with psycopg.connect(branches.server.dsn) as other:
            other.execute("LOCK TABLE t" if why == "a lock" else "SELECT 1")

            outcome = tiny.ecommerce("run")

        assert_fails(outcome, 'main.t.asset.yml:1: asset "main.t" timed out after 1s')
        assert branches.largest() == T_KEEPS_ITS_ROWS
        busy = (
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
        )
        assert len(branches.session.execute(busy).fetchall()) == 1  # this question


class TestTheClockOfTheSource:
    """Set back, it writes times before those that are loaded already."""

    @pytest.fixture
    def merged(self, tiny: Tiny, server: PostgresServer) -> Iterator[Any]:
        with database(server, "clocks") as (place, session):
            session.execute("CREATE TABLE c (id int PRIMARY KEY, at timestamptz DEFAULT now())")
            session.execute("INSERT INTO c VALUES (1), (2)")
            connect(tiny, place)
            how = {"incremental_strategy": "merge", "incremental_key": "at", "primary_key": "id"}
            ingest(tiny, "c", **how)
            assert tiny.ecommerce("run").succeeded
            yield session

    def test_for_minutes_loses_nothing(self, tiny: Tiny, merged: Any) -> None:
        merged.execute("INSERT INTO c VALUES (3, now() - interval '5 minutes')")
        assert tiny.ecommerce("run").succeeded
        assert tiny.query("SELECT id FROM main.c ORDER BY id") == [(1,), (2,), (3,)]

    def test_for_a_day_loses_nothing_either(self, tiny: Tiny, merged: Any) -> None:
        merged.execute("INSERT INTO c VALUES (3, now() - interval '1 day')")
        merged.execute("UPDATE c SET at = now() - interval '1 day' WHERE id = 2")
        assert tiny.ecommerce("run").succeeded
        found = tiny.query("SELECT id, c.at < now() - INTERVAL 1 HOUR FROM main.c ORDER BY id")
        assert found == [(1, False), (2, True), (3, True)]


@pytest.fixture(scope="module")
def has_run(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A pipeline that has run: main.big, one row, with a table below it, and main.small."""
    pipeline = Tiny(tmp_path_factory.mktemp("disk"))
    pipeline.sql("main.big", "SELECT 1 AS n")
    pipeline.sql("main.below", "SELECT n FROM main.big", "depends: [main.big]")
    pipeline.sql("main.small", "SELECT 1 AS n")
    assert pipeline.ecommerce("run").succeeded
    return pipeline


class TestTheDisk:
    @pytest.fixture
    def two(self, tiny: Tiny, has_run: Tiny) -> Tiny:
        """A copy of it, to be changed."""
        copy_state(has_run.folder, tiny.folder)
        return tiny

    def test_that_is_full_while_a_table_is_built(self, two: Tiny) -> None:
        two.sql("main.big", "SELECT hash(i) AS n FROM range(1500000) t(i)")
        two.sql("main.small", "SELECT 2 AS n")

        outcome = _run_as_process(two, lambda: _files_of_at_most(4 << 20))

        assert_fails(outcome, "main.big.sql:9: ", "Could not write file", "SKIP  main.below")
        assert two.query("FROM main.big") == two.query("FROM main.below") == [(1,)]
        assert two.query("FROM main.small") == [(2,)]
        assert two.ecommerce("run").succeeded
        assert two.query("SELECT count(*) FROM main.below") == [(1500000,)]

    def test_that_has_no_room_for_dagsters_records(self, two: Tiny) -> None:
        two.sql("main.small", "SELECT 2 AS n")
        outcome = _run_as_process(two, lambda: _files_of_at_most(20 << 10))
        assert_fails(outcome, f"the records of runs in {two.folder}/state/dagster cannot be kept: ")
        assert two.query("FROM main.small") == [(1,)]

    @pytest.mark.skipif(sys.platform != "linux", reason="root may write everywhere elsewhere")
    @pytest.mark.parametrize(
        ("folder", "said"),
        [
            ("", "{0}/warehouse.duckdb.lock cannot be written: "),
            ("state/dagster", "{0}/state/dagster/"),
        ],
        ids=["warehouse", "state"],
    )
    def test_that_may_not_be_written_to(self, two: Tiny, folder: str, said: str) -> None:
        place = two.folder / folder
        place.chmod(0o555)
        try:
            outcome = _run_as_process(two, _without_the_rights_of_root, "main.small")
        finally:
            place.chmod(0o755)
        assert_fails(outcome, said.format(two.folder), "Permission denied")

    @pytest.mark.parametrize("damage", ["the first half only", "a wrong bit"])
    def test_that_damages_the_warehouse(self, two: Tiny, damage: str) -> None:
        content = bytearray(two.warehouse.read_bytes())
        if damage == "a wrong bit":
            for position in range(3 * 4096, len(content), 4096):
                content[position] ^= 1
        else:
            del content[len(content) // 2 :]
        two.warehouse.write_bytes(content)

        outcome = two.ecommerce("run")

        assert_fails(outcome, f"{two.warehouse} cannot be opened as a DuckDB database: ")
        served = two.ecommerce("query", "FROM main.big", "--output", "csv")
        assert (served.code, served.stdout.split()) == (0, ["n", "1"])


def _while_it_crashes(server: PostgresServer, run: Callable[[], Outcome]) -> Outcome:
    """Run while a process of PostgreSQL is killed in the middle of a load, so that it restarts."""

    def crash() -> None:
        with psycopg.connect(server.dsn, autocommit=True) as session:
            for _ in range(1000):
                time.sleep(0.02)
                loading = session.execute(
                    "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%'"
                    " AND state = 'active' AND now() - query_start > '0.1 s'"
                ).fetchone()
                if loading:
                    os.kill(loading[0], signal.SIGKILL)
                    return

    crashing = threading.Thread(target=crash)
    crashing.start()
    outcome = run()
    crashing.join()
    return outcome


def _run_as_process(pipeline: Tiny, prepare: Callable[[], object], *assets: str) -> Outcome:
    """`ecommerce run` in a process of its own, which `prepare` changes first."""
    ended = subprocess.run(
        [script("ecommerce"), "run", *assets, "--pipeline", str(pipeline.directory)],
        env=clean_environment(ECOMMERCE_HOME=str(pipeline.folder / "state")),
        text=True, capture_output=True, preexec_fn=prepare, check=False,
    )  # fmt: skip
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def _files_of_at_most(size: int) -> None:
    """A disk that has so many bytes for each file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _without_the_rights_of_root() -> None:
    """Even as root, be refused what the modes of files refuse."""
    drop_from_bounding_set, cap_dac_override = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, cap_dac_override, 0, 0, 0)
