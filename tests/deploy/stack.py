"""The processes of docker-compose.yml on this machine: the same commands, the same variables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
from orchestration.helpers import ROOT, clean_environment, script

from deploy.compose import services
from ecommerce_dagster.embedded_postgres import PostgresServer
from ecommerce_dagster.orchestration.postgres_queue import LOCKS

_HOLDERS = f"""
    SELECT DISTINCT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND classid = {LOCKS} AND objid != 0
"""
RUN = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
KEYS = "{ assetNodes { assetKey { path } isExecutable } }"
BACKFILL = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(
    backfillParams: $params) { __typename ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message } } }"""


@dataclass
class Stack:
    """Started services, by name; a worker's name has its number."""

    folder: Path
    variables: Mapping[str, str]
    places: Mapping[str, str]
    ports: Mapping[str, str]
    dagster: PostgresServer
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def web(self) -> int:
        return int(self.ports["3000"])

    def environment_of(self, service: str) -> dict[str, str]:
        declared = services(self.variables)[service].environment
        unknown = self.places.keys() - declared.keys()
        assert not unknown, f"docker-compose.yml does not set {unknown}"
        home = {"DAGSTER_HOME": str(self.folder / "dagster"), "HOME": str(self.folder)}
        return clean_environment(**{**declared, **self.places, **home})

    def start(self, service: str, number: int = 0) -> None:
        name = f"{service}{number or ''}"
        environment = self.environment_of(service)
        command = self._here(services(self.variables)[service].command)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                # Tells the sessions of one worker from those of another.
                env={**environment, "PGAPPNAME": name},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_all(self, workers: int = 0) -> None:
        """Start Dagster's services and some workers, and wait until they are healthy."""
        services = ("code", "webserver", "daemon")
        for service in services:
            self.start(service)
        for number in range(1, workers + 1):
            self.start("worker", number)
        for service in services:
            self.await_health(service)

    def is_healthy(self, service: str) -> bool:
        """What the health check of the file says."""
        how, *check = services(self.variables)[service].health
        assert how == "CMD"
        checked = subprocess.run(
            self._here(check),
            check=False,
            env=self.environment_of(service),
            cwd=ROOT,
            capture_output=True,
        )
        return checked.returncode == 0

    def await_health(self, service: str) -> None:
        """Until the health check of the file is content, which takes a second each time."""
        for _ in range(60):
            if self.is_healthy(service):
                return
            assert self.running[service].poll() is None, self.log(service)
            time.sleep(2)
        raise AssertionError(self.log(service))

    def kill(self, name: str) -> None:
        """kill -9, as of a machine that loses its power: all processes of a service at once."""
        self.signal(name, signal.SIGKILL)
        self.running.pop(name).wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to all processes of a service."""
        with suppress(ProcessLookupError):
            os.killpg(self.running[name].pid, number)

    def kill_a_process_of(self, name: str) -> None:
        """kill -9 what executes the steps of a worker, as the system does when memory is full."""
        main = self.running[name].pid
        for child in Path(f"/proc/{main}/task/{main}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)

    def stop(self) -> None:
        for name in list(self.running):
            self.kill(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def logs(self) -> str:
        return "\n".join(f"--- {p.name}\n{self.log(p.stem)}" for p in self.folder.glob("*.log"))

    def graphql(self, query: str, params: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.web}/graphql",
            json.dumps({"query": query, "variables": {"params": params}}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def materialize(self, day: str) -> str:
        """What the button 'Materialize all' sends, for a day. The id of the run."""
        answer = self.graphql(
            RUN,
            {
                "selector": {
                    "repositoryLocationName": "ecommerce_dagster",
                    "repositoryName": "__repository__",
                    "jobName": "orders_performance",
                },
                "mode": "default",
                "runConfigData": "{}",
                "executionMetadata": {
                    "tags": [
                        {"key": "dagster/asset_partition_range_start", "value": day},
                        {"key": "dagster/asset_partition_range_end", "value": day},
                    ]
                },
            },
        )
        launched = answer["data"]["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", answer
        return str(launched["run"]["runId"])

    def backfill(self, days: Sequence[str]) -> str:
        """What the dialog for a backfill of all assets sends. Its id."""
        answer = self.graphql(KEYS, {})
        keys = [node["assetKey"] for node in answer["data"]["assetNodes"] if node["isExecutable"]]
        answer = self.graphql(
            BACKFILL,
            {
                "assetSelection": keys,
                "partitionNames": days,
                "title": "all",
                "allPartitions": False,
            },
        )
        launched = answer["data"]["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", answer
        return str(launched["backfillId"])

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        variables = self.environment_of("daemon")
        kept = dict(os.environ)
        os.environ.update(variables)
        try:
            with dg.DagsterInstance.from_config(str(self.folder / "dagster")) as instance:
                yield instance
        finally:
            os.environ.clear()
            os.environ.update(kept)

    def holders(self) -> set[str]:
        """The workers that have a task."""
        with psycopg.connect(self.dagster.dsn) as connection:
            return {row[0] for row in connection.execute(_HOLDERS).fetchall()}

    def waiting_tasks(self) -> int:
        with psycopg.connect(self.dagster.dsn) as connection:
            row = connection.execute("SELECT count(*) FROM ecommerce_tasks").fetchone()
        assert row is not None
        return int(row[0])

    def _here(self, command: tuple[str, ...] | list[str]) -> list[str]:
        """A command with the ports and the programs of this machine."""
        words = [word if ":" not in word else _with_ports(word, self.ports) for word in command[1:]]
        words = [self.ports.get(word, "127.0.0.1" if word == "0.0.0.0" else word) for word in words]
        return [script(command[0]), *words]


def _with_ports(word: str, ports: Mapping[str, str]) -> str:
    for there, here in ports.items():
        word = word.replace(f"127.0.0.1:{there}/", f"127.0.0.1:{here}/")
    return word
