"""Small deliberate bugs, one at a time: does a test notice?

    python benchmarks/mutations.py            # all of them
    python benchmarks/mutations.py merge nan  # those whose name has one of these words

Each bug is put into a copy of this checkout; then the tests about it run until one fails. All of
them pass without it. Ends with exit code 1 when a bug survived.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "ecommerce_dagster"
SKIPPED = shutil.ignore_patterns(".*", "__pycache__", "images", "*.egg-info")


class Mutation(NamedTuple):
    """`before` in `file` becomes `after`; some test in the file `tests` should fail."""

    name: str
    file: str
    before: str
    after: str
    tests: str


MUTATIONS = [
    Mutation(
        "a merge takes NULL keys for unequal",
        "sql/dialect.py",
        'f"{one} IS NOT DISTINCT FROM {other}"',
        'f"{one} = {other}"',
        "contract/test_strategies.py",
    ),
    Mutation(
        "a merge keeps the oldest of several rows",
        "sql/strategies/base.py",
        "DESC NULLS LAST, ",
        "ASC NULLS LAST, ",
        "contract/test_strategies.py",
    ),
    Mutation(
        "delete+insert leaves rows with a NULL key",
        "sql/strategies/common.py",
        """{load.dialect.same([key], 'kept', 'new')}""",
        """kept.{quoted(key)} = new.{quoted(key)}""",
        "contract/test_strategies.py",
    ),
    Mutation(
        "a window includes its end",
        "sql/strategies/common.py",
        "{moment} < {literal(window.end)}",
        "{moment} <= {literal(window.end)}",
        "contract/test_time_interval.py",
    ),
    Mutation(
        "a window by date loses its last day",
        "sql/strategies/common.py",
        "last_day = window.last.date() + timedelta(days=1)",
        "last_day = window.last.date()",
        "contract/test_time_interval.py",
    ),
    Mutation(
        "a rejected build is published",
        "warehouses/publish.py",
        "            transaction.roll_back()",
        "            transaction.commit(is_table=is_table)",
        "contract/test_publish.py",
    ),
    Mutation(
        "a check that does not block rejects",
        "sql/checks.py",
        "return not self.passed and self.check.blocking",
        "return not self.passed",
        "contract/test_publish.py",
    ),
    Mutation(
        "a check that cannot run has passed",
        "sql/checks.py",
        'CheckResult(check, False, f"could not be evaluated: {reason}"',
        'CheckResult(check, True, f"could not be evaluated: {reason}"',
        "contract/test_checks.py",
    ),
    Mutation(
        "positive accepts 0",
        "sql/rules.py",
        '_compare("is above 0", "<=", 0)',
        '_compare("is above 0", "<", 0)',
        "contract/test_checks.py",
    ),
    Mutation(
        "a pattern may match a part",
        "sql/rules.py",
        "NOT regexp_full_match(",
        "NOT regexp_matches(",
        "contract/test_checks.py",
    ),
    Mutation(
        "range forgets its upper bound",
        "sql/rules.py",
        'conditions += [_outside(column, kind, ">", check.max)] if check.max is not None else []',
        'conditions += [] if conditions else [_outside(column, kind, ">", check.max)]',
        "contract/test_checks.py",
    ),
    Mutation(
        "history closes versions again and again",
        "sql/strategies/history.py",
        'f"WHERE target.{_CURRENT} AND NOT EXISTS (\\n"',
        'f"WHERE NOT EXISTS (\\n"',
        "contract/test_history.py",
    ),
    Mutation(
        "history takes a change to NULL for none",
        "sql/strategies/base.py",
        'f"{self.exact(one)} IS NOT DISTINCT FROM {self.exact(other)}"',
        'f"coalesce({self.exact(one)} = {self.exact(other)}, TRUE)"',
        "contract/test_history.py",
    ),
    Mutation(
        "a wider number is cut to the table's type",
        "sql/types.py",
        "return bool(self.low <= other.low * unit and other.high * unit <= self.high)",
        "return True",
        "warehouse/test_types.py",
    ),
    Mutation(
        "a new column of the query is dropped",
        "sql/plan.py",
        'changes.added.append(f"ADD COLUMN {quoted(name)} {wanted}")\n',
        "pass\n",
        "warehouse/test_types.py",
    ),
    Mutation(
        "NaN becomes 0",
        "sources/postgres/guards.py",
        'if column.base == "numeric":\n        return _NAN',
        'if column.base == "numeric":\n        return None',
        "ingestion/test_guards.py",
    ),
    Mutation(
        "a table that was rewritten while it was read is empty",
        "sources/postgres/guards.py",
        "    if rewritten:\n",
        "    if rewritten and False:\n",
        "ingestion/test_snapshot.py",
    ),
    Mutation(
        "rows at the very watermark are missed",
        "sources/selection.py",
        "} >= {largest} OR {",
        "} > {largest} OR {",
        "ingestion/test_strategies.py",
    ),
    Mutation(
        "an ingested window includes its end",
        "sources/selection.py",
        "{key.moment} < {literal(window.end)}",
        "{key.moment} <= {literal(window.end)}",
        "ingestion/test_strategies.py",
    ),
    Mutation(
        "NUMERIC without precision becomes DOUBLE",
        "sources/columns.py",
        'found = self.type_of_elements or _decimal(int(scale or 0), largest or "0")',
        'found = self.type_of_elements or "DOUBLE"',
        "ingestion/test_types.py",
    ),
    Mutation(
        "glossary checks reach no column",
        "bruin/glossary.py",
        'update["checks"] = (*(c for c in inherited if c.name not in own), *column.checks)',
        'update["checks"] = column.checks',
        "bruin/test_glossary.py",
    ),
    Mutation(
        "a glossary check wins over the column's own",
        "bruin/glossary.py",
        "(*(c for c in inherited if c.name not in own), *column.checks)",
        "(*inherited, *(c for c in column.checks if c.name not in {i.name for i in inherited}))",
        "bruin/test_glossary.py",
    ),
    Mutation(
        "the end date is not included",
        "bruin/model/interval.py",
        "after = last + (_DAY if is_day else _TICK)",
        "after = last + _TICK",
        "bruin/test_interval.py",
    ),
    Mutation(
        "months are added as calendars do",
        "bruin/model/interval.py",
        "return first + timedelta(days=moment.day - 1)",
        "return first + timedelta(days=min(moment.day, 28) - 1)",
        "bruin/test_times.py",
    ),
    Mutation(
        "the code of a file begins one line too high",
        "bruin/yaml/header.py",
        "trimmed(lines[end + 1 :], Position(path, end + 2))",
        "trimmed(lines[end + 1 :], Position(path, end + 1))",
        "bruin/test_headers.py",
    ),
    Mutation(
        "defaults replace what the file says",
        "bruin/defaults.py",
        'if mine is None or mine == "":',
        "if not isinstance(mine, YamlMapping | YamlList):",
        "bruin/test_defaults.py",
    ),
    Mutation(
        "a check that ends DuckDB's transaction fails the build",
        "warehouses/duckdb/transaction.py",
        "if self.is_committed or self.autocommits:",
        "if True:",
        "contract/test_checks.py",
    ),
    Mutation(
        "PostgreSQL does not ask for each key once",
        "sql/strategies/base.py",
        'f"SELECT DISTINCT ON ({keys}) * FROM',
        'f"SELECT * FROM',
        "contract/test_strategies.py",
    ),
    Mutation(
        "NULL keys are unequal in PostgreSQL",
        "sql/dialect.py",
        'f"ARRAY[{one}] = ARRAY[{other}]"',
        'f"{one} = {other}"',
        "contract/test_strategies.py",
    ),
    Mutation(
        "a table that is made anew in PostgreSQL loses its rights",
        "warehouses/postgres/dependent_views.py",
        "for statement in rights:",
        "for statement in rights[:0]:",
        "postgres_warehouse/test_dependents.py",
    ),
    Mutation(
        "the published copy misses what a killed process committed",
        "warehouses/duckdb/published_copy.py",
        "return same and not _log_of(path).exists()",
        "return same",
        "orchestration/test_published_copy.py",
    ),
    Mutation(
        "the published copy is written over the one that is read",
        "warehouses/duckdb/published_copy.py",
        "new.replace(copy)",
        "copy.touch(), shutil.copyfile(new, copy), shutil.copystat(new, copy)",
        "orchestration/test_published_copy.py",
    ),
    Mutation(
        "the sensor misses the day that an order left",
        "sources/postgres/changes.py",
        "periods = {*old, *new} - {None}",
        "periods = {*new} - {None}",
        "orchestration/test_sensor.py",
    ),
    Mutation(
        "the sensor takes a server that was put back to a backup for the same",
        "sources/postgres/source_history.py",
        "if control.stopped_at < before.position:",
        "if False and control.stopped_at < before.position:",
        "orchestration/test_source_history.py",
    ),
    Mutation(
        "the sensor reads rows in the snapshot of an earlier statement",
        "sources/postgres/changes.py",
        "psycopg.IsolationLevel.READ_COMMITTED",
        "psycopg.IsolationLevel.REPEATABLE_READ",
        "ingestion/test_changes.py",
    ),
    Mutation(
        "days that only another history has are not loaded again",
        "orchestration/source_changes.py",
        "            return {*every}\n",
        "            return set()\n",
        "orchestration/test_source_history.py",
    ),
    Mutation(
        "the sensor forgets runs that failed",
        "orchestration/requested_runs.py",
        "if status == dg.DagsterRunStatus.SUCCESS:",
        "if status in {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}:",
        "orchestration/test_sensor.py",
    ),
    Mutation(
        "the sensor asks for more while a run is queued",
        "orchestration/sensors.py",
        "            if requested.waiting:\n",
        "            if requested.waiting and False:\n",
        "orchestration/test_sensor.py",
    ),
    Mutation(
        "days between those that changed are run too",
        "orchestration/run_requests.py",
        "windows[shares[-1][1]].end == windows[key].start",
        "windows[shares[-1][1]].end <= windows[key].start",
        "orchestration/test_sensor.py",
    ),
    Mutation(
        "nights that were missed stay missed",
        "orchestration/schedules.py",
        "missed = ended[ended.index(done) + 1 :]",
        "missed = ended[ended.index(done) + 1 :][-1:]",
        "orchestration/test_schedule.py",
    ),
    Mutation(
        "the schedule runs an interval that is not over",
        "orchestration/schedules.py",
        "keys[: keys.index(current)]",
        "keys[: keys.index(current) + 1]",
        "orchestration/test_schedule.py",
    ),
]


def main(words: list[str]) -> int:
    """Try the mutations that have one of `words` in their name (all, without words)."""
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        Path(folder).chmod(0o755)  # the tests' PostgreSQL runs as another user
        copy = Path(folder, "checkout")
        shutil.copytree(ROOT, copy, ignore=SKIPPED)
        shutil.copy(ROOT / ".bruin.yml", copy)
        for tests in sorted({mutation.tests for mutation in chosen}):
            if _fails(tests, copy):
                sys.exit(f"tests/{tests} fails without any mutation")
        for mutation in chosen:
            started = time.monotonic()
            caught = _is_caught(mutation, copy)
            survivors += not caught
            outcome = "caught  " if caught else "SURVIVED"
            seconds = time.monotonic() - started
            print(f"{outcome}  {mutation.name}  ({mutation.file}, {seconds:.0f} s)", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} caught")
    return 1 if survivors else 0


def _is_caught(mutation: Mutation, copy: Path) -> bool:
    file = copy / PACKAGE / mutation.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutation.before) != 1:
        sys.exit(f"{mutation.file} has not exactly one '{mutation.before}'")
    file.write_text(text.replace(mutation.before, mutation.after), encoding="utf-8")
    try:
        return _fails(mutation.tests, copy)
    finally:
        file.write_text(text, encoding="utf-8")


def _fails(tests: str, copy: Path) -> bool:
    """Whether one of the tests fails in the copy."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"tests/{tests}"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 1}:
        sys.exit(f"the tests did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
