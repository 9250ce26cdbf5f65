"""The deployment with workers, of which some die: the tables are those of a plain run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import dagster as dg
import psycopg
import pytest
from celery import Celery
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value
from kombu import Connection
from kombu.exceptions import ContentDisallowed
from orchestration.helpers import DAY, Shop, eventually, processes_of

from deploy.machine import PASSWORD, empty_lake, ended, lake_tables, stack
from deploy.stack import Stack
from ecommerce_dagster.deploy.celery_app import QUEUE, SETTINGS

PATIENCE = 240
STATUS = dg.DagsterRunStatus
SUCCESS, FAILURE = STATUS.SUCCESS, STATUS.FAILURE
# Long enough that a run of them can be interrupted.
PART = (
    "raw.customers",
    "raw.orders",
    "raw.products",
    "stg.customers",
    "stg.orders",
    "stg.products",
)
WAITING = {STATUS.QUEUED, STATUS.NOT_STARTED, STATUS.STARTING}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def started(reachable_tmp: Path, day: Shop) -> Iterator[Stack]:
    """Dagster and two workers: of two processes, and of eight."""
    folder = reachable_tmp / "deployment"
    with stack(folder, day, ECOMMERCE_EXECUTOR="celery") as running:
        running.start_all(2, 8)
        yield running
    assert eventually(lambda: not processes_of(folder)), processes_of(folder)


@pytest.fixture
def deployed(started: Stack) -> Stack:
    """The same, with no table in the lake and all workers up."""
    return renewed(started)


def renewed(started: Stack) -> Stack:
    """Start the workers that were killed, and empty the lake."""
    for number, processes in ((1, 2), (2, 8)):
        if f"worker{number}" not in started.running:
            started.start("worker", number, processes)
    assert eventually(
        lambda: len(started.celery.control.ping(timeout=2, limit=2)) == 2, PATIENCE
    ), started.logs()
    empty_lake(started)
    return started


def begun(deployed: Stack, *more: str) -> str:
    """A run of some assets, of which the first one is built."""
    run = deployed.materialize(DAY, *PART, *more)
    built = dg.DagsterEventType.ASSET_MATERIALIZATION
    with deployed.instance() as instance:
        assert eventually(lambda: instance.all_logs(run, of_type=built), PATIENCE), deployed.logs()
    return run


def part_of(shop: Shop, *more: str) -> dict[str, tuple[int, int]]:
    """What that run comes to in one process, on a DuckDB file."""
    return {name: rows for name, rows in shop.tables().items() if name in {*PART, *more}}


def statuses(deployed: Stack, run: str) -> list[dg.DagsterRunStatus]:
    """How a run and its repetitions ended."""
    return [found.status for found in ended(deployed, run, PATIENCE)]


def succeed_at_last(deployed: Stack, run: str) -> None:
    """A step that was interrupted while it began or was recorded fails, and Dagster repeats no run
    for that: start another one, as a user would."""
    if statuses(deployed, run)[-1] != SUCCESS:
        another = deployed.materialize(DAY, *PART)
        assert statuses(deployed, another)[-1] == SUCCESS, deployed.logs()


@pytest.fixture(scope="module")
def whole_run(started: Stack) -> tuple[str, dict[str, tuple[int, int]]]:
    """A run of everything that has succeeded, and the tables that it has made."""
    run = started.materialize(DAY)
    assert statuses(started, run) == [SUCCESS], started.logs()
    return run, lake_tables(started)


def test_a_run_is_executed_by_a_process_of_a_worker(
    whole_run: tuple[str, dict[str, tuple[int, int]]], started: Stack, day: Shop
) -> None:
    assert whole_run[1] == day.tables()
    assert started.waiting_tasks() == 0


def test_a_run_that_kills_its_workers_fails_at_last_and_says_why(deployed: Stack) -> None:
    run = deployed.materialize(DAY)
    for deaths in range(3):
        assert eventually(lambda n=deaths: len(started_runs(deployed, run)) > n, PATIENCE)  # type: ignore[misc]
        deployed.kill_a_process()
    runs = ended(deployed, run, PATIENCE)
    assert [each.status for each in runs] == [FAILURE] * 3, deployed.logs()
    with deployed.instance() as instance:
        [event] = instance.all_logs(runs[-1].run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert "the worker that executed it was lost: killed, out of memory" in event.message


def started_runs(deployed: Stack, run: str) -> list[str]:
    """A run and those that repeat it, as far as a worker has begun with them."""
    with deployed.instance() as instance:
        group = instance.get_run_group(run)
        assert group is not None
        return [each.run_id for each in group[1] if each.status not in WAITING]


def test_when_a_worker_is_killed_another_one_does_the_rest(deployed: Stack, day: Shop) -> None:
    run = begun(deployed)
    holder = deployed.holder()
    deployed.kill(holder)
    assert statuses(deployed, run) == [FAILURE, SUCCESS], deployed.logs()
    assert lake_tables(deployed) == part_of(day)


def test_when_the_broker_is_killed_nothing_is_lost(deployed: Stack, day: Shop) -> None:
    run = begun(deployed)
    deployed.broker.kill()
    deployed.broker.start()
    succeed_at_last(deployed, run)
    assert lake_tables(deployed) == part_of(day)


def test_when_the_database_is_killed_nothing_is_lost(deployed: Stack, day: Shop) -> None:
    run = begun(deployed)
    deployed.restart_database()
    succeed_at_last(deployed, run)
    assert lake_tables(deployed) == part_of(day)


def test_when_the_store_is_out_of_order_nothing_is_lost(deployed: Stack, day: Shop) -> None:
    run = begun(deployed)
    deployed.outage.left = 20
    assert statuses(deployed, run)[-1] == SUCCESS, deployed.logs()
    assert deployed.outage.left < 0
    assert lake_tables(deployed) == part_of(day)


def test_terminate_ends_a_run_and_its_worker_takes_the_next_one(deployed: Stack, day: Shop) -> None:
    run = begun(deployed)
    deployed.terminate(run)
    assert statuses(deployed, run) == [STATUS.CANCELED], deployed.logs()
    with deployed.instance() as instance:
        repeated = instance.all_logs(run, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
    assert not repeated
    assert eventually(lambda: not deployed.holders() and not deployed.waiting_tasks(), PATIENCE)
    again = deployed.materialize(DAY, *PART)
    assert statuses(deployed, again) == [SUCCESS], deployed.logs()
    assert lake_tables(deployed) == part_of(day)
    assert statuses(deployed, run) == [STATUS.CANCELED], deployed.logs()


def test_terminate_drops_a_run_that_waits_for_a_worker(deployed: Stack) -> None:
    for name in ("worker1", "worker2"):
        deployed.kill(name)
    run = deployed.materialize(DAY, *PART)
    assert eventually(lambda: is_sent(deployed, run), PATIENCE), deployed.logs()
    deployed.terminate(run, force=True)
    assert statuses(deployed, run) == [STATUS.CANCELED], deployed.logs()
    deployed.start("worker", 1, 2)
    assert eventually(lambda: deployed.waiting_tasks() == 0, PATIENCE), deployed.logs()
    assert eventually(lambda: not deployed.holders(), PATIENCE), deployed.logs()
    assert statuses(deployed, run) == [STATUS.CANCELED], deployed.logs()
    assert lake_tables(deployed) == {}


def is_sent(deployed: Stack, run: str) -> bool:
    """Whether the task of a run is in the queue."""
    with deployed.instance() as instance:
        found = instance.get_run_by_id(run)
    assert found is not None
    return "dagster-celery/task_id" in found.tags and deployed.waiting_tasks() > 0


def test_celery_s_own_tools_see_the_workers_and_their_runs(deployed: Stack, day: Shop) -> None:
    assert "2 nodes online." in deployed.celery_says("inspect", "ping")
    # Commands of Celery take seconds, in which the run goes on.
    more = ("raw.order_items", "raw.product_variants", "stg.product_variants", "stg.order_items")
    run = begun(deployed, *more)
    active = deployed.celery_says("inspect", "active")
    assert "execute_job" in active
    assert run in active
    # What ends a process of a worker behind Dagster's back is noticed by its run monitoring.
    [task] = re.findall(r"'id': '([\w-]+)'", active)
    deployed.celery.control.revoke(task, terminate=True, signal="SIGKILL")
    assert statuses(deployed, run) == [FAILURE, SUCCESS], deployed.logs()
    assert lake_tables(deployed) == part_of(day, *more)


def test_flower_shows_the_workers_and_their_runs(deployed: Stack) -> None:
    with deployed.flower() as address:

        def shown(path: str) -> str:
            try:
                with urlopen(address + path, timeout=10) as answer:
                    return str(answer.read().decode())
            except OSError:
                return ""

        assert eventually(lambda: all(f"worker{n}@" in shown("/workers") for n in (1, 2)), PATIENCE)

        def a_run_is_shown() -> bool:
            run = deployed.materialize(DAY, "raw.customers")
            assert statuses(deployed, run) == [SUCCESS], deployed.logs()
            return eventually(lambda: run in shown("/api/tasks"), 5)

        # A worker tells what it does some seconds after Flower has asked it to.
        assert any(a_run_is_shown() for _ in range(10))
        [task, *_] = json.loads(shown("/api/tasks")).values()
        assert (task["name"], task["state"]) == ("execute_job", "SUCCESS")


def test_a_thousand_tasks_leave_no_lock_behind(
    whole_run: tuple[str, dict[str, tuple[int, int]]], deployed: Stack
) -> None:
    run, _ = whole_run
    with deployed.instance() as instance:
        found = instance.get_run_by_id(run)
        assert found is not None
        origin = found.job_code_origin
        assert origin is not None
        packed = pack_value(ExecuteRunArgs(origin, run, instance_ref=None))
    before = locks(deployed)
    with deployed.celery as app:
        for _ in range(1000):
            app.send_task("execute_job", (), {"execute_job_args_packed": packed}, queue=QUEUE)
    assert eventually(lambda: not deployed.waiting_tasks(), PATIENCE)
    assert eventually(lambda: not deployed.holders(), PATIENCE)
    assert eventually(lambda: locks(deployed) == before, PATIENCE), (before, locks(deployed))


def locks(deployed: Stack) -> int:
    """The locks in Dagster's database."""
    with psycopg.connect(deployed.dagster.dsn) as connection:
        row = connection.execute("SELECT count(*) FROM pg_locks").fetchone()
    assert row is not None
    return int(row[0])


