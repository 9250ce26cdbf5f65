"""`ecommerce dev`: a web UI for this machine alone, which leaves nothing behind when it stops."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from orchestration.helpers import (
    CHECK_ONLY_RUN,
    Outcome,
    Shop,
    dev,
    eventually,
    free_port,
    graphql,
    is_up,
    kill_during_run,
    processes_of,
    script,
)

pytestmark = pytest.mark.skipif(
    not Path("/proc/net/tcp").exists(), reason="needs /proc to see who listens where"
)
LOCALHOST = "0100007F"


@dataclass(frozen=True)
class Served:
    shop: Shop
    port: int
    process: subprocess.Popen[bytes]
    again: Outcome


PAST = "FROM mart.sales_daily WHERE sale_date < current_date ORDER BY sale_date"


@pytest.fixture(scope="module")
def served(demo: Shop) -> Iterator[Served]:
    """A UI that was started after a second demo, and after a run that was killed.

    Right after: a server that was stopped more than a minute after it was last looked at could be
    any, so that everything is loaded.
    """
    before = demo.query(PAST)
    again = demo.ecommerce("demo", "--days", "3")
    assert demo.query(PAST)[-len(before) :] == before
    assert eventually(lambda: not processes_of(demo.home)), processes_of(demo.home)
    kill_during_run(demo, "raw.customers", ("raw.customers", "raw.products", "raw.orders"))
    port = free_port()
    with dev(demo, port) as process:
        yield Served(demo, port, process, again)


def test_the_demo_can_be_run_again(served: Served) -> None:
    assert served.again.succeeded, served.again.text


def test_all_its_parts_run(served: Served) -> None:
    told = " ".join(processes_of(served.shop.home).values())
    for part in ("dagster", "webserver", "daemon", "postgres"):
        assert part in told


def test_it_serves_this_machine_only(served: Served) -> None:
    addresses = listening(set(processes_of(served.shop.home)))
    assert f"{LOCALHOST}:{served.port:04X}" in addresses
    assert {address.partition(":")[0] for address in addresses} == {LOCALHOST}


def test_a_second_one_on_its_port_is_told_so(served: Served) -> None:
    taken = served.shop.ecommerce("dev", "--port", str(served.port))
    assert (taken.code, taken.stdout) == (1, "")
    assert taken.stderr == f"Error: port {served.port} is taken; choose another one with --port\n"
    assert is_up(served.port)


def test_what_the_demo_loaded_is_neither_missing_nor_loaded_once_more(served: Served) -> None:
    def ticks() -> list[dict[str, str]]:
        [sensor] = graphql(served.port, LOOKED)["sensorsOrError"]["results"]
        return [tick for tick in sensor["sensorState"]["ticks"] if tick["status"] != "STARTED"]

    assert eventually(ticks, 120)
    assert [tick["status"] for tick in ticks()] == ["SKIPPED"] * len(ticks())
    assert not [run for run in served.shop.runs() if "dagster/sensor_name" in run.tags]
    days = graphql(served.port, PARTITIONS)["assetNodeOrError"]["partitionStats"]
    assert days["numPartitions"] in {2, 3}  # of today none in its first minutes
    assert days["numMaterialized"] >= days["numPartitions"] - 1


def test_runs_that_were_killed_are_failed_and_the_next_one_proceeds(served: Served) -> None:
    with served.shop.instance() as instance:
        (command,) = instance.get_runs(
            dg.RunsFilter(tags={"bruin/pipeline": "orders_performance"}), limit=1
        )
        today = max(served.shop.partitions("stg.orders"))
        clicked = launch(served, LAUNCH_EVERYTHING.replace("TODAY", today))
        assert eventually(lambda: process_of(instance, clicked), 120)
        os.kill(process_of(instance, clicked), signal.SIGKILL)
        following = launch(served, CHECK_ONLY_RUN)

        assert eventually(lambda: is_finished(instance, following), 120)
        assert instance.get_run_by_id(following).is_success  # type: ignore[union-attr]
        for run_id in (command.run_id, clicked):
            assert instance.get_run_by_id(run_id).is_failure  # type: ignore[union-attr]


LAUNCH_EVERYTHING = """
    mutation { launchRun(executionParams: {
        mode: "default", runConfigData: "{}",
        selector: {
            repositoryLocationName: "ecommerce_dagster.definitions",
            repositoryName: "__repository__",
            jobName: "orders_performance",
        },
        executionMetadata: {tags: [{key: "dagster/partition", value: "TODAY"}]}
    }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
LOOKED = """
    { sensorsOrError(repositorySelector: {
        repositoryLocationName: "ecommerce_dagster.definitions",
        repositoryName: "__repository__",
    }) { ... on Sensors { results { sensorState { ticks(limit: 9) { status skipReason } } } } } }
"""
PARTITIONS = """
    { assetNodeOrError(assetKey: {path: ["stg", "orders"]}) { ... on AssetNode {
        partitionStats { numPartitions numMaterialized }
    } } }
"""


def launch(served: Served, mutation: str) -> str:
    found = graphql(served.port, mutation)["launchRun"]
    assert found["__typename"] == "LaunchRunSuccess", found
    return str(found["run"]["runId"])


def process_of(instance: dg.DagsterInstance, run_id: str) -> int:
    """The process in which a run executes its steps; 0 before it does."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_START)
    engine = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    told = " ".join(entry.message for entry in engine) if entries else ""
    found = re.search(r"Executing steps in process \(pid: (\d+)\)", told)
    return int(found[1]) if found else 0


def is_finished(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def test_ctrl_c_ends_every_process(served: Served) -> None:
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(30) in {0, 130}
    home = served.shop.home
    assert eventually(lambda: not processes_of(home), 30), processes_of(home)
    text = (served.shop.home / f"dev-{served.port}.log").read_text()
    assert f"http://127.0.0.1:{served.port}" in text
    assert "Traceback" not in text


def test_it_starts_again_and_an_impatient_sigterm_ends_it_in_the_background(demo: Shop) -> None:
    port = free_port()
    with dev(demo, port, ignore_interrupts=True) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert eventually(lambda: not processes_of(demo.home), 30), processes_of(demo.home)


def test_kill_9_ends_the_command_that_it_started(demo: Shop) -> None:
    process = demo.start("ecommerce", "with-postgres", "--", "sh", "-c", "echo up; exec sleep 1000")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.kill()
    process.communicate(timeout=30)
    assert eventually(lambda: not processes_of(demo.home), 30), processes_of(demo.home)


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_is_none_is_a_usage_error(demo: Shop, port: str) -> None:
    assert demo.invoke("dev", "--port", port).code == 2


class TestOtherCommands:
    """They bring the local PostgreSQL too, for as long as they need it."""

    def test_dagster_starts_it_for_a_run_and_leaves_nothing(self, demo: Shop) -> None:
        home = {"DAGSTER_HOME": str(demo.home / "dagster")}
        outcome = demo.run("dg", "launch", "--assets", 'key:"raw/customers"', **home)
        assert outcome.succeeded, outcome.text
        [event] = demo.events(dg.DagsterEventType.ASSET_MATERIALIZATION)
        assert event.asset_key == dg.AssetKey(["raw", "customers"])
        assert eventually(lambda: not processes_of(demo.home))

    def test_with_postgres_runs_any_command_beside_it_and_hands_on_its_exit_code(
        self, demo: Shop
    ) -> None:
        code = (
            "import os, psycopg\n"
            "host, port, user, password, db = (os.environ['POSTGRES_' + name] for name in"
            " ('HOST', 'PORT', 'USER', 'PASSWORD', 'DB'))\n"
            "login = dict(host=host, port=port, user=user, password=password, dbname=db)\n"
            "print(psycopg.connect(**login).execute('SELECT count(*) FROM orders').fetchone())\n"
            "raise SystemExit(7)"
        )
        outcome = demo.ecommerce("with-postgres", "--", script("python"), "-c", code)
        [(orders,)] = demo.query("SELECT count(*) FROM raw.orders")
        assert (outcome.code, outcome.stdout) == (7, f"({orders},)\n")
        assert eventually(lambda: not processes_of(demo.home))


def listening(pids: set[int]) -> set[str]:
    """The addresses (hexadecimal, as /proc shows them) on which these processes accept TCP."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.add(descriptor.readlink().name)
            except OSError:
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1])
    return found
