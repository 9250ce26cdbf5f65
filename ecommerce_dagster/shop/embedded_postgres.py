"""A real PostgreSQL server that lives exactly as long as a `with` block, or the process around it.

    with EmbeddedPostgres(Path(".data/postgres")) as server:
        psycopg.connect(server.dsn)

The process that starts it, its starter, spawns a small supervisor, and that spawns PostgreSQL. When
the block ends, or the starter dies in whatever way, the supervisor shuts PostgreSQL down and ends
too. Three locks in the data folder, freed by the operating system when their holders die:

    gate.lock     while a process starts, joins or stops the server
    starter.lock  the starter's, for as long as it wants the server
    server.lock   the supervisor's, inherited by PostgreSQL: when it is free, neither is alive
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from filelock import BaseFileLock, FileLock, Timeout
from psycopg import sql

from ecommerce_dagster.shop.postgres_programs import (
    EmbeddedPostgresError,
    find_programs,
    is_reachable,
    run_as,
    runnable,
    temporary_path,
)

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "PostgresServer"]

_PATIENCE = 60.0  # seconds for a start or a stop; both usually take a tenth of one

# Fast, and safe unless the machine itself dies. synchronous_commit stays on: without it, logical
# decoding does not see what was committed a moment ago.
_DEFAULTS = {"fsync": "off", "full_page_writes": "off", "wal_level": "logical"}
_DEFAULTS |= {"timezone": "UTC", "log_timezone": "UTC", "max_connections": "200"}

# No PG* variables, and the locale that PostgreSQL insists on under macOS.
_ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}
_ENVIRONMENT |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}

# It watches its parent's id besides the pipe, which a fork of the parent could hold open. Should it
# be killed itself, Linux tells PostgreSQL: that is tied to the thread which started PostgreSQL, so
# it would be wrong in the starter, where threads come and go.
_SUPERVISOR = """
import ctypes, fcntl, json, os, select, signal, subprocess, sys
parent, path, account, *command = sys.argv[1:]
lock = open(path, "w")
fcntl.flock(lock, fcntl.LOCK_EX)
if os.getppid() != int(parent):
    sys.exit("The starter is gone.")
prctl, PR_SET_PDEATHSIG = getattr(ctypes.CDLL(None), "prctl", lambda *_: None), 1
server = subprocess.Popen(
    command, stdin=subprocess.DEVNULL, pass_fds=[lock.fileno()], **json.loads(account),
    preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGINT),
)
while server.poll() is None and os.getppid() == int(parent):
    if select.select([sys.stdin], [], [], 0.2)[0]:
        break
server.send_signal(signal.SIGINT)  # fast shutdown
try:
    server.wait(30)
except subprocess.TimeoutExpired:
    server.send_signal(signal.SIGQUIT)  # immediate shutdown
    server.wait()
"""


@dataclass(frozen=True)
class PostgresServer:
    """What a client needs to know."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str

    @property
    def dsn(self) -> str:
        user, password, database = (
            quote(part, safe="") for part in (self.user, self.password, self.database)
        )
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{database}"

    def environment(self) -> dict[str, str]:
        return {
            "POSTGRES_HOST": self.host,
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_USER": self.user,
            "POSTGRES_PASSWORD": self.password,
            "POSTGRES_DB": self.database,
        }


