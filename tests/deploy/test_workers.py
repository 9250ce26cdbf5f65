"""The deployment with two workers, of which one dies: the tables are those of a plain run."""

from __future__ import annotations

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
        dead = working(deployed, run, after=4)
        deployed.kill(dead)
        [left] = {"worker1", "worker2"} - {dead}
        assert working(deployed, run, after=8) == left
        deployed.kill_a_process_of(left)

        assert ended(deployed, run, PATIENCE) == dg.DagsterRunStatus.SUCCESS, deployed.logs()
        assert lake_tables(deployed) == day.tables()
        assert deployed.waiting_tasks() == 0
    assert eventually(lambda: not processes_of(folder)), processes_of(folder)


def working(deployed: Stack, run: str, *, after: int) -> str:
    """A worker that has a step in its hands, when a number of assets are built."""
    with deployed.instance() as instance:

        def built() -> int:
            return len(instance.all_logs(run, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION))

        assert eventually(lambda: built() >= after, PATIENCE, pause=0.5), deployed.logs()
    assert eventually(deployed.holders, PATIENCE), deployed.logs()
    return min(deployed.holders())
