"""The checks of an asset: what is asked of its rows, and what came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ecommerce_dagster.bruin.model.anomalies import AnomalyCheck, anomaly_checks
from ecommerce_dagster.bruin.model.asset import Asset, Column, ColumnCheck, CustomCheck
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.errors import UnlocatedError
from ecommerce_dagster.sql.column_kinds import ColumnKind, in_duckdb
from ecommerce_dagster.sql.comparison import Comparison, Measured
from ecommerce_dagster.sql.identifiers import quoted, relation
from ecommerce_dagster.sql.rules import RULES
from ecommerce_dagster.sql.types import known_type

Number = int | float | Decimal
SAMPLE_ROWS = 10
_NAMED_TIMES = 3  # that a message names
Rule = ColumnCheck | CustomCheck | AnomalyCheck

_MEASURED = {
    "volume": "The number of rows",
    "freshness": "The age of the newest {}",
    "null_percent": "The share of {} that is NULL",
    "distinct_percent": "The share of distinct values in {}",
    "average": "The average of {}",
}


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, by a condition in SQL, and in words."""

    condition: str
    words: str


@dataclass(frozen=True)
class TimeUnit:
    """A column of time, and the unit (minute, hour or day) by which rows are counted in it."""

    column: str
    unit: str


@dataclass(frozen=True)
class BadRows:
    """Rows that break a rule: at most SAMPLE_ROWS of them, and how many there are in each unit of
    time (in seconds since 1970), where the table has a column of time."""

    sample: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    moments: Mapping[float, int] = field(default_factory=dict)

    def when(self, count: int, by: TimeUnit | None) -> str:
        """From when so many bad rows are: ` (2 of 2025-03-05, 1 of 2025-03-06)`. Empty when that is
        not known."""
        if by is None or not self.moments:
            return ""
        most = sorted(self.moments, key=lambda at: (-self.moments[at], at))[:_NAMED_TIMES]
        named = [f"{self.moments[at]:,} of {_written(at, by.unit)}" for at in sorted(most)]
        other = sum(self.moments.values()) - sum(self.moments[at] for at in most)
        times = counted(len(self.moments) - len(most), f"other {by.unit}")
        without = count - sum(self.moments.values())
        parts = [
            *named,
            f"{other:,} of {times}" if other else "",
            f"{without:,} with no {by.unit} in {by.column}" if without > 0 else "",
        ]
        return f" ({', '.join(filter(None, parts))})"


def _written(at: float, unit: str) -> str:
    """A moment as people write it, to its unit: 2025-03-05, or 2025-03-05 13:00."""
    moment = datetime.fromtimestamp(at, UTC)
    text = moment.isoformat(" ", "minutes")
    return text[:10] if unit == "day" else text[:16]


