"""Random pipelines do what the oracle says, or are refused with file and line.

FUZZ=500 tries that many instead of the few that every run of the suite tries.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import duckdb
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from orchestration.helpers import Outcome, clean_environment, invoke

from .oracle import COLUMNS, Row, Rule, Run, Spec, World
from .written import asset_file, pipeline_file, quoted

EXAMPLES = int(os.environ.get("FUZZ", "6"))
_STATE = tempfile.TemporaryDirectory(prefix="strangers-")
_ENVIRONMENT = clean_environment(ECOMMERCE_HOME=_STATE.name)
_CONFIG = """
environments:
  default:
    connections:
      duckdb:
        - {name: duckdb-default, path: warehouse.duckdb}
"""

days = st.integers(0, 9).map(lambda n: date(2024, 1, 1) + timedelta(n))
words = st.sampled_from(["a", "b", "ab", "it's", '"', "Ä;--", "\\", "NULL", "x\ny"])
rows = st.lists(
    st.builds(
        Row,
        st.none() | st.integers(-1, 5),
        st.none() | days,
        st.none() | st.integers(-3, 9),
        st.none() | words,
    ),
    max_size=8,
).map(tuple)
windows = st.tuples(days, days).map(lambda pair: (min(pair), max(pair)))

_numbers = st.integers(-3, 9)
column_rules = st.one_of(
    st.builds(Rule, st.sampled_from(["not_null", "unique"]), st.sampled_from(COLUMNS)),
    st.builds(Rule, st.sampled_from(["positive", "non_negative", "negative"]), st.just("n")),
    st.builds(Rule, st.sampled_from(["min", "max"]), st.just("n"), _numbers),
    st.builds(Rule, st.sampled_from(["min", "max"]), st.just("day"), days),
    st.builds(Rule, st.just("relationships"), st.just("id")),
    st.builds(
        Rule,
        st.just("accepted_values"),
        st.just("txt"),
        st.lists(words, min_size=1, unique=True).map(tuple),
    ),
    st.builds(
        Rule,
        st.just("accepted_values"),
        st.just("n"),
        st.lists(_numbers, min_size=1, unique=True).map(tuple),
    ),
    st.builds(
        Rule, st.just("pattern"), st.just("txt"), st.sampled_from(["[ab]+", "a|b", ".", "it's"])
    ),
)
custom_rules = st.builds(
    Rule, st.sampled_from(["rows", "above_floor", "largest"]), st.none(), st.integers(0, 6)
)


@st.composite
def rule_lists(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Up to three rules, of which no two have one id, most of them not blocking."""
    found = {}
    for rule in draw(st.lists(column_rules | custom_rules, max_size=3)):
        blocking = draw(st.integers(0, 3)) == 0
        found[rule.column, rule.name] = Rule(rule.name, rule.column, rule.value, blocking)
    return tuple(found.values())


STRATEGIES = [
    "", "create+replace", "append", "truncate+insert", "delete+insert", "time_interval", "merge",
    "scd2_by_column", "view", "script",
]  # fmt: skip
SCHEMAS = ["raw", "Mart", "s-1", "order"]
TABLES = ["t", "my-table", "select", "Under_Score"]


@st.composite
def pipelines(draw: st.DrawFn) -> list[Spec]:
    specs: list[Spec] = []
    for number in range(draw(st.integers(1, 4))):
        name = f"{draw(st.sampled_from(SCHEMAS))}.{draw(st.sampled_from(TABLES))}{number}"
        strategy = draw(st.sampled_from(STRATEGIES))
        grouped = strategy in {"merge", "scd2_by_column"} or draw(st.booleans())
        key = ("id", "day") if strategy == "merge" and draw(st.booleans()) else ("id",)
        adds = strategy == "merge" and draw(st.booleans())
        free = [name for name in COLUMNS if name not in key and not (adds and name == "n")]
        updated = draw(st.sets(st.sampled_from(free))) if strategy == "merge" else ()
        # What a predicate looks at must not change under it: updates come before inserts.
        steady = strategy == "merge" and not adds and "n" not in updated
        filters = ["none", "floor", "window", "unless_full"]
        restricted = draw(st.booleans())
        specs.append(
            Spec(
                name=name,
                source=draw(st.sampled_from(["src.t", *(spec.name for spec in specs)])),
                strategy=strategy,
                filter=draw(st.sampled_from(filters[:3] if restricted else filters)),
                grouped=grouped,
                key=key,
                updated=frozenset(updated),
                adds=adds,
                predicate=steady and draw(st.booleans()),
                rules=draw(rule_lists()),
                restricted=restricted,
                enabled=number == 0 or draw(st.integers(0, 9)) > 0,
            )
        )
    return specs


@st.composite
def run_lists(draw: st.DrawFn, specs: Sequence[Spec]) -> list[Run]:
    runs = []
    enabled = sorted(spec.name for spec in specs if spec.enabled)
    for _ in range(draw(st.integers(1, 3))):
        selected = None
        if enabled and draw(st.integers(0, 4)) == 0:
            selected = frozenset(draw(st.sets(st.sampled_from(enabled), min_size=1)))
        full = draw(st.integers(0, 4)) == 0
        runs.append(Run(draw(rows), draw(st.integers(-2, 3)), draw(windows), full, selected))
    return runs


