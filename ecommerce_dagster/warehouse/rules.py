"""Column checks: what each name means, which value it takes, and which rows break it.

To add a check: write one entry of RULES. NULL breaks `not_null` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ecommerce_dagster.bruin.models import Asset, Column, ColumnCheck
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.warehouse.identifiers import literal, quoted, relation

Takes = Literal["nothing", "bound", "bounds", "pattern", "list", "foreign key"]


@dataclass(frozen=True)
class Rule:
    """A kind of column check.

    `broken(column, check)` is the SQL condition of a bad row. `prunable` conditions compare the
    column with constants, so that DuckDB's zone maps answer them without reading clean data.
    `words` completes "each value ...".
    """

    words: Callable[[Column, ColumnCheck], str]
    broken: Callable[[Column, ColumnCheck], str]
    takes: Takes = "nothing"
    prunable: bool = False


def _compare(words: str, operator: str, bound: int) -> Rule:
    return Rule(
        lambda column, check: words,
        lambda column, check: f"{quoted(column.name)} {operator} {bound}",
        prunable=True,
    )


def _pattern(check: ColumnCheck) -> str:
    return str(check.pattern if check.pattern is not None else check.value)


def _bounds(column: Column, check: ColumnCheck) -> str:
    name = quoted(column.name)
    conditions = [f"{name} < {literal(check.min)}"] if check.min is not None else []
    conditions += [f"{name} > {literal(check.max)}"] if check.max is not None else []
    return " OR ".join(conditions)


def _bounds_words(column: Column, check: ColumnCheck) -> str:
    words = [f"at least {check.min}"] if check.min is not None else []
    words += [f"at most {check.max}"] if check.max is not None else []
    return f"is {' and '.join(words)}"


def _values(check: ColumnCheck) -> tuple[Any, ...]:
    return check.value if isinstance(check.value, tuple) else (check.value,)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _not_listed(column: Column, check: ColumnCheck) -> str:
    """Values are compared as text, as in the original; numbers without the zeros at their end, so
    that a DECIMAL 5.00 is the 5 of the list."""
    text = f"CAST({quoted(column.name)} AS VARCHAR)"
    values = ", ".join(literal(_as_text(value)) for value in _values(check))
    broken = f"{text} NOT IN ({values})"
    if any(isinstance(v, int | float) and not isinstance(v, bool) for v in _values(check)):
        broken += (
            f" AND regexp_replace({text}, '\\.0*$|(\\.\\d*[1-9])0+$', '\\1') NOT IN ({values})"
        )
    return broken


def _orphaned(column: Column, check: ColumnCheck) -> str:
    name, key = quoted(column.name), column.foreign_key
    assert key is not None
    # Qualified: a column that the parent lacks must not be taken from the child instead.
    parent = f"parent.{quoted(key.column)}"
    return (
        f"{name} IS NOT NULL AND {name} NOT IN "
        f"(SELECT {parent} FROM {relation(key.table)} AS parent WHERE {parent} IS NOT NULL)"
    )


_MATCHES = Rule(
    lambda column, check: f"matches {_pattern(check)} as a whole",
    lambda column, check: (
        f"NOT regexp_full_match(CAST({quoted(column.name)} AS VARCHAR), {literal(_pattern(check))})"
    ),
    takes="pattern",
)
RULES: dict[str, Rule] = {
    "not_null": Rule(
        lambda column, check: "is present",
        lambda column, check: f"{quoted(column.name)} IS NULL",
        prunable=True,
    ),
    # Counted in a way of its own (check_counts.py): the rows beyond the first of each value.
    "unique": Rule(
        lambda column, check: "occurs once",
        lambda column, check: "",
    ),
    "positive": _compare("is above 0", "<=", 0),
    "non_negative": _compare("is 0 or above", "<", 0),
    "negative": _compare("is below 0", ">=", 0),
    "min": Rule(
        lambda column, check: f"is at least {check.value}",
        lambda column, check: f"{quoted(column.name)} < {literal(check.value)}",  # type: ignore[arg-type]
        takes="bound",
        prunable=True,
    ),
    "max": Rule(
        lambda column, check: f"is at most {check.value}",
        lambda column, check: f"{quoted(column.name)} > {literal(check.value)}",  # type: ignore[arg-type]
        takes="bound",
        prunable=True,
    ),
    "range": Rule(_bounds_words, _bounds, takes="bounds", prunable=True),
    "accepted_values": Rule(
        lambda column, check: f"is one of {', '.join(_as_text(v) for v in _values(check))}",
        _not_listed,
        takes="list",
    ),
    "pattern": _MATCHES,
    "regex": _MATCHES,
    "relationships": Rule(
        lambda column, check: (
            f"occurs in {column.foreign_key.table}.{column.foreign_key.column}"
            if column.foreign_key
            else ""
        ),
        _orphaned,
        takes="foreign key",
    ),
}


def lint_checks(asset: Asset, log: ProblemLog) -> None:
    """Report column checks that are unknown, lack their value, or have one they cannot use."""
    for column in asset.columns:
        for check in column.checks:
            rule = RULES.get(check.name)
            if rule is None:
                message = f"unknown check '{check.name}'; {did_you_mean(check.name, RULES)}"
                log.error(check.path, check.line, "valid-checks", message)
                continue
            complaint = _complaint(rule.takes, column, check)
            if complaint:
                message = f"the check '{check.name}' of '{column.name}' {complaint}"
                log.error(check.path, check.line, "valid-checks", message)


def _complaint(takes: Takes, column: Column, check: ColumnCheck) -> str | None:
    given = {
        "value": check.value,
        "min": check.min,
        "max": check.max,
        "pattern": check.pattern,
    }
    allowed = {
        "nothing": set(),
        "bound": {"value"},
        "bounds": {"min", "max"},
        "pattern": {"value", "pattern"},
        "list": {"value"},
        "foreign key": set(),
    }[takes]
    surplus = [key for key, value in given.items() if value is not None and key not in allowed]
    if surplus:
        what = _listed(allowed, " or ") or "no value"
        return f"takes {what}; remove {_listed(surplus, ', ')}"
    if takes == "foreign key":
        return None if column.foreign_key else "needs `foreign_key: {table, column}` on the column"
    if allowed and all(given[key] is None for key in allowed):
        return f"needs {_listed(allowed, ' or ')}"
    if takes == "bound" and isinstance(check.value, tuple):
        return "needs one value, not a list"
    if takes == "list" and check.value == ():
        return "needs at least one value"
    return None


def _listed(keys: Iterable[str], between: str) -> str:
    return between.join(f"`{key}:`" for key in sorted(keys))