@dataclass(frozen=True)
class Check:
    """One rule of one asset. `id` is `asset:column:check`, `asset:custom-check:name` or, of a
    measure of the whole table, `asset:anomaly:name`.

    A rule that each row keeps by itself may look at the rows `among` all, those that a run can have
    written: the others were checked when they were. Rows that break it are counted `by_time`. A
    measure is `compared` with earlier ones.
    """

    id: str
    asset: Asset
    rule: Rule
    column: Column | None = None
    among: Rows | None = None
    by_time: TimeUnit | None = None
    compared: Comparison | None = None

    @property
    def blocking(self) -> bool:
        return self.rule.blocking

    @property
    def reads_other_tables(self) -> bool:
        """Whether the answer may depend on other tables than the one that is checked."""
        return isinstance(self.rule, CustomCheck) or self.rule.name == "relationships"

    @property
    def reads_rows(self) -> bool:
        """Whether it cannot be asked without the asset's own table."""
        return not isinstance(self.rule, CustomCheck)

    @property
    def label(self) -> str:
        """A readable name, unique within the asset: `email: not_null`, or the custom name."""
        if self.column is None:
            return self.rule.name
        return f"{self.column.name}: {self.id.rpartition(':')[2]}"

    @property
    def words(self) -> str:
        """The rule as a sentence."""
        if self.rule.description:
            return self.rule.description
        if isinstance(self.rule, AnomalyCheck):
            about = self.column.name if self.column else "row"
            measured = _MEASURED.get(self.rule.name, self.rule.name).format(about)
            return f"{measured} is what its past lets expect."
        if self.column is not None and isinstance(self.rule, ColumnCheck):
            known = RULES.get(self.rule.name)
            # Assets of other platforms may have checks of their own.
            words = known.words(self.column, self.rule) if known else f"passes {self.rule.name}"
            return f"Each {self.column.name} {words}."
        assert isinstance(self.rule, CustomCheck)
        expected = self.rule.value if self.rule.count is None else f"{self.rule.count} rows"
        return f"{self.rule.name} (expected {expected})."


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check.

    `failed_rows` counts the bad rows (None when the check has no such count), `bad_rows_sql` finds
    them, `bad_rows` holds some of them. `total_rows` were looked at, `which_rows` says which.
    `returned` is the number that the query of a custom check returned, `measured` what a check
    without a threshold found. `error` says why a check could not run.
    """

    check: Check
    passed: bool
    message: str
    failed_rows: int | None = None
    total_rows: int | None = None
    bad_rows_sql: str | None = None
    bad_rows: BadRows = field(default_factory=BadRows)
    error: str | None = None
    which_rows: str | None = None
    returned: Number | None = None
    measured: Measured | None = None

    @property
    def sample(self) -> tuple[dict[str, Any], ...]:
        """Some of the bad rows."""
        return self.bad_rows.sample

    @property
    def rejects(self) -> bool:
        """Whether this result keeps a build from being published."""
        return not self.passed and self.check.blocking


class CheckCannotRun(UnlocatedError):
    """A statement failed and took the transaction with it. `check` is None for a shared one."""

    def __init__(self, check: Check | None, message: str) -> None:
        super().__init__(message)
        self.check = check


def checks_of(asset: Asset) -> list[Check]:
    """The checks of an asset, columns first, in the order of the file; last those that need no
    threshold.

    Two checks of one name on a column (two `min`) are distinguished by a number.
    """
    found: list[Check] = []
    seen: Counter[str] = Counter()

    def add(id: str, rule: Rule, column: Column | None = None) -> None:
        seen[id] += 1
        suffix = f"_{seen[id]}" if seen[id] > 1 else ""
        found.append(Check(id + suffix, asset, rule, column))

    for column in asset.columns:
        for n, rule in enumerate(column.checks):
            if rule not in column.checks[:n]:
                add(f"{asset.name}:{column.name}:{rule.name}", rule, column)
    for custom in asset.custom_checks:
        add(f"{asset.name}:custom-check:{'_'.join(custom.name.lower().split())}", custom)
    for anomaly in anomaly_checks(asset):
        add(f"{asset.name}:anomaly:{anomaly.name}", anomaly)
    for column in asset.columns:
        for anomaly in anomaly_checks(column):
            add(f"{asset.name}:{column.name}:{anomaly.name}", anomaly, column)
    return found


def failed_to_run(check: Check, message: str) -> CheckResult:
    """The result of a check that could not be evaluated: not verified is not passed."""
    reason = message.strip().splitlines()[0] if message.strip() else "unknown error"
    return CheckResult(check, False, f"could not be evaluated: {reason}", error=message)


def or_unanswered(
    checks: Sequence[Check],
    ask: Callable[[], tuple[CheckResult, ...]],
    *others: type[Exception],
) -> tuple[CheckResult, ...]:
    """The results that `ask` gives, of a table that is published already: whatever goes wrong, but
    for `others`, is the result of each check, so that the build is recorded."""
    try:
        return ask()
    except others:
        raise
    except Exception as error:
        return tuple(failed_to_run(check, str(error)) for check in checks)


def without_table(asset: Asset, checks: Sequence[Check]) -> tuple[CheckResult, ...]:
    """The results of checks on a table that does not exist."""
    message = f"{asset.name} does not exist yet; materialize it first"
    return tuple(failed_to_run(check, message) for check in checks)


def bad_rows_sql(asset: Asset, check: Check, kind: ColumnKind | None = None) -> str | None:
    """The query for the rows that break a column check, of a column with values of this kind; if
    none is given, of the type that the file declares. Raises RuleError."""
    if check.column is None or not isinstance(check.rule, ColumnCheck):
        return None
    table, name = relation(asset.name), quoted(check.column.name)
    if check.rule.name == "unique":
        return (
            f"SELECT * FROM {table}\nWHERE {name} IN (\n"
            f"  SELECT {name} FROM {table} GROUP BY {name} HAVING count(*) > 1\n)\nORDER BY {name}"
        )
    broken = broken_by(check, kind)
    if check.among:
        return f"SELECT * FROM {table}\nWHERE {check.among.condition}\n  AND ({broken})"
    return f"SELECT * FROM {table}\nWHERE {broken}"


def counted_rows(check: Check, rows: str, column: str, key: str) -> str:
    """Of the rows (SQL that can follow FROM) that break a check, those that it counts: of some that
    share a value of `column`, those after the first by `key`."""
    if check.rule.name != "unique":
        return rows
    number = f"row_number() OVER (PARTITION BY {quoted(column)} ORDER BY {quoted(key)})"
    return f"(SELECT * FROM (SELECT *, {number} AS nth_ FROM {rows} AS alike) AS r WHERE nth_ > 1)"


def broken_by(check: Check, kind: ColumnKind | None = None) -> str:
    """The condition of a row that breaks a column check, as in `bad_rows_sql`."""
    assert check.column is not None
    assert isinstance(check.rule, ColumnCheck)
    declared = known_type(check.column.type) or ""
    return RULES[check.rule.name].broken(check.column, check.rule, kind or in_duckdb(declared))
