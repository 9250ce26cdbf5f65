"""Draw a history, play it, find out where the tables are wrong, and make what fails short."""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import dagster as dg
import duckdb

from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres
from ecommerce_dagster.warehouses.duckdb.database import connected
from ecommerce_dagster.warehouses.duckdb.extensions import load_extension
from orchestration.histories.follower import Follower, Lost, Tick
from orchestration.histories.model import Model, compared, shown
from orchestration.histories.plan import SCHEDULES, Plan, drawn, floor
from orchestration.histories.servers import Own, Shared
from orchestration.histories.source import Row, Source

# How often each kind of action is drawn, of the source, of who follows it, and of servers.
OF_SOURCE = {
    "insert": 6, "update": 4, "update_key": 2, "move": 4, "odd": 2, "delete": 4, "uncounted": 2,
    "truncate": 1, "reload": 2, "swap": 1, "drop": 0.5, "add_column": 1, "late": 3,
    "late_savepoint": 1, "end_late": 4, "negative": 1, "orphan": 1, "repair": 2, "forbid": 0.7,
    "allow": 2, "stat_reset": 1, "vacuum": 1,
}  # fmt: skip
OF_FOLLOWER = {
    "tick": 14, "reset_sensor": 0.5, "lose_tick": 1, "die": 2, "schedule": 0.5, "start_date": 0.7,
    "rename": 0.5, "remove": 0.4, "add": 0.5, "run_everything": 0.5,
    "meanwhile": 2, "wait": 3,
}  # fmt: skip
OF_SERVER = {
    "restart": 2, "back_up": 3, "restore": 3, "new_cluster": 1, "standby": 3, "fail_over": 3,
}  # fmt: skip
DOOMS = ("dies before it starts", "dies half way", "dies after all", "is cancelled")
_PATIENCE = 12  # ticks until everything has to be quiet
# The sensor reads what has no counters every so many seconds, and a run that failed is requested
# again after so many at most (docs/time.md).
_BETWEEN_LOOKS, _LAST_RETRY = 300.0, 3600.0


@dataclass(frozen=True)
class Action:
    """One thing that happens. Its own seed makes it the same when others are left out."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.seed}"


class Wrong(Exception):
    """Something is wrong: the history ends here."""


@dataclass
class Played:
    """How a history went: what was wrong, and how much happened."""

    differences: list[str] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    ticks: int = 0
    runs: int = 0
    log: list[str] = field(default_factory=list)

    def wrong(self, kind: str, texts: Sequence[str]) -> None:
        """Note what is wrong. Nothing after it tells more."""
        self.differences += [f"{kind}: {text}" for text in texts]
        if texts:
            raise Wrong


@dataclass(frozen=True)
class History:
    """A pipeline and a list of actions, by a seed."""

    seed: int
    actions: tuple[Action, ...]
    own_server: bool
    tables_only: bool = False

    @classmethod
    def drawn(
        cls, seed: int, *, own_server: bool | None = None, tables_only: bool = False
    ) -> History:
        """The history of a seed. On a server of its own: one in ten, unless it is said; from plain
        tables alone on demand."""
        rng = random.Random(seed)
        own = rng.random() < 0.1 if own_server is None else own_server
        kinds = {**OF_SOURCE, **OF_FOLLOWER, **(OF_SERVER if own else {})}
        names, weights = list(kinds), list(kinds.values())
        length = rng.randint(6, 16)
        drawn = [*rng.choices(names, weights, k=length)]
        return cls(
            seed, tuple(Action(kind, rng.randrange(10**6)) for kind in drawn), own, tables_only
        )

    def plan(self) -> Plan:
        return drawn(random.Random(f"plan {self.seed}"), tables_only=self.tables_only)

    def __str__(self) -> str:
        return " ".join(map(str, self.actions))


@dataclass(frozen=True)
class Warehouses:
    """The warehouse that is followed and the one that is rebuilt, in the folders of two pipelines.

    While a connection is open, others to the same file open quickly and have its extensions.
    """

    folder: Path
    followed: duckdb.DuckDBPyConnection
    rebuilt: duckdb.DuckDBPyConnection

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Warehouses]:
        with ExitStack() as stack:
            found = []
            for name in ("followed", "rebuilt"):
                (folder / name).mkdir()
                file = folder / name / "warehouse.duckdb"
                found.append(stack.enter_context(connected(str(file))))
                load_extension(found[-1], "postgres_scanner")
            yield cls(folder, *found)

    def empty(self) -> None:
        for warehouse in (self.followed, self.rebuilt):
            # A source that a run of the last history left attached may be gone.
            warehouse.execute("DETACH DATABASE IF EXISTS _source")
            for (schema,) in warehouse.execute(
                "SELECT DISTINCT schema_name FROM duckdb_tables()"
                " WHERE database_name = current_database()"
            ).fetchall():
                warehouse.execute(f"DROP SCHEMA {schema} CASCADE")


class Stage:
    """The servers that histories are played on, one after the other."""

    def __init__(self, folder: Path, shared: Shared, warehouses: Warehouses) -> None:
        self.folder, self.shared, self.warehouses = folder, shared, warehouses
        self._played = 0

    def play(self, history: History) -> Played:
        """One history, from an empty source to the end."""
        self._played += 1
        self.warehouses.empty()
        # What runs log besides their events would take as long to keep as these do.
        quiet = {"python_logs": {"python_log_level": "CRITICAL"}}
        with (
            self._server(history) as server,
            dg.DagsterInstance.ephemeral(settings=quiet) as instance,
        ):
            return _Play(history, server, self.warehouses, instance).play()

    @contextmanager
    def _server(self, history: History) -> Iterator[Shared | Own]:
        if not history.own_server:
            self.shared.empty()
            yield self.shared
            return
        own = Own(self.folder / f"server-{self._played}", by_standby=history.seed % 3 == 0)
        try:
            yield own
        finally:
            own.stop()

    def shortened(self, history: History, kind: str, tries: int = 40) -> History:
        """The same with as few actions as have a difference of that kind."""
        step = max(1, len(history.actions) // 2)
        while step:
            at = 0
            while at < len(history.actions) and tries:
                tries -= 1
                actions = history.actions[:at] + history.actions[at + step :]
                shorter = replace(history, actions=actions)
                if any(kind_of(text) == kind for text in self.play(shorter).differences):
                    history = shorter
                else:
                    at += step
            step //= 2
        return history


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage with a server of its own, in memory where there is such a place."""
    memory = Path("/dev/shm")
    place = str(memory) if memory.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="histories-", dir=place) as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        # Copies for readers are not the point; what runs after the stage makes its own again.
        stack.enter_context(mock.patch.dict(os.environ, ECOMMERCE_PUBLISHED_COPY="off"))
        quiet = EmbeddedPostgres(folder / "shared", settings={"autovacuum": "off"})
        server = Shared(stack.enter_context(quiet))
        yield Stage(folder, server, stack.enter_context(Warehouses.opened(folder)))


