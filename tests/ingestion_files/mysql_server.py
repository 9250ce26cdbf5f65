"""A MySQL (MariaDB, or MySQL itself) on 127.0.0.1, in a folder of its own, that ends with the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from deploy.broker import WITH_PARENT
from orchestration.helpers import free_port

from ecommerce_dagster.shop.postgres_programs import run_as

_PATIENCE = 60
PASSWORD = "s3cr3t'pass"


class MySQLServer:
    """Debian's server, with a user `reader` who may do all."""

    def __init__(self) -> None:
        self._program = shutil.which("mariadbd", path="/usr/sbin:/usr/bin") or ""
        if not self._program:
            pytest.skip("no MySQL here: apt-get install --no-install-recommends mariadb-server")
        self.port = free_port()
        # Short, since the path of a socket has 107 characters at most.
        self._folder = Path(tempfile.mkdtemp(prefix="mysql-"))
        self._socket = self._folder / "socket"
        owner = run_as()
        if owner:
            os.chown(self._folder, owner["user"], owner["group"])

    def __enter__(self) -> MySQLServer:
        data, log = self._folder / "data", (self._folder / "log").open("wb")
        install = ["mariadb-install-db", "--no-defaults", "--skip-test-db", f"--datadir={data}"]
        how = {"stdout": log, "stderr": log, "cwd": self._folder, **run_as()}
        subprocess.run(
            [*install, "--auth-root-authentication-method=normal"], check=True, timeout=120, **how
        )
        self._server = subprocess.Popen(
            [
                *WITH_PARENT, self._program, "--no-defaults", f"--datadir={data}",
                f"--socket={self._socket}", f"--port={self.port}", "--bind-address=127.0.0.1",
                "--sql-mode=", "--default-time-zone=+03:00", "--character-set-server=utf8mb4",
                f"--pid-file={self._folder / 'pid'}",
            ],
            **how,
        )  # fmt: skip
        deadline = time.monotonic() + _PATIENCE
        while self._run("SELECT 1").returncode:
            assert self._server.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)
        password = PASSWORD.replace("'", "''")
        self.execute(
            f"CREATE USER reader@'127.0.0.1' IDENTIFIED BY '{password}';"
            "GRANT ALL ON *.* TO reader@'127.0.0.1';"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.wait()
        shutil.rmtree(self._folder)

    def execute(self, sql: str) -> None:
        done = self._run(sql)
        assert done.returncode == 0, done.stderr.decode()

    def _run(self, sql: str) -> subprocess.CompletedProcess[bytes]:
        command = ["mariadb", "--no-defaults", "-uroot", f"--socket={self._socket}"]
        return subprocess.run(
            [*command, "--default-character-set=utf8mb4"],
            input=sql.encode(),
            capture_output=True,
            check=False,
        )

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-4000:]

    @property
    def connection(self) -> str:
        """An entry of .bruin.yml, without its name."""
        password = PASSWORD.replace("'", "''")
        return (
            f"host: 127.0.0.1, port: {self.port}, database: shop, username: reader, "
            f"password: '{password}'"
        )
