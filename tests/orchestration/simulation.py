"""A shop whose source changes day by day, while only the sensor and the schedule follow.

How they are made to follow is a subclass's: `InProcess` calls their ticks itself, `ByDaemon` waits
until a daemon has. `Simulation.differences` compares the outcome with a rebuild of everything.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from unittest import mock

import dagster as dg

from ecommerce_dagster import build_defs, local
from orchestration.helpers import QUIET, Shop, failures, tables
from orchestration.shop_life import ShopLife

LAYERS = ("raw", "stg", "mart")
SENSOR, SCHEDULE = "orders_performance_pg_default_changes", "orders_performance_schedule"


@dataclass
class Figures:
    """What was asked for, beside what had changed."""

    runs: int = 0
    days_changed: int = 0
    days_requested: int = 0
    nights: int = 0
    surprises: list[str] = field(default_factory=list)


class Simulation(ABC):
    """The life of a shop, and how well it is followed."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop, self.life, self.figures = shop, ShopLife(shop, seed), Figures()

    def day(self, rounds: int) -> None:
        """Changes, each noticed by the sensor, and the schedule at night."""
        for _ in range(rounds):
            self.life.change()
            self.look()
        self.night()

    def look(self) -> None:
        """The sensor looks; what it asks for is run, and must be what changed."""
        changed, requested = sorted(self.life.touched), sorted(self.sensor_runs())
        if requested != changed:
            told = [[str(day) for day in days] for days in (changed, requested)]
            self.figures.surprises.append("{} changed, {} requested".format(*told))
        self.figures.days_changed += len(changed)
        self.figures.days_requested += len(requested)
        self.life.touched = set()

    def night(self) -> None:
        """The day ends, and the schedule runs it."""
        self.life.today += timedelta(days=1)
        midnight = datetime.combine(self.life.today, time.min, UTC)
        self.figures.nights += len(self.schedule_runs(midnight))

    @abstractmethod
    def sensor_runs(self) -> list[date]:
        """Have what the sensor asks for run. The days that it asked for."""

    @abstractmethod
    def schedule_runs(self, midnight: datetime) -> list[date]:
        """Have what the schedule asks for at that midnight run. The days that it asked for."""

    def differences(self) -> list[str]:
        """The staging tables and marts that are not as a rebuild of everything makes them."""
        anew = self.shop.home / "anew.duckdb"
        followed = tables(self.shop.warehouse)
        outcome = self.shop.invoke(
            *("run", "--full-refresh", "--selector", " ".join(f"{layer}.*" for layer in LAYERS)),
            DUCKDB_PATH=str(anew),
        )
        assert outcome.succeeded, outcome.text
        return [
            f"{name}: {followed.get(name)} instead of {rows}"
            for name, rows in tables(anew).items()
            if name.startswith(("stg.", "mart.")) and followed.get(name) != rows
        ]


def days_of(tags: Mapping[str, str]) -> list[date]:
    """The days that a run with these tags is about."""
    first = tags.get("dagster/asset_partition_range_start")
    if first is None:
        return []
    start = date.fromisoformat(first)
    end = date.fromisoformat(tags["dagster/asset_partition_range_end"])
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


class InProcess(Simulation):
    """Ticks and runs in this process: quick, and without Dagster's daemon, queue and clock."""

    def __init__(self, shop: Shop, seed: int, instance: dg.DagsterInstance) -> None:
        super().__init__(shop, seed)
        self.instance, self.cursor = instance, ""

    @contextmanager
    def definitions(self) -> Iterator[dg.Definitions]:
        with mock.patch.dict(os.environ, self.shop.environment, clear=True):
            os.environ["DUCKDB_PATH"] = str(self.shop.warehouse)
            yield build_defs(local.PIPELINE)

    def sensor_runs(self) -> list[date]:
        with self.definitions() as definitions:
            resources = {"pg_default": (definitions.resources or {})["pg_default"]}
            sensor = definitions.resolve_sensor_def(SENSOR)
            with dg.build_sensor_context(
                self.instance, self.cursor or None, resources=resources, definitions=definitions
            ) as context:
                result = sensor.evaluate_tick(context)
            self.cursor = result.cursor or self.cursor
            requested: list[date] = []
            for request in result.run_requests or []:
                requested += self._run(definitions, request, request.asset_selection or ())
        return requested

    def schedule_runs(self, midnight: datetime) -> list[date]:
        requested: list[date] = []
        with self.definitions() as definitions:
            schedule = definitions.resolve_schedule_def(SCHEDULE)
            # Dagster hands over instances on a disk only, and those take most of a test's time.
            here = mock.patch.object(dg.ScheduleEvaluationContext, "instance", self.instance)
            with here, dg.build_schedule_context(scheduled_execution_time=midnight) as context:
                result = schedule.evaluate_tick(context)
            everything = [spec.key for spec in definitions.resolve_all_asset_specs()]
            by_schedule = {"dagster/schedule_name": SCHEDULE}
            for request in result.run_requests or []:
                requested += self._run(definitions, request, everything, by_schedule)
        return requested

    def _run(
        self,
        definitions: dg.Definitions,
        request: dg.RunRequest,
        keys: Iterable[dg.AssetKey],
        more_tags: Mapping[str, str] | None = None,
    ) -> list[date]:
        job = definitions.resolve_implicit_global_asset_job_def()
        tables = {key for key in keys if key.path[0] in LAYERS}
        tags = {**request.tags, **(more_tags or {}), "dagster/run_key": str(request.run_key)}
        result = job.get_subset(asset_selection=tables).execute_in_process(
            instance=self.instance, tags=tags, run_config=QUIET, raise_on_error=False
        )
        self.figures.runs += 1
        if not result.success:
            self.figures.surprises.append(f"{request.run_key} failed: {failures(result)}")
        return days_of(tags)
