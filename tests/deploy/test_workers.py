"""The deployment with two workers, of which one dies: the tables are those of a plain run."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import dagster as dg
import pytest
from orchestration.helpers import DAY, Shop, eventually, processes_of

from deploy.machine import ended, lake_tables, stack
from deploy.stack import Stack

PATIENCE = 240


@pytest.mark.timeout(900)
def test_the_tables_are_right_although_workers_die(reachable_tmp: Path, day: Shop) -> None:
    folder = reachable_tmp / "deployment"
    with stack(folder, day, ECOMMERCE_EXECUTOR="celery") as deployed:
        deployed.start_all(workers=2)

        run = deployed.materialize(DAY)
        dead = stopped(deployed, run, after=4)
        deployed.kill(dead)
        left = stopped(deployed, run, after=8)
        assert {dead, left} == {"worker1", "worker2"}
        deployed.kill_a_process_of(left)
        deployed.signal(left, signal.SIGCONT)

        assert ended(deployed, run, PATIENCE) == dg.DagsterRunStatus.SUCCESS, deployed.logs()
        assert lake_tables(deployed) == day.tables()
        assert deployed.waiting_tasks() == 0
    assert eventually(lambda: not processes_of(folder)), processes_of(folder)


def stopped(deployed: Stack, run: str, *, after: int) -> str:
    """A worker with a step in its hands, which it has stopped to work at, when a number of assets
    are built."""
    with deployed.instance() as instance:

        def built() -> int:
            return len(instance.all_logs(run, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION))

        assert eventually(lambda: built() >= after, PATIENCE, pause=0.5), deployed.logs()
    for _ in range(1000):
        for name in deployed.holders():
            deployed.signal(name, signal.SIGSTOP)
            if name in deployed.holders():
                return name
            deployed.signal(name, signal.SIGCONT)
        time.sleep(0.2)
    raise AssertionError(deployed.logs())
