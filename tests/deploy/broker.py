"""A RabbitMQ server on 127.0.0.1, in a folder of its own, that ends with the process of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from kombu import Connection, pools
from orchestration.helpers import free_port

from ecommerce_dagster.shop.postgres_programs import run_as

_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_PATIENCE = 120
# What the tests start is killed when they are, in whatever way (Linux's PR_SET_PDEATHSIG).
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


class Broker:
    """Debian's RabbitMQ. Its name, its ports and the names' server (epmd) are its own, so that
    several processes of tests have one each."""

    def __init__(self, folder: Path, password: str) -> None:
        if not _SERVER.exists() or shutil.which("epmd") is None:
            pytest.skip("no RabbitMQ here: apt-get install --no-install-recommends rabbitmq-server")
        self._folder, self._password = folder, password
        self._port, self._names = free_port(), free_port()
        self._running: list[subprocess.Popen[bytes]] = []
        folder.mkdir()
        owner = run_as()
        if owner:
            os.chown(folder, owner["user"], owner["group"])
        # The user is there from the beginning; the password is in no list of processes.
        (folder / "advanced.config").write_text(
            f'[{{rabbit, [{{default_user, <<"dagster">>}}, {{default_pass, <<"{password}">>}}]}}].'
        )

    @property
    def url(self) -> str:
        return f"amqp://dagster:{quote(self._password, safe='')}@127.0.0.1:{self._port}//"

    def __enter__(self) -> Broker:
        # Started here, the names' server is not a daemon that would outlive the tests.
        self._popen(["epmd", "-port", str(self._names), "-address", "127.0.0.1"])
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            process.kill()
            process.wait()

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        server = self._popen([str(_SERVER)])
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                with Connection(self.url, connect_timeout=5) as connection:
                    connection.connect()
                    return
            except OSError:
                assert server.poll() is None, self.log()
                time.sleep(0.2)
        raise AssertionError(self.log())

    def kill(self) -> None:
        """kill -9. What it has confirmed is on the disk."""
        server = self._running.pop()
        server.kill()
        server.wait()
        pools.reset()  # of this process

    def log(self) -> str:
        return (self._folder / "output.log").read_text(errors="replace")[-4000:]

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        folder = str(self._folder)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "ERL_EPMD_PORT": str(self._names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Else the server would be the child of a shell that does not end it.
            "RUNNING_UNDER_SYSTEMD": "1",
            "RABBITMQ_NODENAME": f"tests{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none"
            ),
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_FEATURE_FLAGS_FILE": f"{folder}/feature_flags",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
        }
        with (self._folder / "output.log").open("ab") as log:
            process = subprocess.Popen(
                [*WITH_PARENT, *command],
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **run_as(),
            )
        self._running.append(process)
        return process