class EmbeddedPostgres:
    """Starts the server of `data_dir`, or joins it when another process already did.

    Only the starter stops it, and only the starter's `settings` (PostgreSQL's own) count.
    """

    def __init__(
        self, data_dir: Path, *, database: str = "shop", settings: Mapping[str, str] | None = None
    ) -> None:
        self._folder = Path(data_dir).resolve()
        self._database = database
        self._settings = dict(settings or {})
        self._coordinates = self._folder / "server.json"
        self._log = self._folder / "server.log"
        self._gate = FileLock(self._folder / "gate.lock")
        self._undo = ExitStack()

    def __enter__(self) -> PostgresServer:
        if os.name != "posix":
            raise EmbeddedPostgresError("This needs Linux or macOS. Elsewhere: docker compose.")
        self._folder.mkdir(parents=True, exist_ok=True)
        starter = FileLock(self._folder / "starter.lock", thread_local=False)
        with self._gate, ExitStack() as undo:
            server = self._recall()
            if not _acquired(starter):
                with suppress(psycopg.OperationalError):
                    _ensure_database(server)
                    return server
                # Its starter is dying, and will be dead in a moment; or it died itself.
                if not _acquired(starter, timeout=5):
                    raise self._failure("PostgreSQL, started by another process, does not answer.")
            undo.callback(starter.release)
            server = self._start(server, undo)
            self._undo = undo.pop_all()
            return server

    def __exit__(self, *_: object) -> None:
        with self._gate:
            self._undo.close()

    def _start(self, server: PostgresServer, undo: ExitStack) -> PostgresServer:
        self._await_silence()
        binaries = runnable(find_programs())
        for port in (server.port, 0, 0, 0):  # that of last time, so that clients may remember it
            server = replace(server, port=_free_port(port))
            _write_private(self._coordinates, json.dumps(asdict(server)))
            supervisor = self._launch(binaries, self._cluster(binaries, server), server.port)
            undo.callback(self._stop, supervisor)
            deadline = time.monotonic() + _PATIENCE
            while supervisor.poll() is None and time.monotonic() < deadline:
                with suppress(psycopg.OperationalError):  # not ready yet
                    _ensure_database(server)
                    return server
                time.sleep(0.02)
            if "Address already in use" not in self._log.read_text(errors="replace"):
                break
        raise self._failure("PostgreSQL did not start.")

    def _launch(self, binaries: Path, cluster: Path, port: int) -> subprocess.Popen[bytes]:
        settings = {**_DEFAULTS, **self._settings, "port": str(port)}
        settings |= {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        command = [str(binaries / "postgres"), "-D", str(cluster)]
        command += [part for item in settings.items() for part in ("-c", "=".join(item))]
        watch = [
            str(os.getpid()),
            str(self._folder / "server.lock"),
            json.dumps(run_as()),
        ]
        # It names a process that is dead, or that is now another program.
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        _write_private(self._log, "")
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-ISc", _SUPERVISOR, *watch, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,  # Ctrl-C in the terminal is for the starter alone
            )

    def _stop(self, supervisor: subprocess.Popen[bytes]) -> None:
        supervisor.communicate(b"stop", timeout=_PATIENCE)
        self._await_silence()

    def _await_silence(self) -> None:
        """Until no server of this folder is alive, even if its starter was killed just now."""
        lock = FileLock(self._folder / "server.lock")
        if not _acquired(lock, _PATIENCE):
            raise self._failure("An earlier PostgreSQL does not end.")
        lock.release()

    def _recall(self) -> PostgresServer:
        """The coordinates of the last start. The password is the cluster's, for ever."""
        if self._coordinates.exists():
            last = PostgresServer(**json.loads(self._coordinates.read_text()))
            return replace(last, database=self._database)
        if (self._folder / "pgdata").exists():
            what = f"{self._coordinates}, with the password, is gone"
            raise EmbeddedPostgresError(f"{what}: restore it, or delete {self._folder}.")
        return PostgresServer("127.0.0.1", 0, "postgres", secrets.token_urlsafe(24), self._database)

    def _cluster(self, binaries: Path, server: PostgresServer) -> Path:
        """The data: in `pgdata`, or where that links to because the account cannot get there."""
        pgdata = self._folder / "pgdata"
        if not pgdata.exists():
            pgdata.unlink(missing_ok=True)  # a link to a temporary folder that was cleaned away
            place = pgdata if is_reachable(self._folder) else temporary_path(self._folder)
            _initialise(binaries, place, server)
            if place != pgdata:
                _remove_abandoned(place.parent)
                pgdata.symlink_to(place)
        if pgdata.is_symlink():
            (pgdata / "origin").unlink(missing_ok=True)
            (pgdata / "origin").symlink_to(self._folder)
        return pgdata.resolve()

    def _failure(self, what: str) -> EmbeddedPostgresError:
        log = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return EmbeddedPostgresError("\n".join([f"{what} The end of {self._log}:", *log[-15:]]))


def running(data_dir: Path, *, database: str = "shop") -> PostgresServer | None:
    """The server of `data_dir` if it runs now; nothing is started or made."""
    try:
        last = json.loads((Path(data_dir) / "server.json").read_text())
        server = replace(PostgresServer(**last), database=database)
        with psycopg.connect(server.dsn, connect_timeout=2, sslmode="disable"):
            return server
    except (OSError, ValueError, TypeError, psycopg.OperationalError):
        return None


def _acquired(lock: BaseFileLock, timeout: float = 0) -> bool:
    with suppress(Timeout):
        lock.acquire(timeout=timeout, poll_interval=0.02)
    return lock.is_locked


def _ensure_database(server: PostgresServer) -> None:
    dsn = replace(server, database="postgres").dsn
    with psycopg.connect(dsn, autocommit=True, connect_timeout=2, sslmode="disable") as connection:
        query = "SELECT FROM pg_database WHERE datname = %s"
        if connection.execute(query, [server.database]).fetchone() is None:
            name = sql.Identifier(server.database)
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))


def _initialise(binaries: Path, place: Path, server: PostgresServer) -> None:
    """Make a cluster, which appears under its name only when it is complete."""
    unfinished = place.with_name(f"{place.name}.new")
    for leftover in filter(Path.exists, (place, unfinished)):
        shutil.rmtree(leftover)
    unfinished.mkdir(mode=0o700)
    account = run_as()
    with tempfile.NamedTemporaryFile("w", dir=place.parent) as password:
        for path in (unfinished, password.name) if account else ():
            os.chown(path, account["user"], account["group"])
        password.write(server.password)
        password.flush()
        command = [str(binaries / "initdb"), f"--pgdata={unfinished}", f"--username={server.user}"]
        command += ["--auth=scram-sha-256", f"--pwfile={password.name}", "--encoding=UTF8"]
        command += ["--locale=C", "--no-sync"]
        context: dict[str, Any] = {"cwd": "/", "env": _ENVIRONMENT, **account}
        run = subprocess.run(command, check=False, capture_output=True, text=True, **context)
    if run.returncode:
        raise EmbeddedPostgresError(f"initdb failed:\n{run.stdout[-1000:]}{run.stderr[-1000:]}")
    unfinished.rename(place)


def _remove_abandoned(temporary: Path) -> None:
    """Clusters in a temporary folder that nothing leads to, since their data folder was deleted."""
    for cluster in temporary.glob("ecommerce-postgres-*"):
        origin = cluster / "origin"
        if origin.is_symlink() and not origin.exists():
            shutil.rmtree(cluster, ignore_errors=True)


def _free_port(wish: int) -> int:
    """The port wished for, if it is free, or any."""
    for port in (wish, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise EmbeddedPostgresError("There is no free port on 127.0.0.1.")


def _write_private(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.replace(path)
