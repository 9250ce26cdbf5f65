"""ECOMMERCE_EXECUTOR: where the steps of a run are executed."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from unittest import mock

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._serdes import serialize_value

from ecommerce_dagster.bruin.problems import ProjectError
from ecommerce_dagster.deploy import executor_setting
from ecommerce_dagster.deploy.launcher import ServedRunLauncher
from ecommerce_dagster.orchestration.run_launcher import LocalRunLauncher, run_heartbeat
from orchestration.helpers import NewShop, Shop, Tiny, findings

LAKE = """
environments:
  default:
    connections:
      duckdb:
        - name: duckdb-default
          lakehouse:
            format: ducklake
            catalog: {type: postgres, host: h, database: d, auth: {username: u, password: p}}
            storage: {path: lake}
"""
BROKER = "amqp://dagster:secret@nowhere.invalid:5672//"
DAYS = "schedule: daily\nstart_date: 2026-01-01\n"
BY_DAY = """
materialization: {type: table, strategy: time_interval, incremental_key: at, time_granularity: date}
columns: [{name: at, type: date}]
"""


def executor_name(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, value: str) -> str:
    monkeypatch.setenv("ECOMMERCE_EXECUTOR", value)
    return tiny.definitions().resolve_job_def("tiny").executor_def.name


@pytest.mark.parametrize(
    ("value", "executor"),
    [
        ("", "in_process"),
        ("in_process", "in_process"),
        ("multiprocess", "multiprocess"),
        # A worker executes the run, and its steps in the same process.
        ("celery", "in_process"),
        ("celery_steps", "celery_steps"),
        ("k8s", "k8s"),
    ],
)
def test_the_setting_chooses_the_executor(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, value: str, executor: str
) -> None:
    tiny.write(".bruin.yml", LAKE)
    tiny.sql("stg.x", "SELECT 1 AS x")
    monkeypatch.setenv("ECOMMERCE_CELERY_BROKER", BROKER)
    assert executor_name(tiny, monkeypatch, value) == executor


def test_a_value_that_means_nothing_is_an_error(tiny: Tiny) -> None:
    tiny.sql("stg.x", "SELECT 1 AS x")
    outcome = tiny.ecommerce("validate", ECOMMERCE_EXECUTOR="multiproces")
    assert outcome.code == 1
    assert "ECOMMERCE_EXECUTOR is 'multiproces'; did you mean 'multiprocess'?" in outcome.text
    outcome = tiny.ecommerce("validate", ECOMMERCE_PARTITIONS_PER_RUN="many")
    assert outcome.code == 1
    assert "ECOMMERCE_PARTITIONS_PER_RUN is 'many'; expected a number from 1 on" in outcome.text


@pytest.mark.parametrize("value", ["celery", "celery_steps", "k8s"])
def test_workers_cannot_share_a_duckdb_file(tiny: Tiny, value: str) -> None:
    tiny.sql("stg.x", "SELECT 1 AS x")
    outcome = tiny.ecommerce("validate", ECOMMERCE_EXECUTOR=value, ECOMMERCE_CELERY_BROKER=BROKER)
    assert outcome.code == 1
    assert (
        ".bruin.yml:7: error: the tables of the connection 'duckdb-default' are in a file, which workers "
        "on other machines cannot share; make it a lakehouse whose catalogue is in postgres, or "
        "set ECOMMERCE_EXECUTOR to in_process"
    ) in findings(outcome)[0]


def test_a_lake_whose_catalogue_is_a_file_cannot_be_shared_either(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write(".bruin.yml", LAKE.replace("type: postgres, host: h,", "type: sqlite, path: c,"))
    tiny.sql("stg.x", "SELECT 1 AS x")
    monkeypatch.setenv("ECOMMERCE_CELERY_BROKER", BROKER)
    with pytest.raises(ProjectError, match="are in a file"):
        executor_name(tiny, monkeypatch, "celery")


def test_processes_that_wait_for_each_other_are_a_warning(tiny: Tiny) -> None:
    tiny.sql("stg.x", "SELECT 1 AS x")
    outcome = tiny.ecommerce("validate", ECOMMERCE_EXECUTOR="multiprocess")
    assert outcome.succeeded
    assert "steps wait for each other; in_process is faster" in outcome.text


def test_an_executor_that_is_not_installed_says_how_to_get_it(tiny: Tiny) -> None:
    tiny.write(".bruin.yml", LAKE)
    tiny.sql("stg.x", "SELECT 1 AS x")
    with mock.patch.object(
        executor_setting, "find_spec", lambda name: None if "celery" in name else find_spec(name)
    ):
        outcome = tiny.ecommerce("validate", ECOMMERCE_EXECUTOR="celery")
    assert outcome.code == 1
    assert 'which needs pip install "ecommerce-dagster[celery]"' in outcome.text


@pytest.mark.parametrize("value", ["celery", "celery_steps"])
def test_celery_says_what_it_needs_of_the_environment(tiny: Tiny, value: str) -> None:
    tiny.write(".bruin.yml", LAKE)
    tiny.sql("stg.x", "SELECT 1 AS x")
    outcome = tiny.ecommerce("validate", ECOMMERCE_EXECUTOR=value)
    assert outcome.code == 1
    assert (
        f"ECOMMERCE_EXECUTOR is {value}, which needs ECOMMERCE_CELERY_BROKER: "
        "amqp://user:password@host:5672//, each special character of the password as %XX"
    ) in outcome.text


def test_the_password_of_the_broker_is_in_no_configuration(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write(".bruin.yml", LAKE)
    tiny.sql("stg.x", "SELECT 1 AS x")
    monkeypatch.setenv("ECOMMERCE_CELERY_BROKER", BROKER)
    monkeypatch.setenv("ECOMMERCE_EXECUTOR", "celery_steps")
    job = tiny.definitions().resolve_job_def("tiny")
    assert job.executor_def.name == "celery_steps"
    assert "secret" not in serialize_value(job.get_job_snapshot())


def test_executors_that_are_not_chosen_are_not_imported(tiny: Tiny) -> None:
    tiny.sql("stg.x", "SELECT 1 AS x")
    for name in ("dagster_celery", "dagster_k8s", "celery", "kubernetes"):
        sys.modules.pop(name, None)
    tiny.definitions()
    assert not {"dagster_celery", "dagster_k8s", "celery", "kubernetes"} & sys.modules.keys()


@pytest.mark.parametrize(
    ("variables", "partitions"),
    [
        ({}, None),
        ({"ECOMMERCE_EXECUTOR": "multiprocess"}, None),
        ({"ECOMMERCE_EXECUTOR": "celery"}, 1),
        ({"ECOMMERCE_EXECUTOR": "celery_steps"}, 1),
        ({"ECOMMERCE_EXECUTOR": "celery", "ECOMMERCE_PARTITIONS_PER_RUN": "7"}, 7),
        ({"ECOMMERCE_PARTITIONS_PER_RUN": "30"}, 30),
    ],
)
def test_a_backfill_is_one_run_or_so_many_that_workers_share_it(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], partitions: int | None
) -> None:
    tiny.write(".bruin.yml", LAKE)
    tiny.write("pipeline/pipeline.yml", f"name: tiny\n{DAYS}")
    tiny.sql("stg.x", "SELECT DATE '2026-01-01' AS at", BY_DAY, table=False)
    for name, value in {"ECOMMERCE_CELERY_BROKER": BROKER, **variables}.items():
        monkeypatch.setenv(name, value)
    asset = tiny.definitions().resolve_asset_graph().get(dg.AssetKey(["stg", "x"]))
    expected = (
        dg.BackfillPolicy.multi_run(partitions) if partitions else dg.BackfillPolicy.single_run()
    )
    assert asset.backfill_policy == expected


def test_processes_for_each_step_build_the_same_tables(day: Shop, new_shop: NewShop) -> None:
    shop = new_shop(like=day)
    shop.source("UPDATE customers SET country = 'Peru', updated_at = clock_timestamp()")
    outcome = shop.run(
        "dagster",
        *("asset", "materialize", "-m", "ecommerce_dagster.definitions"),
        *(
            "--select",
            'key:"raw/customers" or key:"stg/customers" or key:"mart/customers_by_country"',
        ),
        ECOMMERCE_EXECUTOR="multiprocess",
        DAGSTER_HOME=str(shop.home / "dagster"),
    )
    assert outcome.succeeded, outcome.text
    assert shop.query("SELECT country, total_customers FROM mart.customers_by_country") == [
        ("Peru", 100)
    ]
    assert len(shop.events(dg.DagsterEventType.STEP_WORKER_STARTED)) == 3
    assert not list((shop.home / "dagster" / "running").iterdir())


def test_the_local_postgres_is_for_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from ecommerce_dagster.definitions import defs

    monkeypatch.setenv("POSTGRES_HOST", "")
    monkeypatch.setenv("ECOMMERCE_EXECUTOR", "multiprocess")
    with pytest.raises(
        ValueError, match="would end with the step that started it; set POSTGRES_HOST"
    ):
        defs()


class TestWhetherARunIsAlive:
    @pytest.fixture
    def instance(self, tmp_path: Path) -> dg.DagsterInstance:
        return dg.DagsterInstance.local_temp(str(tmp_path))

    def run(self, instance: dg.DagsterInstance, **options: str) -> dg.DagsterRun:
        return dg.DagsterRun(
            job_name="j", run_id="r", status=dg.DagsterRunStatus.STARTED, tags=options
        )

    def test_a_step_that_ends_does_not_end_its_run(self, instance: dg.DagsterInstance) -> None:
        launcher = LocalRunLauncher()
        launcher.register_instance(instance)
        file = Path(instance.root_directory, "running", "r")
        with run_heartbeat(instance, "r"):
            with run_heartbeat(instance, "r"):
                pass
            assert file.exists()
            health = launcher.check_run_worker_health(self.run(instance))
            assert health.status == WorkerStatus.RUNNING
        assert not file.exists()

    def test_a_run_that_starts_or_ends_while_it_is_asked_about_is_alive(
        self, instance: dg.DagsterInstance
    ) -> None:
        """Two processes of one run come and go a thousand times; a monitor asks all the while."""
        launcher = LocalRunLauncher()
        launcher.register_instance(instance)
        file, run = Path(instance.root_directory, "running", "r"), self.run(instance)
        found_dead, without_file, has_ended = list[str | None](), list[int](), Event()

        def monitor() -> None:
            while not has_ended.is_set():
                health = launcher.check_run_worker_health(run)
                if health.status != WorkerStatus.RUNNING:
                    found_dead.append(health.msg)

        def process() -> None:
            for number in range(1000):
                with run_heartbeat(instance, "r"):
                    if not file.exists():
                        without_file.append(number)

        with ThreadPoolExecutor(3) as threads:
            asked = threads.submit(monitor)
            for ended in [threads.submit(process), threads.submit(process)]:
                ended.result()
            has_ended.set()
            asked.result()
        assert (found_dead, without_file, file.exists()) == ([], [], False)

    def test_a_run_whose_process_was_killed_is_dead_once(
        self, instance: dg.DagsterInstance
    ) -> None:
        launcher = LocalRunLauncher()
        launcher.register_instance(instance)
        holder = (
            "import os, sys, types\n"
            "from ecommerce_dagster.orchestration.run_launcher import run_heartbeat\n"
            "with run_heartbeat(types.SimpleNamespace(root_directory=sys.argv[1]), 'r'):\n"
            "    os.kill(os.getpid(), 9)\n"
        )
        folder = instance.root_directory
        killed = subprocess.run([sys.executable, "-c", holder, folder], check=False)
        assert killed.returncode == -9
        health = [launcher.check_run_worker_health(self.run(instance)) for _ in range(2)]
        assert [each.status for each in health] == [WorkerStatus.FAILED, WorkerStatus.RUNNING]
        assert health[0].msg == "the process of the run is gone"

    def test_a_run_of_a_server_that_does_not_answer_counts_as_alive(
        self, instance: dg.DagsterInstance
    ) -> None:
        launcher = ServedRunLauncher()
        launcher.register_instance(instance)
        known = self.run(instance, **{"dagster/grpc_info": '{"host": "localhost", "port": 1}'})
        instance.add_run(known)
        assert launcher.check_run_worker_health(known).status == WorkerStatus.RUNNING
