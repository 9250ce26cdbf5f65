"""A database that is not the one that was seen, at the same address, is loaded from the start."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer
from orchestration.helpers import COUNT_AT_ONCE, Tiny, eventually, failures
from orchestration.histories.servers import READER, Own
from orchestration.watcher import Watcher, later

START = (
    "CREATE TABLE t AS SELECT n, timestamptz '2025-03-01' + n * interval '1 day' AS at"
    " FROM generate_series(0, 2) AS n"
)
ALL = {"2025-03-01 to 2025-03-03"}


def copied(folder: Path, target: Path) -> Path:
    """A copy of the folder of a server that is stopped."""
    subprocess.run(["cp", "-a", str(folder), str(target)], check=True)
    return target


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[PostgresServer]:
    with EmbeddedPostgres(folder, settings=settings) as server:
        yield server


@pytest.fixture
def folder(reachable_tmp: Path, request: pytest.FixtureRequest) -> Path:
    """For servers that a test starts and stops."""
    place = reachable_tmp / f"history-{abs(hash(request.node.nodeid))}"
    place.mkdir()
    place.chmod(0o755)
    return place


@pytest.fixture
def watcher(tiny: Tiny, server: PostgresServer, instance: dg.DagsterInstance) -> Watcher:
    watcher = Watcher(tiny, server, instance)
    watcher.by_day("t")
    return watcher


def test_a_server_that_is_started_again_is_the_same(watcher: Watcher, folder: Path) -> None:
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute(START)
        assert watcher.asked() == ALL
        assert watcher.tick() == "nothing changed in 1 table"
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute("UPDATE t SET n = 7 WHERE n = 1")

        assert watcher.asked() == {"2025-03-02"}


# Without a checkpoint the control file says where the backup was stopped; with one it no longer does.
@pytest.mark.parametrize("commands", [(), ("CHECKPOINT",)], ids=["at once", "after a checkpoint"])
def test_a_server_that_was_put_back_to_a_backup_is_another(
    watcher: Watcher, folder: Path, commands: tuple[str, ...]
) -> None:
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute(START)
    backup = copied(folder / "a", folder / "b")
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute("UPDATE t SET n = 10 WHERE n = 1")
        assert watcher.asked() == ALL
        assert watcher.tick() == "nothing changed in 1 table"
    # The same number of transactions, and more of the log.
    with serving(backup) as server:
        watcher.connect(server)
        watcher.execute("UPDATE t SET n = 11 WHERE n = 1")
        watcher.alone("SELECT pg_switch_wal()")
        for command in commands:
            watcher.alone(command)

        assert watcher.asked() == ALL
        assert watcher.tick() == "nothing changed in 1 table"


def test_a_server_that_was_put_back_and_stopped_again_while_nobody_looked_is_another(
    watcher: Watcher, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute(START)
    backup = copied(folder / "a", folder / "b")
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute("UPDATE t SET n = 10 WHERE n = 1")
        assert watcher.asked() == ALL
    with serving(backup) as server:
        watcher.connect(server)
        watcher.execute("UPDATE t SET n = 11 WHERE n = 1")
        watcher.alone("SELECT pg_switch_wal()")
    # It takes a minute at least, which is not waited for here.
    monkeypatch.setattr("ecommerce_dagster.sources.postgres.source_history._LONGEST_GAP", -9.0)
    with serving(backup) as server:
        watcher.connect(server)

        assert watcher.asked() == ALL


def test_days_that_only_the_old_history_has_are_asked_for_too(
    watcher: Watcher, folder: Path
) -> None:
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute(START, "DELETE FROM t WHERE n = 2")
    backup = copied(folder / "a", folder / "b")
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute("INSERT INTO t VALUES (9, '2025-03-10')")
        assert watcher.asked() == {"2025-03-01 to 2025-03-02", "2025-03-10"}
        watcher.build()
    with serving(backup) as server:
        watcher.connect(server)

        (asked,) = watcher.asked()
        assert asked.startswith("2025-03-01 to ")
        assert asked >= "2025-03-01 to 2025-03-10"


def test_a_new_server_that_the_same_script_has_filled_is_another(
    watcher: Watcher, folder: Path
) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        if name == "b":  # the same port and password
            coordinates = (folder / "a" / "server.json").read_text()
            (folder / "b" / "server.json").write_text(coordinates)
        with serving(folder / name) as server:
            watcher.connect(server)
            watcher.execute(START)
            watcher.execute(f"UPDATE t SET n = {ord(name)} WHERE n = 1")

            assert watcher.asked() == ALL
            assert watcher.tick() == "nothing changed in 1 table"


def test_a_database_that_was_dropped_and_made_again_is_another(
    watcher: Watcher, folder: Path
) -> None:
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute(START)
        assert watcher.asked() == ALL
        administrator = server.dsn.replace("/shop", "/postgres")
        with psycopg.connect(administrator, autocommit=True) as connection:
            connection.execute("CREATE DATABASE kept TEMPLATE shop")
            connection.execute("DROP DATABASE shop")
            connection.execute("CREATE DATABASE shop TEMPLATE kept")

        assert watcher.asked() == ALL


def test_a_standby_that_is_promoted_without_the_last_transactions_is_another(
    watcher: Watcher, folder: Path
) -> None:
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute(START)
    standby = copied(folder / "a", folder / "b")
    (standby / "pgdata" / "standby.signal").touch()
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute("UPDATE t SET n = 10 WHERE n = 1")
        assert watcher.asked() == ALL
    with serving(standby) as server:
        watcher.connect(server)
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone() == (True,)
        watcher.execute("UPDATE t SET n = 11 WHERE n = 1")
        watcher.alone("SELECT pg_switch_wal()")

        assert watcher.asked() == ALL
        assert watcher.tick() == "nothing changed in 1 table"


def test_a_standby_that_streams_is_followed_loaded_from_and_promoted(
    watcher: Watcher, folder: Path
) -> None:
    own = Own(folder / "own", by_standby=True)
    standby = replace(own.admin, port=own.reader.port)

    def execute(server: PostgresServer, *statements: str) -> None:
        with psycopg.connect(server.dsn) as connection:
            for statement in (*statements, COUNT_AT_ONCE):
                connection.execute(statement.encode())

    def load() -> set[str]:
        (request,) = watcher.tick()
        assert isinstance(request, dg.RunRequest)
        assert failures(watcher.run(request)) == {}
        return {request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")}

    def numbers() -> list[tuple[int]]:
        return watcher.tiny.query("SELECT n FROM raw.t ORDER BY n")

    try:
        execute(own.admin, START, f"GRANT SELECT ON t TO {READER}")
        own.catch_up()
        watcher.connect(own.reader)
        assert load() == {"2025-03-01", "2025-03-03"}
        assert numbers() == [(0,), (1,), (2,)]

        execute(own.admin, "UPDATE t SET n = 10 WHERE n = 1", "DELETE FROM t WHERE n = 0")
        own.catch_up()
        assert watcher.tick() == "read every 5 minutes: raw.t"
        with later(6):
            assert load() == {"2025-03-01", "2025-03-02"}
        assert numbers() == [(2,), (10,)]

        with psycopg.connect(standby.dsn, autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone() == (True,)
        execute(standby, "UPDATE t SET n = 12 WHERE n = 2")
        assert load() == {"2025-03-03"}
        assert numbers() == [(10,), (12,)]
        assert watcher.tick() == "nothing changed in 1 table"
    finally:
        own.stop()


def test_a_server_that_crashed_has_lost_no_change(watcher: Watcher, folder: Path) -> None:
    with serving(folder / "a") as server:
        watcher.connect(server)
        watcher.execute(START)
        assert watcher.asked() == ALL
        watcher.execute("UPDATE t SET n = 7 WHERE n = 1")
        with psycopg.connect(server.dsn) as killed, psycopg.connect(server.dsn) as beside:
            subprocess.run(["kill", "-9", str(killed.info.backend_pid)], check=True)
            # A server that has not noticed it yet still answers; when it has, it ends all connections.
            assert eventually(lambda: not _answers(beside))
        assert eventually(lambda: _accepts(server))

        assert watcher.asked() in ({"2025-03-02"}, ALL)


def _answers(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _accepts(server: PostgresServer) -> bool:
    try:
        psycopg.connect(server.dsn).close()
    except psycopg.OperationalError:
        return False
    return True
