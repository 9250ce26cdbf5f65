"""The same life of a shop, followed by Dagster's daemon, with its queue and a process for each run.

Their clock is that of the simulation. It runs as fast as the true one, but can be put forward: to
the midnight at which the schedule ticks, and past the seconds that the sensor rests.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from orchestration.helpers import ROOT, Shop, eventually, free_port, script
from orchestration.simulation import SCHEDULE, SENSOR, Simulation, days_of

_REST = timedelta(seconds=10)  # between two looks of the sensor
_PATIENCE = 1800  # seconds for the runs of one round


class Clock:
    """A clock that can be put forward, for processes with its variables in their environment.

    `library` is libfaketime, of a version that leaves the monotonic clock alone. It reads its file
    once in a second: it has no lock, and of two threads that read at once one may get the true
    time (198 of 1,760,623 readings by four threads; none of 3,202,675 with the pause).
    """

    _PAUSE = 1  # seconds between two readings of the file

    def __init__(self, library: Path, file: Path, now: datetime) -> None:
        self._file = file
        self._offset = now.timestamp() - time.time()
        self.forward(timedelta())
        self.variables = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": str(self._PAUSE),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self._offset, UTC)

    def forward(self, by: timedelta) -> None:
        self._offset += by.total_seconds()
        new = self._file.with_suffix(".new")
        new.write_text(f"{self._offset:+.3f}")
        new.replace(self._file)
        time.sleep(self._PAUSE)


@contextmanager
def daemon(shop: Shop, first: str = SCHEDULE) -> Iterator[dg.DagsterInstance]:
    """A daemon over a shop, and the server of its code. (That of `ecommerce dev` ends when nobody
    gave a sign of life for twenty seconds, which is what a clock looks like that is put forward.) It
    runs when Dagster knows the schedule or sensor called `first`.
    """
    home, port = shop.home / "dagster", str(free_port())
    home.mkdir()
    shutil.copy(ROOT / "ecommerce_dagster" / "dagster.yaml", home)
    workspace = home / "workspace.yaml"
    workspace.write_text(f"load_from: [{{grpc_server: {{host: 127.0.0.1, port: {port}}}}}]\n")
    here = {"DAGSTER_HOME": str(home), "ECOMMERCE_WATCH": "1"}
    code = ("-m", "ecommerce_dagster.definitions", "-h", "127.0.0.1", "-p", port)
    with shop.instance() as instance, ExitStack() as stack:
        for name, *arguments in (
            ("dagster", "api", "grpc", *code),
            ("dagster-daemon", "run", "-w", str(workspace)),
        ):
            log = stack.enter_context((shop.home / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [script(name), *arguments],
                env={**shop.environment, **here},
                cwd=home,
                stdout=log,
                stderr=log,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        # From here on no midnight is missed.
        assert eventually(
            lambda: first in {s.instigator_name for s in instance.all_instigator_state()}, 180
        )
        yield instance


class ByDaemon(Simulation):
    """A daemon must be running over the shop, by the clock, which says the shop's today."""

    def __init__(self, shop: Shop, seed: int, instance: dg.DagsterInstance, clock: Clock) -> None:
        super().__init__(shop, seed)
        self.instance, self.clock = instance, clock
        self._known: set[str] = set()
        self._names = {"dagster/sensor_name": SENSOR, "dagster/schedule_name": SCHEDULE}

    def day(self, rounds: int) -> None:
        """As always, but the last change comes at midnight: sensor and schedule ask at once."""
        for _ in range(rounds - 1):
            self.life.change()
            self.look()
        self.life.change()
        self.night()
        self.look()

    def sensor_runs(self) -> list[date]:
        changed = self.clock.now
        self._await(lambda: self._has_looked_since(changed), "the sensor")
        return self._requested("dagster/sensor_name")

    def schedule_runs(self, midnight: datetime) -> list[date]:
        self.clock.forward(midnight + timedelta(seconds=5) - self.clock.now)
        self._await(lambda: self._has_ticked_at(midnight), "the schedule")
        return self._requested("dagster/schedule_name")

    def _await(self, condition: Callable[[], bool], whom: str) -> None:
        """Wait for a tick, and for all runs."""
        deadline = time.monotonic() + _PATIENCE
        while not (condition() and self._is_idle()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{whom} and its runs did not come to an end")
            time.sleep(0.5)
            if self._is_idle():
                self.clock.forward(_REST / 4)

    def _is_idle(self) -> bool:
        return all(run.is_finished for run in self.instance.get_runs(limit=50))

    def _has_looked_since(self, moment: datetime) -> bool:
        """Whether the sensor found nothing more to ask for."""
        ticks = self._ticks(SENSOR)
        return bool(ticks) and (
            ticks[0].timestamp > moment.timestamp()
            and str(ticks[0].skip_reason).startswith("nothing changed")
        )

    def _has_ticked_at(self, midnight: datetime) -> bool:
        done = {TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE}
        return any(
            tick.timestamp == midnight.timestamp() and tick.status in done
            for tick in self._ticks(SCHEDULE)
        )

    def _ticks(self, name: str) -> list[InstigatorTick]:
        for state in self.instance.all_instigator_state():
            if state.instigator_name == name:
                ticks = self.instance.get_ticks(
                    state.instigator_origin_id, state.selector_id, limit=2
                )
                self._check(ticks)
                return list(ticks)
        return []

    def _check(self, ticks: Sequence[InstigatorTick]) -> None:
        """No tick is later than the clock: Dagster would not tick again until then."""
        for tick in ticks:
            if tick.timestamp > self.clock.now.timestamp() + 60:
                raise RuntimeError(f"the clock ran ahead: a tick at {tick.timestamp}")

    def _requested(self, tag: str) -> list[date]:
        """The days of the runs with a tag that are new. All runs must have succeeded."""
        days: list[date] = []
        for run in self.instance.get_runs(dg.RunsFilter(tags={tag: self._names[tag]})):
            if run.run_id not in self._known:
                self._known.add(run.run_id)
                self.figures.runs += 1
                days += days_of(run.tags)
                if not run.is_success:
                    self.figures.surprises.append(f"{run.run_id} {run.status.value}: {run.tags}")
        return days
