"""What a pipeline has to do, in plain Python over lists of rows.

Written from the description of the format and from docs/bruin.md, without a look at the code: a
table is a list of rows, a strategy is a function of the old rows and the new ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, NamedTuple

COLUMNS = ("id", "day", "n", "txt")


class Row(NamedTuple):
    id: int | None
    day: date | None
    n: int | None
    txt: str | None


@dataclass(frozen=True)
class Rule:
    """A check: of a column, or (with `column` None) of the asset."""

    name: str
    column: str | None
    value: Any = None
    blocking: bool = True


@dataclass(frozen=True)
class Spec:
    """An asset: where its rows come from, what it keeps of them, how they enter its table."""

    name: str
    source: str
    strategy: str
    filter: Literal["none", "floor", "window", "unless_full"] = "none"
    grouped: bool = False
    key: tuple[str, ...] = ("id",)
    updated: frozenset[str] = frozenset()
    adds: bool = False  # n is the sum of what is there and what comes
    predicate: bool = False  # only rows with n > 0 can match
    rules: tuple[Rule, ...] = ()
    restricted: bool = False
    enabled: bool = True


@dataclass(frozen=True)
class Run:
    """One call of the command."""

    source: tuple[Row, ...]
    floor: int
    window: tuple[date, date]
    full: bool
    selected: frozenset[str] | None = None


class History(NamedTuple):
    """A row of a table that keeps its history."""

    row: Row
    current: bool


@dataclass
class World:
    """The warehouse after each run."""

    tables: dict[str, list[Row]] = field(default_factory=dict)
    histories: dict[str, list[History]] = field(default_factory=dict)
    views: dict[str, Callable[[], list[Row] | None]] = field(default_factory=dict)

    def rows(self, name: str) -> list[Row] | None:
        """What a query sees; None when there is no such table."""
        if name in self.views:
            return self.views[name]()
        if name in self.histories:
            return [row for row, _ in self.histories[name]]
        return self.tables.get(name)

    def run(self, specs: Sequence[Spec], run: Run) -> tuple[dict[str, str], dict[str, str]]:
        """The status of every asset and of every check that the run is about."""
        self.tables["src.t"] = list(run.source)
        assets: dict[str, str] = {}
        checks: dict[str, str] = {}
        stopped: set[str] = set()
        for spec in specs:
            if not spec.enabled:
                assets[spec.name] = "skipped"
            elif run.selected is not None and spec.name not in run.selected:
                assets[spec.name] = "not_run"
            elif spec.source in stopped:
                assets[spec.name] = "upstream_failed"
                stopped.add(spec.name)
                checks |= {check_id(spec, rule): "skipped" for rule in spec.rules}
            else:
                assets[spec.name] = self._build(spec, run, checks, stopped)
        return assets, checks

    def _build(self, spec: Spec, run: Run, checks: dict[str, str], stopped: set[str]) -> str:
        def query() -> list[Row] | None:
            found = self.rows(spec.source)
            return None if found is None else wanted(spec, run, found)

        new = query()
        if new is None:
            checks |= {check_id(spec, rule): "skipped" for rule in spec.rules}
            stopped.add(spec.name)
            return "failed"
        history = None
        if spec.strategy == "scd2_by_column":
            history = remembered(spec, run, self.histories.get(spec.name), new)
            new = [row for row, _ in history]
        elif spec.strategy != "view":
            new = loaded(spec, run, self.tables.get(spec.name), new)
        results = {rule: judged(rule, new, run, self) for rule in spec.rules}
        checks |= {check_id(spec, rule): result for rule, result in results.items()}
        failed = [rule for rule, result in results.items() if result != "passed"]
        if any(rule.blocking for rule in failed):
            stopped.add(spec.name)
            return "failed"
        if history is not None:
            self.histories[spec.name] = history
        elif spec.strategy == "view":
            self.views[spec.name] = query
        else:
            self.tables[spec.name] = new
        return "failed" if failed else "success"


def check_id(spec: Spec, rule: Rule) -> str:
    if rule.column is None:
        return f"{spec.name}:custom-check:{rule.name}"
    return f"{spec.name}:{rule.column}:{rule.name}"


def wanted(spec: Spec, run: Run, rows: Iterable[Row]) -> list[Row]:
    """What the query of an asset selects."""
    first, last = run.window
    match spec.filter:
        case "floor":
            rows = [row for row in rows if row.n is not None and row.n >= run.floor]
        case "window":
            rows = [row for row in rows if row.day is not None and first <= row.day <= last]
        case "unless_full":
            rows = [row for row in rows if run.full or row.id is not None]
    if not spec.grouped:
        return list(rows)
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        if row.id is not None or spec.strategy != "scd2_by_column":
            groups.setdefault(row.id, []).append(row)
    return [Row(id, *(_largest(r[n] for r in g) for n in (1, 2, 3))) for id, g in groups.items()]


def _largest(values: Iterable[Any]) -> Any:
    return max((value for value in values if value is not None), default=None)


def loaded(spec: Spec, run: Run, old: list[Row] | None, new: list[Row]) -> list[Row]:
    """The rows of a table after new ones entered it."""
    replaces = spec.strategy in {"", "create+replace", "truncate+insert", "script"}
    if old is None or replaces or (run.full and not spec.restricted):
        return list(new)
    match spec.strategy:
        case "append":
            return old + new
        case "delete+insert":
            days = {row.day for row in new}
            return [row for row in old if row.day not in days] + new
        case "time_interval":
            first, last = run.window
            return [row for row in old if row.day is None or not first <= row.day <= last] + new
        case "merge":
            return _merged(spec, old, new)
    raise AssertionError(spec.strategy)


def _merged(spec: Spec, old: list[Row], new: list[Row]) -> list[Row]:
    def key(row: Row) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in spec.key)

    def matches(row: Row) -> bool:
        return not spec.predicate or (row.n is not None and row.n > 0)

    incoming = {key(row): row for row in new}
    met, result = set(), []
    for row in old:
        other = incoming.get(key(row))
        if other is None or not matches(row):
            result.append(row)
            continue
        met.add(key(row))
        changed = row._replace(**{name: getattr(other, name) for name in spec.updated})
        if spec.adds:
            changed = changed._replace(n=(row.n or 0) + (other.n or 0))
        result.append(changed)
    return result + [row for row in new if key(row) not in met]


def remembered(spec: Spec, run: Run, old: list[History] | None, new: list[Row]) -> list[History]:
    """The rows of a table with history. A change from or to NULL is a change."""
    if old is None or (run.full and not spec.restricted):
        return [History(row, True) for row in new]
    standing = {row for row, current in old if current}
    incoming = set(new)
    kept = [History(row, current and row in incoming) for row, current in old]
    return kept + [History(row, True) for row in new if row not in standing]


def judged(rule: Rule, rows: list[Row], run: Run, world: World) -> str:
    """`passed`, `failed`, `failed ROWS` or `error`."""
    if rule.column is None:
        return _custom(rule, rows, run)
    values = [getattr(row, rule.column) for row in rows]
    present = [value for value in values if value is not None]
    match rule.name:
        case "not_null":
            bad = len(values) - len(present)
        case "unique":
            bad = len(present) - len(set(present))
        case "relationships":
            parents = {row.id for row in world.rows("src.t") or ()}
            bad = sum(value not in parents for value in present)
        case _:
            bad = sum(not _HOLDS[rule.name](value, rule.value) for value in present)
    return f"failed {bad}" if bad else "passed"


_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "positive": lambda value, _: value > 0,
    "non_negative": lambda value, _: value >= 0,
    "negative": lambda value, _: value < 0,
    "min": lambda value, bound: value >= bound,
    "max": lambda value, bound: value <= bound,
    "accepted_values": lambda value, known: str(value) in {str(item) for item in known},
    "pattern": lambda value, regex: re.fullmatch(regex, value) is not None,
}


def _custom(rule: Rule, rows: list[Row], run: Run) -> str:
    match rule.name:
        case "rows":  # SELECT count(*) FROM {{ this }}
            answer = len(rows)
        case "above_floor":  # SELECT id FROM {{ this }} WHERE n > {{ var.floor }}, counted
            answer = sum(row.n is not None and row.n > run.floor for row in rows)
        case _:  # SELECT max(n) FROM {{ this }}
            answer = _largest(row.n for row in rows)
    if answer is None:
        return "error"
    return "passed" if answer == rule.value else "failed"
