"""Whoever ends a run ends it: what it is at work at is not tried again, whatever `retries` says."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import dagster as dg
import pytest

from ecommerce_dagster import build_defs
from orchestration.helpers import Tiny, clean_environment, eventually, processes_of, run_all, script

HOURS = "SELECT count(*) AS n FROM range(10000000000000) t(a) WHERE a % 7 = 3"
PYTHON = '''"""@bruin
name: main.slow
type: python
connection: duckdb-default
materialization:
  type: table
@bruin"""
import pathlib, time

def materialize():
    pathlib.Path({marker!r}).touch()
    time.sleep(3600)
'''


@pytest.fixture
def retrying(tiny: Tiny) -> Tiny:
    tiny.write("pipeline/pipeline.yml", "name: tiny\nretries: 2\n")
    tiny.sql("main.after", "SELECT 1 AS n", "depends: [main.slow]")
    return tiny


def at_work(tiny: Tiny, marker: Path) -> subprocess.Popen[str]:
    """`ecommerce run` in a process, of which an asset has begun."""
    process = subprocess.Popen(
        [script("ecommerce"), "run", "--pipeline", str(tiny.directory)],
        env=clean_environment(ECOMMERCE_HOME=str(tiny.folder / "state")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert eventually(lambda: marker.exists() or process.poll() is not None, 120)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["sql", "python"])
def test_a_run_with_retries_ends_when_it_is_told_to(
    retrying: Tiny, kind: str, number: signal.Signals
) -> None:
    marker = retrying.folder / "begun"
    if kind == "sql":
        hook = f"hooks:\n  pre:\n    - query: COPY (SELECT 1) TO '{marker}' (FORMAT csv)"
        retrying.sql("main.slow", HOURS, hook)
    else:
        retrying.write("pipeline/assets/slow.py", PYTHON.format(marker=str(marker)))
    process = at_work(retrying, marker)
    try:
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, stdout + stderr
    assert stderr.splitlines()[-1].startswith("Interrupted. 0 of 2 assets were finished")
    assert "Traceback" not in stdout + stderr
    assert eventually(lambda: not processes_of(marker)), processes_of(marker)


def test_what_fails_is_still_tried_again(retrying: Tiny, instance: dg.DagsterInstance) -> None:
    retrying.write(
        "pipeline/assets/slow.py",
        PYTHON.format(marker="begun").replace("time.sleep(3600)", "raise OSError('no network')"),
    )
    result = run_all(build_defs(retrying.directory), instance)
    kinds = [event.event_type_value for event in result.all_events]
    assert not result.success
    assert kinds.count("STEP_UP_FOR_RETRY") == 2
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "no network" in str(failure.step_failure_data.error)