class Bomb:
    """What a pickled message could do."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_a_pickled_task_is_refused(deployed: Stack, tmp_path: Path) -> None:
    with Connection(deployed.broker.url) as connection:
        connection.Producer().publish(
            Bomb(tmp_path / "harm"),
            serializer="pickle",
            routing_key="dagster",
            headers={"task": "execute_job", "id": "1"},
        )
    assert eventually(lambda: "pickle" in deployed.log("worker1") + deployed.log("worker2"))
    assert not (tmp_path / "harm").exists()
    assert len(deployed.celery.control.ping(timeout=2, limit=2)) == 2


def test_a_pickled_result_is_refused(deployed: Stack, tmp_path: Path) -> None:
    app = Celery(broker=deployed.broker.url, backend="rpc://", config_source=SETTINGS)
    result = app.send_task("nobody's", queue="nobody")
    with Connection(deployed.broker.url) as connection:
        connection.Producer().publish(
            Bomb(tmp_path / "harm"),
            serializer="pickle",
            routing_key=app.thread_oid,
            correlation_id=result.id,
        )
    with pytest.raises(ContentDisallowed, match="pickle"):
        result.get(timeout=PATIENCE)
    assert not (tmp_path / "harm").exists()


def test_the_password_of_the_broker_is_nowhere(deployed: Stack) -> None:
    secret = deployed.broker.url.partition("dagster:")[2].partition("@")[0]
    logs = [log.read_text(errors="replace") for log in deployed.folder.glob("*.log")]
    assert logs
    assert not [log for log in logs if secret in log or PASSWORD in log]
    started = [Path(f"/proc/{each.pid}/cmdline").read_text() for each in deployed.running.values()]
    assert not [command for command in started if secret in command]
    with deployed.instance() as instance:
        assert not [run for run in instance.get_runs() if secret in str(run)]


def test_steps_as_tasks_come_to_the_same_tables(deployed: Stack, day: Shop) -> None:
    for service in ("code", "daemon"):
        deployed.kill(service)
    deployed.variables = {**deployed.variables, "ECOMMERCE_EXECUTOR": "celery_steps"}
    for service in ("code", "daemon"):
        deployed.start(service)
    deployed.await_health("code")
    for _ in range(5):
        run = begun(renewed(deployed))
        deployed.kill(deployed.holder())
        found = statuses(deployed, run)
        assert lake_tables(deployed) == part_of(day)
        # A worker may have been killed between two steps: then another one does the rest.
        if found != [SUCCESS]:
            break
    assert found == [FAILURE, SUCCESS], deployed.logs()
