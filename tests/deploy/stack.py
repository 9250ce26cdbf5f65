"""The processes of docker-compose.yml on this machine: the same commands, the same variables."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from celery import Celery
from kombu import Connection
from orchestration.helpers import ROOT, clean_environment, eventually, free_port, script

from deploy.broker import WITH_PARENT, Broker
from deploy.compose import services
from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer

RUN = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
TERMINATE = """mutation ($params: [String!]!, $policy: TerminateRunPolicy!) { terminateRuns(
    runIds: $params, terminatePolicy: $policy) { ... on TerminateRunsResult {
    terminateRunResults { __typename ... on TerminateRunFailure { message } } } } }"""
KEYS = "{ assetNodes { assetKey { path } isExecutable } }"
BACKFILL = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(
    backfillParams: $params) { __typename ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message } } }"""


class Outage:
    """A store of objects that answers 503 for a number of requests."""

    def __init__(self) -> None:
        self.left = 0

    def refuses(self) -> bool:
        self.left -= 1
        return self.left >= 0


@dataclass
class Stack:
    """Started services, by name; a worker's name has its number."""

    folder: Path
    variables: Mapping[str, str]
    places: Mapping[str, str]
    ports: Mapping[str, str]
    dagster: PostgresServer
    broker: Broker
    database: EmbeddedPostgres
    outage: Outage
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def web(self) -> int:
        return int(self.ports["3000"])

    def environment_of(self, service: str) -> dict[str, str]:
        declared = services(self.variables)[service].environment
        unknown = self.places.keys() - declared.keys()
        assert not unknown, f"docker-compose.yml does not set {unknown}"
        own = {
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "HOME": str(self.folder),
            # Runs that died are started again after a second, not after five.
            "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1",
        }
        return clean_environment(**{**declared, **self.places, **own})

    def start(self, service: str, number: int = 0, processes: int = 1) -> None:
        """Start a service; a worker has a number, and some processes that execute runs."""
        name = f"{service}{number or ''}"
        variables = {**self.variables, "WORKER_PROCESSES": str(processes)}
        command = self._here(services(variables)[service].command)
        if number:  # in a container its name is that of the host
            command += ["--hostname", f"{name}@%h"]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*WITH_PARENT, *command],
                env=self.environment_of(service),
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_all(self, *workers: int) -> None:
        """Start Dagster's services, and workers of so many processes; wait until all is healthy."""
        services = ("code", "webserver", "daemon")
        for service in services:
            self.start(service)
        for number, processes in enumerate(workers, 1):
            self.start("worker", number, processes)
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
        """Until the health check of the file is content, which starts a process each time: where
        the service has a port, when that is open."""
        port = {"code": self.ports["4000"], "webserver": self.ports["3000"]}.get(service)
        if port:
            assert eventually(lambda: is_open(int(port)), 120), self.log(service)
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

    def kill_a_process(self) -> None:
        """kill -9 what executes a run, as the system does when memory is full."""
        self.holder()
        for tasks in self._tasks().values():
            for task in tasks:
                os.kill(task["worker_pid"], signal.SIGKILL)

    def restart_database(self) -> None:
        """kill -9 of the PostgreSQL that has Dagster's records and the catalogue of the lake."""
        pid = (self.folder / "postgres" / "pgdata" / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        self.database.__exit__()
        self.database.__enter__()

    def stop(self) -> None:
        for name in list(self.running):
            self.kill(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def logs(self) -> str:
        return "\n".join(f"--- {p.name}\n{self.log(p.stem)}" for p in self.folder.glob("*.log"))

    def graphql(self, query: str, params: Mapping[str, Any] | list[str], **other: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.web}/graphql",
            json.dumps({"query": query, "variables": {"params": params, **other}}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def materialize(self, day: str, *assets: str) -> str:
        """What the button 'Materialize all' sends, for a day; or 'Materialize selected', for some
        assets. The id of the run."""
        selected = {"assetSelection": [{"path": asset.split(".")} for asset in assets]}
        answer = self.graphql(
            RUN,
            {
                "selector": {
                    "repositoryLocationName": "ecommerce_dagster",
                    "repositoryName": "__repository__",
                    "jobName": "orders_performance",
                    **(selected if assets else {}),
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

    def terminate(self, run: str, *, force: bool = False) -> None:
        """What the button 'Terminate' sends; `force` is its box 'Force termination immediately'."""
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if force else "SAFE_TERMINATE"
        answer = self.graphql(TERMINATE, [run], policy=policy)
        [result] = answer["data"]["terminateRuns"]["terminateRunResults"]
        assert result["__typename"] == "TerminateRunSuccess", result

    def backfill(self, days: Sequence[str]) -> str:
        """What the dialog for a backfill of all assets sends. Its id."""
        answer = self.graphql(
            BACKFILL,
            {
                "assetSelection": self._keys(),
                "partitionNames": days,
                "title": "all",
                "allPartitions": False,
            },
        )
        launched = answer["data"]["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", answer
        return str(launched["backfillId"])

    def _keys(self) -> list[dict[str, list[str]]]:
        nodes = self.graphql(KEYS, {})["data"]["assetNodes"]
        return [node["assetKey"] for node in nodes if node["isExecutable"]]

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

    @property
    def celery(self) -> Celery:
        """What Celery's own tools and Flower ask with."""
        return Celery(broker=self.broker.url)

    def holders(self) -> list[str]:
        """The workers that have a task, as they say."""
        return [node.partition("@")[0] for node, tasks in self._tasks().items() if tasks]

    def _tasks(self) -> dict[str, list[dict[str, Any]]]:
        # Without a limit every answer would be waited for until the time is over, and a run that is
        # to be interrupted could end meanwhile.
        workers = sum(name.startswith("worker") for name in self.running)
        return self.celery.control.inspect(timeout=3, limit=workers).active() or {}

    def holder(self) -> str:
        """A worker that has a task."""
        found: list[str] = []

        def is_held() -> bool:
            found[:] = self.holders()
            return bool(found)

        assert eventually(is_held, 60), self.logs()
        return found[0]

    def celery_says(self, *arguments: str) -> str:
        """What `celery ...` says, which asks all workers."""
        told = subprocess.run(
            [script("celery"), *arguments],
            env=clean_environment(CELERY_BROKER_URL=self.broker.url),
            text=True,
            capture_output=True,
            check=False,
        )
        return told.stdout + told.stderr

    @contextmanager
    def flower(self) -> Iterator[str]:
        """The address of Flower, while it runs."""
        port = free_port()
        command = [script("celery"), "flower", f"--port={port}", "--address=127.0.0.1"]
        variables = {"CELERY_BROKER_URL": self.broker.url, "FLOWER_UNAUTHENTICATED_API": "true"}
        with (
            (self.folder / "flower.log").open("ab") as log,
            subprocess.Popen(
                [*WITH_PARENT, *command],
                env=clean_environment(**variables),
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                process.kill()

    def waiting_tasks(self) -> int:
        """How many tasks are in the queue, which no worker has."""
        with Connection(self.broker.url) as connection:
            declared = connection.default_channel.queue_declare("dagster", passive=True)
        return int(declared.message_count)

    def _here(self, command: tuple[str, ...] | list[str]) -> list[str]:
        """A command with the ports and the programs of this machine."""
        words = [word if ":" not in word else _with_ports(word, self.ports) for word in command[1:]]
        words = [self.ports.get(word, "127.0.0.1" if word == "0.0.0.0" else word) for word in words]
        return [script(command[0]), *words]


def is_open(port: int) -> bool:
    """Whether a port of this machine takes connections."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _with_ports(word: str, ports: Mapping[str, str]) -> str:
    for there, here in ports.items():
        word = word.replace(f"127.0.0.1:{there}/", f"127.0.0.1:{here}/")
    return word
