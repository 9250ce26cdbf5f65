"""Who follows a source: the sensor's ticks, and the runs that it requests, in this process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from unittest import mock

import dagster as dg

from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.orchestration.build import definitions_of, load_project
from orchestration.helpers import QUIET, Tiny, config_with_source, failures, materialized
from orchestration.histories.plan import Plan
from orchestration.histories.servers import Own, Shared

SENSOR = "story_pg_changes"
_true_time = time.time


@dg.job
def anything() -> None: ...


@dataclass(frozen=True)
class Lost:
    """The partitions of orders, in microseconds since 1970, of a run that came to nothing."""

    first: int
    end: int
    is_cancelled: bool


@dataclass
class Tick:
    """What a tick led to: why nothing was requested, or what the runs built and why they failed."""

    reason: str = ""
    runs: int = 0
    built: list[set[str]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    error: str = ""
    lost: list[Lost] = field(default_factory=list)
    repeated: list[tuple[int, int]] = field(default_factory=list)

    @property
    def says_nothing_changed(self) -> bool:
        return self.reason.startswith(("nothing changed", "no row changed"))

    @property
    def not_looked_at(self) -> str:
        """The part of the reason that names sources which were not looked at."""
        parts = self.reason.split("; ")
        return "; ".join(part for part in parts[1:] if "in no partition" not in part)


class Follower:
    """The sensor of a pipeline with its cursor, and a warehouse."""

    def __init__(
        self, folder: Path, plan: Plan, server: Shared | Own, instance: dg.DagsterInstance
    ) -> None:
        self.tiny, self.plan, self.server, self.instance = Tiny(folder), plan, server, instance
        self.cursor: str | None = None
        self.before: str | None = None  # the cursor before the last tick
        self.ahead = timedelta()  # how far the sensor's clock is ahead
        self.on_built: Callable[[set[str]], None] = lambda assets: None
        self.doom = ""  # what happens to the next run
        self.meanwhile: Callable[[], object] | None = None  # done before the next run reads
        self.write()

    def write(self) -> None:
        """Write the files of the plan as it is now."""
        reader = self.server.reader
        self.tiny.write(
            ".bruin.yml",
            config_with_source(
                reader.host, reader.port, reader.password, reader.user, reader.database
            ),
        )
        files = self.plan.files()
        for file in self.tiny.directory.rglob("*.*"):
            if str(file.relative_to(self.tiny.directory)) not in files:
                file.unlink()
        for path, text in files.items():
            self.tiny.write(f"pipeline/{path}", text)
        self.__dict__.pop("definitions", None)

    @cached_property
    def definitions(self) -> dg.Definitions:
        return self.tiny.definitions()

    @property
    def clock(self) -> float:
        """The time that the sensor sees, in seconds since 1970."""
        return _true_time() + self.ahead.total_seconds()

    @property
    def is_waiting(self) -> bool:
        """Whether the sensor remembers runs that have not succeeded."""
        return bool(json.loads(self.cursor or "{}").get("asked"))

    def tick(self) -> Tick:
        """Let the sensor look, and execute what it requests."""
        tick = Tick()
        resources = {"pg": (self.definitions.resources or {})["pg"]}
        sensor = self.definitions.resolve_sensor_def(SENSOR)
        with (
            mock.patch("time.time", side_effect=lambda: self.clock),
            dg.build_sensor_context(
                self.instance, self.cursor, resources=resources, definitions=self.definitions
            ) as context,
        ):
            try:
                result = sensor.evaluate_tick(context)
            except Exception as error:
                cause = error.__cause__ or error
                tick.error = f"{type(cause).__name__}: {cause}"
                return tick
        self.before, self.cursor = self.cursor, result.cursor or self.cursor
        tick.reason = result.skip_message or ""
        for request in result.run_requests or []:
            self._run(request, tick)
        return tick

    def _run(self, request: dg.RunRequest, tick: Tick) -> None:
        """Execute a run that was requested, unless it was already, as Dagster does."""
        tags = {**request.tags, "dagster/run_key": str(request.run_key)}
        if self.instance.get_run_records(
            dg.RunsFilter(tags={"dagster/run_key": str(request.run_key)})
        ):
            return
        tick.runs += 1
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            happens()
        doom, self.doom = self.doom, ""
        keys = list(request.asset_selection or [])
        self._note_partitions(keys, tags, tick, doom)
        if doom in {"dies before it starts", "is cancelled"}:
            ends = dg.DagsterRunStatus.FAILURE if "dies" in doom else dg.DagsterRunStatus.CANCELED
            self.instance.create_run_for_job(anything, tags=tags, status=ends)
            return
        checks = set(request.asset_check_keys or ())
        if doom == "dies half way":
            keys = self._in_order(keys)[: len(keys) // 2]
            checks = {check for check in checks if check.asset_key in keys}
        if keys:
            self._execute(self.definitions, keys, tags, tick, checks)
        if doom == "dies half way" and not keys:
            self.instance.create_run_for_job(
                anything, tags=tags, status=dg.DagsterRunStatus.FAILURE
            )
        elif doom.startswith("dies"):
            self.instance.report_run_failed(self.instance.get_runs(limit=1)[0])

    def _note_partitions(
        self, keys: Sequence[dg.AssetKey], tags: Mapping[str, str], tick: Tick, doom: str
    ) -> None:
        """Note for which partitions a run would load orders, and whether it comes to nothing."""
        first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
        loads = self.plan.name("raw.orders") in {".".join(key.path) for key in keys}
        if not (loads and first and last):
            return
        window = self.plan.window(first, last)
        if doom:
            tick.lost.append(Lost(*window, is_cancelled=doom == "is cancelled"))
        else:
            tick.repeated.append(window)

    def _execute(
        self,
        found: dg.Definitions,
        keys: Sequence[dg.AssetKey],
        tags: Mapping[str, str],
        tick: Tick,
        checks: Set[dg.AssetCheckKey] | None = None,
    ) -> None:
        """Execute a run of some assets, and of `checks`, which may be those of other assets."""
        job = found.resolve_implicit_global_asset_job_def()
        part = job.get_subset(asset_selection=set(keys), asset_check_selection=checks)
        result = part.execute_in_process(
            instance=self.instance, tags=dict(tags), run_config=QUIET, raise_on_error=False
        )
        built = {name.replace("/", ".") for name in materialized(result)}
        tick.built.append(built)
        self.on_built(built)
        if not result.success:
            tick.failed |= failures(result)

    def _in_order(self, keys: Sequence[dg.AssetKey]) -> list[dg.AssetKey]:
        order = [self.plan.name(role) for role in self.plan.roles]
        return sorted(keys, key=lambda key: order.index(".".join(key.path)))

    def run_everything(self, tick: Tick, **tags: str) -> None:
        """A run as from a terminal: of every asset, of no partition."""
        project = load_project(self.tiny.directory)
        definitions = definitions_of(project, partitioned=False)
        keys = [asset_key(asset.name, project) for asset in project.assets]
        self._execute(definitions, keys, tags, tick)

    def run_again(self, role: str) -> None:
        """A run of one asset, by whoever has changed its query. It may fail while what it reads has
        another name, and is built with that then."""
        self._execute(
            self.definitions,
            [asset_key(self.plan.name(role), load_project(self.tiny.directory))],
            {},
            Tick(),
        )

    def rebuild(self, folder: Path) -> dict[str, str]:
        """Everything anew in the warehouse of another folder. What failed."""
        anew, tick = Follower(folder, self.plan, self.server, self.instance), Tick()
        anew.run_everything(tick, **{"bruin/full_refresh": "true"})
        return tick.failed
