"""PostgreSQL servers that are restarted, put back to a backup, replaced and failed over."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import psycopg

from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer
from ecommerce_dagster.shop.postgres_programs import find_programs, run_as, runnable

READER = "reader"  # who loads: no superuser
_CATCHES_UP_IN = 30.0  # seconds
_SETTINGS = {
    "shared_buffers": "16MB",
    "max_connections": "40",
    "wal_keep_size": "256MB",
    "wal_level": "replica",
    "autovacuum": "off",
}


def prepare(dsn: str, password: str) -> None:
    """Make the role that loads."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        if not connection.execute("SELECT FROM pg_roles WHERE rolname = 'reader'").fetchone():
            connection.execute(f"CREATE ROLE {READER} LOGIN PASSWORD '{password}'")
        connection.execute(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {READER}")


class Shared:
    """A server that many histories use one after the other, each with an empty database."""

    reads_standby = False

    def __init__(self, server: PostgresServer) -> None:
        self.admin = server
        prepare(server.dsn, server.password)

    @property
    def reader(self) -> PostgresServer:
        return replace(self.admin, user=READER)

    def empty(self) -> None:
        with psycopg.connect(self.admin.dsn, autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute("SET synchronous_commit = off")
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
            connection.execute(f"GRANT USAGE ON SCHEMA public TO {READER}")
            connection.execute(f"ALTER DATABASE {self.admin.database} RESET ALL")

    def catch_up(self) -> None:
        """Every change can be seen at once."""


@cache
def _template(folder: Path, number: int) -> Path:
    """A cluster that was never used, with an identity of its own."""
    place = folder / f"template-{number}"
    with EmbeddedPostgres(place, settings=_SETTINGS) as server:
        prepare(server.dsn, server.password)
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(f"GRANT USAGE ON SCHEMA public TO {READER}")
    return place


class Own:
    """A server of one history, always at the same address. Its data may be exchanged.

    With `by_standby` the pipeline reads from a standby of it, which follows.
    """

    def __init__(self, folder: Path, *, by_standby: bool = False) -> None:
        self._folder, self._made = folder, 0
        self._primary = self._copied(_template(folder.parent, 0))
        _set_port(self._primary, 0)
        self._backup: Path | None = None
        self._standby: Path | None = None
        self._following: EmbeddedPostgres | None = None
        self._start()
        self.reader = replace(self.admin, user=READER)
        if by_standby:
            self._following = EmbeddedPostgres(self._base_backup(), settings=_SETTINGS)
            self.reader = replace(self._following.__enter__(), user=READER)

    def stop(self) -> None:
        for running in filter(None, (self._following, self._running)):
            running.__exit__(None, None, None)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def reads_standby(self) -> bool:
        return self._following is not None

    def restart(self, *, immediate: bool) -> None:
        """Stop it, by a shutdown or as if it had crashed, and start it."""
        if immediate:
            self._crash()
        self._running.__exit__(None, None, None)
        self._start()

    def back_up(self) -> None:
        """Keep a copy of the data as they are."""
        self._running.__exit__(None, None, None)
        self._backup = self._copied(self._primary)
        self._start()

    def restore(self) -> bool:
        """Put the copy back: what happened since has never happened."""
        if self._backup is None:
            return False
        self._exchange(self._copied(self._backup))
        self._follow_anew()
        return True

    def replace_by_new_cluster(self) -> None:
        """A new cluster, with nothing in it, at the same address."""
        self._exchange(self._copied(_template(self._folder.parent, 1)))
        self._follow_anew()

    def make_standby(self) -> None:
        """A standby that is as the server is now."""
        self._standby = self._base_backup()

    def fail_over(self, *, loses: bool) -> bool:
        """The standby takes the place of the server. What came after `make_standby` is lost, or
        else it catches up first."""
        if self._standby is None:
            return False
        standby, self._standby = self._standby, None
        if not loses:
            follower = EmbeddedPostgres(standby, settings=_SETTINGS)
            with follower as place:
                self._wait_for(place)
        self._exchange(standby)
        with psycopg.connect(self.admin.dsn, autocommit=True) as connection:
            connection.execute("SELECT pg_promote(true, 60)")
            connection.execute("CHECKPOINT")
        self._follow_anew()
        return True

    def catch_up(self) -> None:
        """Wait until the standby that is read shows everything."""
        if self._following is not None:
            self._wait_for(self.reader)

    def _wait_for(self, standby: PostgresServer) -> None:
        with psycopg.connect(self.admin.dsn, autocommit=True) as primary:
            ((end,),) = primary.execute("SELECT pg_current_wal_lsn()::text").fetchall()
        # The database exists in every copy; `reader` may see how far the replay is.
        with psycopg.connect(replace(standby, user=READER).dsn, autocommit=True) as other:
            asked = "SELECT pg_last_wal_replay_lsn() < %s::pg_lsn AND pg_is_in_recovery()"
            patience = time.monotonic() + _CATCHES_UP_IN
            while other.execute(asked, [end]).fetchone() == (True,):
                if time.monotonic() > patience:
                    raise TimeoutError(f"the standby does not get to {end} of its server")
                time.sleep(0.02)

    def _start(self) -> None:
        self._running = EmbeddedPostgres(self._primary, settings=_SETTINGS)
        self.admin = self._running.__enter__()

    def _exchange(self, data: Path) -> None:
        """Another folder of data, at the address of this one."""
        self._running.__exit__(None, None, None)
        _set_port(data, self.admin.port)
        self._primary = data
        self._start()
        with psycopg.connect(self.admin.dsn, autocommit=True) as connection:
            if connection.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,):
                connection.execute(f"ALTER ROLE {READER} PASSWORD '{self.reader.password}'")

    def _follow_anew(self) -> None:
        """Make the standby that is read one of the server as it is now: one of what it was before
        never catches up."""
        if self._following is None:
            return
        port, password = self.reader.port, self.reader.password
        self._following.__exit__(None, None, None)
        data = self._base_backup()
        _set_port(data, port)
        self._following = EmbeddedPostgres(data, settings=_SETTINGS)
        self.reader = replace(self._following.__enter__(), user=READER, password=password)

    def _crash(self) -> None:
        pid = int((self._primary / "pgdata" / "postmaster.pid").read_text().split()[0])
        subprocess.run(["kill", f"-{signal.SIGQUIT.value}", str(pid)], check=True)

    def _copied(self, folder: Path) -> Path:
        """A copy of a server's folder that can be started. Its owners stay the same."""
        target = self._new_folder()
        subprocess.run(["cp", "-a", str(folder), str(target)], check=True)
        for lock in target.glob("*.lock"):
            lock.unlink()
        return target

    def _base_backup(self) -> Path:
        """The folder of a standby of the server."""
        target = self._new_folder()
        shutil.copytree(
            self._primary, target, ignore=lambda *_: ["pgdata", "server.log", "gate.lock",
                                                      "starter.lock", "server.lock"]
        )  # fmt: skip
        _set_port(target, 0)
        account = run_as()
        (data := target / "pgdata").mkdir(mode=0o700)
        if account:
            shutil.chown(data, account["user"], account["group"])
        program = runnable(find_programs()) / "pg_basebackup"
        command = [str(program), "-D", str(data), "-R", "-d", self.admin.dsn, "-c", "fast"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **account)
        return target

    def _new_folder(self) -> Path:
        self._made += 1
        self._folder.mkdir(mode=0o755, exist_ok=True)
        return self._folder / f"data-{self._made}"


def _set_port(folder: Path, port: int) -> None:
    """Let a server start at a port, at any free one for 0."""
    file = folder / "server.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "port": port}))