class Stage:
    """A folder with the files of a pipeline, and the command on it."""

    def __init__(
        self, folder: Path, specs: Sequence[Spec], floor: int, endings: Sequence[str], typed: bool
    ) -> None:
        self.folder = folder
        self.write(".bruin.yml", _CONFIG)
        self.write("pipeline.yml", pipeline_file(floor))
        self.files = {}
        for number, (spec, ending) in enumerate(zip(specs, endings, strict=False)):
            self.files[spec.name] = f"assets/{number}.sql"
            self.write(self.files[spec.name], asset_file(spec, typed, ending))

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def ecommerce(self, command: str, *arguments: str) -> Outcome:
        return invoke(_ENVIRONMENT, command, "--pipeline", str(self.folder), *arguments)

    def run(self, run: Run) -> Outcome:
        with self.warehouse() as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS src")
            connection.execute(
                "CREATE OR REPLACE TABLE src.t (id INTEGER, day DATE, n INTEGER, txt VARCHAR)"
            )
            for row in run.source:
                connection.execute("INSERT INTO src.t VALUES (?, ?, ?, ?)", list(row))
        first, last = run.window
        options = [
            "--start-date",
            str(first),
            "--end-date",
            str(last),
            "--var",
            f"floor={run.floor}",
        ]
        options += ["--full-refresh"] * run.full
        return self.ecommerce("run", *sorted(run.selected or ()), *options, "--output", "json")

    def warehouse(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(self.folder / "warehouse.duckdb"))

    def rows(self, name: str, what: str = "*") -> list[tuple[object, ...]] | None:
        with self.warehouse() as connection:
            try:
                return connection.execute(
                    f"SELECT {what} FROM {quoted(name)} ORDER BY ALL"
                ).fetchall()
            except duckdb.CatalogException:
                return None


def _sorted(found: Sequence[tuple[object, ...]] | None) -> object:
    return None if found is None else sorted(found, key=repr)


endings = st.lists(
    st.sampled_from(["", ";", " -- the end", ";\n-- the end", "\n/* ; */ ;\n"]),
    min_size=4,
    max_size=4,
)


@settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES < 10,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=(Phase.generate,),  # a smaller example costs minutes of runs
    report_multiple_bugs=False,
)
@given(
    data=st.data(), specs=pipelines(), floor=st.integers(-2, 3), ends=endings, typed=st.booleans()
)
def test_random_pipelines_do_what_the_oracle_says(
    data: st.DataObject, specs: list[Spec], floor: int, ends: list[str], typed: bool
) -> None:
    world = World()
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), specs, floor, ends, typed)
        for number, run in enumerate(data.draw(run_lists(specs))):
            closed = {s.name: _closed(stage, s) for s in specs if s.strategy == "scd2_by_column"}
            outcome = stage.run(run)
            assets, checks = world.run(specs, run)
            context = f"run {number}: {outcome.stderr}"
            assert outcome.code != 2, context
            document = json.loads(outcome.stdout)
            assert {n: a["status"] for n, a in document["assets"].items()} == assets, context
            found = {c["id"]: _in_short(c, checks.get(c["id"], "")) for c in document["checks"]}
            assert found == checks, context
            assert outcome.code == (
                1 if set(assets.values()) & {"failed", "upstream_failed"} else 0
            )
            for spec in specs:
                _compare(stage, world, spec, context)
                if not run.full:
                    assert set(closed.get(spec.name) or ()) <= set(_closed(stage, spec) or ()), (
                        context
                    )


def _in_short(check: dict[str, object], expected: str) -> str:
    return (
        f"failed {check['failed_rows']}" if expected.startswith("failed ") else str(check["status"])
    )


def _compare(stage: Stage, world: World, spec: Spec, context: str) -> None:
    if spec.strategy == "scd2_by_column":
        history = world.histories.get(spec.name)
        expected = None if history is None else [(*row, current) for row, current in history]
        found = stage.rows(spec.name, f"{', '.join(COLUMNS)}, _is_current")
    else:
        expected = world.rows(spec.name)
        expected = None if expected is None else [tuple(row) for row in expected]
        found = stage.rows(spec.name, ", ".join(COLUMNS))
    assert _sorted(found) == _sorted(expected), f"{spec}\n{context}"


def _closed(stage: Stage, spec: Spec) -> list[tuple[object, ...]] | None:
    if spec.strategy != "scd2_by_column":
        return None
    found = stage.rows(
        spec.name,
        "* EXCLUDE (_valid_from, _valid_until), epoch_us(_valid_from), epoch_us(_valid_until)",
    )
    return None if found is None else [row for row in found if row[len(COLUMNS)] is False]


mistakes = st.sampled_from(
    [
        ("type: duckdb.sql", "type: duckdb.sqll"),
        ("- name: id", "- nme: id"),
        ("columns:", "columns: ["),
        ("columns:", "depends: [no.where]\ncolumns:"),
        ("columns:", "materialisation: {type: table}\ncolumns:"),
        ("columns:", "materialization: {type: table, strategy: upsert}\ncolumns:"),
    ]
)


@settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES < 10,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=(Phase.generate,),
)
@given(data=st.data(), specs=pipelines(), mistake=mistakes)
def test_a_mistake_is_refused_with_its_file_and_line_and_nothing_is_built(
    data: st.DataObject, specs: list[Spec], mistake: tuple[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), specs, 0, [""] * len(specs), typed=True)
        # What a disabled asset depends on is nobody's business.
        name = data.draw(st.sampled_from([stage.files[s.name] for s in specs if s.enabled]))
        text = (stage.folder / name).read_text()
        stage.write(name, text.replace(*mistake, 1))
        outcome = stage.ecommerce("run")
        assert outcome.code == 2, outcome.stdout
        assert re.search(rf"{re.escape(name)}:\d+: ", outcome.stderr), outcome.stderr
        assert not (stage.folder / "warehouse.duckdb").exists()