def kind_of(difference: str) -> str:
    """What a difference is about: the situation, the table and the first words of a message."""
    text = re.sub(r"dagster\.\S+: |/\S+: |[\W\d]*\d[\W\d]*", " ", difference)
    return " ".join(text.split()[:7])


Snapshot = dict[str, list[Row]]


@dataclass
class Unrepeated:
    """Partitions of orders, in microseconds since 1970, that a run was lost for and no other one
    was requested for since.

    `at` is when, by the sensor's clock, and `before` what the sources held when the tick of that
    run began: a run that was cancelled waits for a change.
    """

    lost: Lost
    at: float
    before: Snapshot


class _Play:
    """A history that is being played.

    A table may be behind its source for a while, so that a check of references fails: where
    PostgreSQL counts no rows, until the sensor reads them again, and where a run was lost, until
    it is repeated. In the end all are equal.
    """

    def __init__(
        self,
        history: History,
        server: Shared | Own,
        warehouses: Warehouses,
        instance: dg.DagsterInstance,
    ) -> None:
        self.history, self.warehouses = history, warehouses
        self.plan, self.played = history.plan(), Played()
        self.source = Source(server, self.plan)
        self.source.create()
        server.catch_up()
        self.follower = Follower(warehouses.folder / "followed", self.plan, server, instance)
        self.model = Model(self.plan, self.source, warehouses.followed)
        self.follower.on_built = self.model.built
        self.rows: Snapshot = {}  # of the sources, as they were last
        self.changed: dict[str, float] = {}  # when they last changed, by the sensor's clock
        self.unrepeated: list[Unrepeated] = []
        # Of the last tick: when it began, and what the sources held then.
        self.began, self.before = self.follower.clock, self.rows
        self._note_changes()

    def play(self) -> Played:
        try:
            self._tick()
            for action in self.history.actions:
                self._act(action)
            self._end()
        except Wrong:
            pass
        finally:
            self.source.disconnect()
        return self.played

    def _act(self, action: Action) -> None:
        rng = random.Random(action.seed)
        if action.kind in OF_FOLLOWER:
            done = getattr(self, f"_{action.kind}")(rng) is not False
        else:
            done = self.source.act(action.kind, rng)
            self._note_changes()
        self.played.log.append(f"{action}{'' if done else ' (could not)'}")
        self.played.actions[action.kind] += done

    # Ticks.

    def _tick(self, rng: random.Random | None = None) -> Tick:
        """A tick with its runs, of which what it says and what they do is judged."""
        self.began, self.before = self.follower.clock, self.rows
        tick = self.follower.tick()
        self._note_changes()
        self._note_lost_runs(tick)
        self.played.ticks += 1
        self.played.runs += tick.runs
        self.played.log.append(
            f"  tick: {tick.error or tick.reason or tick.built} {tick.failed or ''}"
        )
        if tick.error and not self.source.forbidden:
            self.played.wrong("the tick raises", [tick.error])
        self.played.wrong("a run fails", self._unexplained(tick))
        if tick.says_nothing_changed and not self.follower.is_waiting and self.source.is_counted:
            behind = {
                f"raw.{name}"
                for name in self.plan.tables
                if self._rests(name) and self.plan.name(f"raw.{name}") in tick.not_looked_at
            }
            self.played.wrong("nothing changed is said", self._differences(behind))
        return tick

    def _note_changes(self) -> None:
        """Note what the sources hold, and which of them have changed just now."""
        before, self.rows = self.rows, {}
        for name, table in self.plan.tables.items():
            if name not in self.source.forbidden:
                self.rows[name] = self.source.rows(table)
                if not self._is_same(name, before, self.rows):
                    self.changed[name] = self.follower.clock

    def _is_same(self, name: str, before: Snapshot, after: Snapshot) -> bool:
        """Whether the rows of a source that are loaded have not changed."""
        if name not in before or name not in after:
            return False
        old, new = before[name], after[name]
        if self.plan.tables[name].is_windowed:
            old, new = self.model.within(old), self.model.within(new)
        return Counter(old) == Counter(new)

    def _note_lost_runs(self, tick: Tick) -> None:
        """Note the partitions that runs were lost for, and forget those that others were requested
        for since."""
        self.unrepeated = [
            each
            for each in self.unrepeated
            if not any(
                first <= each.lost.first and each.lost.end <= end for first, end in tick.repeated
            )
        ]
        self.unrepeated += [
            Unrepeated(lost, self.follower.clock, self.before) for lost in tick.lost
        ]

    def _rests(self, name: str) -> bool:
        """Whether the last tick may have left a source unread that had changed: PostgreSQL counts
        nothing of it, and the sensor may have read it shortly before."""
        counted = self.plan.tables[name].is_counted and not self.source.server.reads_standby
        return not counted and self.began < self.changed[name] + _BETWEEN_LOOKS

    def _is_behind(self, name: str) -> bool:
        """Whether a raw table may lack what its source has since the last tick began."""
        return self._rests(name) or not self._is_same(name, self.before, self.rows)

    def _unexplained(self, tick: Tick) -> list[str]:
        """What failed although nothing is wrong with the source."""
        if self.source.forbidden or not self.source.is_counted:
            return []
        rejected = self.source.has_bad_orders() or self.model.lost_outside()
        return [
            f"{step}: {message}"
            for step, message in tick.failed.items()
            if "blocking check" not in message
            or not (rejected or ("non_negative" not in message and self._only_behind()))
        ]

    def _only_behind(self) -> bool:
        """Whether orders lack their customers, but only because tables are behind their sources:
        in the sources each order is gone, or has its customer."""
        orphans = self.model.within(self.model.orphans("raw.orders", "stg.orders"))
        orders = set(self.source.rows(self.plan.tables["orders"]))
        customers = {id for id, *_ in self.source.rows(self.plan.tables["customers"])}
        return bool(orphans) and all(
            order[2] in customers and self._is_behind("customers")
            if order in orders
            else self._is_behind("orders") or self._is_unrepeated(order)
            for order in orphans
        )

    def _is_unrepeated(self, order: Row) -> bool:
        """Whether an order is of a partition that a lost run has yet to be repeated for."""
        at = int(order[1] or 0)
        return any(
            each.lost.first <= at < each.lost.end and self._may_be_left(each)
            for each in self.unrepeated
        )

    def _may_be_left(self, each: Unrepeated) -> bool:
        """Whether the last tick may have left it undone."""
        if each.lost.is_cancelled:
            both = each.before.keys() & self.before.keys()
            return all(self._is_same(name, each.before, self.before) for name in both)
        return self.began < each.at + _LAST_RETRY

    def _differences(self, behind: Collection[str] = ()) -> list[str]:
        """Where the tables are wrong, but for raw ones that may be behind their sources."""
        if self.source.forbidden:
            return []
        found = self.model.differences(behind)
        lost = [] if behind else self.model.orphans("stg.orders")
        return found or [f"stg.orders has orders of nobody: {shown(lost)}"] * bool(lost)

    def _end(self) -> None:
        """The source is quiet, failed runs are tried again; then everything has to be right."""
        self.follower.meanwhile = None
        self.source.calm()
        self._note_changes()
        tick = Tick()
        for n in range(_PATIENCE):
            self.follower.ahead += timedelta(hours=2)
            if n == 3 and self.follower.is_waiting:
                self.source.act("insert", random.Random(n))  # runs that were cancelled wait for it
                self._note_changes()
            tick = self._tick()
            if tick.error or (tick.reason and not self.follower.is_waiting):
                break
        else:
            # Such a failure is told at every try, and only a run of everything ends it.
            lost = self.model.lost_outside()
            self.played.wrong("no end", [] if lost else [f"{tick.failed or tick.reason}"])
            return
        self.played.wrong("in the end", self._differences())
        self.played.wrong("unlike a rebuild", self._unlike_a_rebuild())

    def _unlike_a_rebuild(self) -> list[str]:
        failed = self.follower.rebuild(self.warehouses.folder / "rebuilt")
        if failed:
            return [f"the rebuild fails: {failed}"]
        rebuilt = Model(self.plan, self.source, self.warehouses.rebuilt)
        return [line for role in self.plan.roles for line in self._compared(role, rebuilt)]

    def _compared(self, role: str, rebuilt: Model) -> list[str]:
        """How a table differs from a rebuild, where it has to be the same."""
        table = self.plan.tables.get(role.removeprefix("raw."))
        keeps = table is not None and table.keeps_old_rows
        if keeps or role in {"mart.totals", "mart.by_customer"}:
            return []  # of rows that a rebuild does not take, or takes of no period
        if role == "stg.customers":
            old, new = (Counter(m.rows(role, "id, v")) for m in (self.model, rebuilt))
            old = old & new if self.plan.customers_are_merged else old
            return compared(role, new, old)
        kind = (table or self.plan.tables["orders"]).kind
        windowed = table is None or table.is_windowed
        old_rows, new_rows = (m.loaded(role, kind) for m in (self.model, rebuilt))
        if windowed:
            old_rows, new_rows = self.model.within(old_rows), self.model.within(new_rows)
        return compared(role, Counter(new_rows), Counter(old_rows))

    # What happens to the sensor, its runs and the files.

    def _wait(self, rng: random.Random) -> None:
        """Time passes, and the sensor looks."""
        self.follower.ahead += timedelta(minutes=rng.choice([3, 10, 200]))
        self._tick()

    def _reset_sensor(self, rng: random.Random) -> None:
        self.follower.cursor = None

    def _lose_tick(self, rng: random.Random) -> None:
        """The process ends after the runs of a tick were started and before its cursor is kept."""
        before = self.follower.cursor
        self._tick()
        self.follower.cursor = before

    def _die(self, rng: random.Random) -> None:
        """Something happens to the next run."""
        self.follower.doom = rng.choice(DOOMS)

    def _schedule(self, rng: random.Random) -> None:
        self.plan.schedule = rng.choice([s for s in SCHEDULES if s != self.plan.schedule])
        if self.plan.tables["orders"].kind == "date" and self.plan.period < timedelta(days=1):
            self.plan.schedule = "daily"
        self.follower.write()

    def _start_date(self, rng: random.Random) -> None:
        """The first period is another one."""
        moved = self.plan.start + self.plan.period * rng.choice([-3, -1, 1, 2])
        self.plan.start = floor(min(moved, datetime.now(UTC)), self.plan.period)
        self.follower.write()

    def _rename(self, rng: random.Random) -> bool:
        """An asset gets another name; the sensor asks for what makes its table."""
        role = rng.choice([r for r in self.plan.roles if r != "raw.events"])
        self.plan.names[role] = f"{role}_{rng.randrange(100)}"
        if role == "stg.customers":
            self.model.merged.clear()
        self.follower.write()
        return True

    def _remove(self, rng: random.Random) -> bool:
        removable = [
            r for r in ("mart.totals", "raw.things", "mart.by_customer") if r in self.plan.roles
        ]
        if not removable:
            return False
        self.plan.without.add(role := rng.choice(removable))
        self.follower.write()
        if role == "raw.things" and "mart.totals" in self.plan.roles:
            self.follower.run_again("mart.totals")  # a query that is changed is not followed
        return True

    def _add(self, rng: random.Random) -> bool:
        if not self.plan.without:
            return False
        self.plan.without.remove(rng.choice(sorted(self.plan.without)))
        self.follower.write()
        return True

    def _meanwhile(self, rng: random.Random) -> None:
        """Something changes after the sensor has looked and before its runs read the source."""
        kind = rng.choice(["insert", "insert", "delete", "update", "move", "odd", "orphan"])
        self.follower.meanwhile = lambda: self.source.act(kind, rng)

    def _run_everything(self, rng: random.Random) -> None:
        """Somebody runs the whole pipeline from a terminal, without dates."""
        tick = Tick()
        self.began, self.before = self.follower.clock, self.rows
        self.follower.run_everything(tick)
        self.played.wrong("a run fails", self._unexplained(tick))
