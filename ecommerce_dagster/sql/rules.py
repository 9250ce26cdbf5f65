"""Column checks: what each name means, which value it takes, and which rows break it.

To add a check: write one entry of RULES. NULL breaks `not_null` and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from ecommerce_dagster.bruin.model.asset import Asset, Column, ColumnCheck, Scalar
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.errors import UnlocatedError
from ecommerce_dagster.sql.column_kinds import ColumnKind, compared
from ecommerce_dagster.sql.identifiers import literal, quoted, relation

_NUMBER = re.compile(
    r"[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|inf(inity)?)|nan", re.ASCII | re.IGNORECASE
)
_LARGEST = 2**127
_DIGITS = re.compile(r"\((\d+)(?:,\s*(\d+))?\)")
_ADVICE = {
    "integer": "write a number",
    "decimal": "write a number",
    "floating": "write a number",
    "text": "give the column the type of a number, or compare it with a text",
    "boolean": "write true or false",
}
Takes = Literal["nothing", "bound", "bounds", "pattern", "list", "foreign key"]


class RuleError(UnlocatedError):
    """A rule that says nothing about values of the column's type."""


@dataclass(frozen=True)
class Rule:
    """A kind of column check.

    `broken(column, check, kind)` is the SQL condition of a bad row, in a column with values of that
    kind; it raises RuleError. `prunable` conditions compare the column with constants, so that
    DuckDB's zone maps answer them without reading clean data. `words` completes "each value ...".
    """

    words: Callable[[Column, ColumnCheck], str]
    broken: Callable[[Column, ColumnCheck, ColumnKind], str]
    takes: Takes = "nothing"
    prunable: bool = False


def _compare(words: str, operator: str, bound: int) -> Rule:
    return Rule(
        lambda column, check: words,
        lambda column, check, kind: _outside(column, kind, operator, bound),
        prunable=True,
    )


def _outside(column: Column, kind: ColumnKind, operator: str, bound: Scalar) -> str:
    """The condition of a value on the wrong side of a bound. NaN is on no side: it is above all
    others for the database, and not what is meant by large."""
    condition = f"{compared(column.name, kind)} {operator} {kind.constant(_bound(bound, kind))}"
    return f"{condition} OR {_is_nan(column)}" if kind.has_nan and "<" in operator else condition


def _is_nan(column: Column) -> str:
    # Not by isnan(), which zone maps do not answer.
    return f"{quoted(column.name)} = 'NaN'"


def _bound(value: Scalar, kind: ColumnKind) -> Scalar | Decimal:
    """A bound as a constant of the column's kind."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "text": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "other": True,
    }.get(kind.family, is_number)
    if kind.is_number and isinstance(value, str):
        number = _number(value)
        if number is not None and not number.is_nan():
            return number
    if not fits:
        raise RuleError(f"it compares {kind.type} with {_shown(value)}; {_ADVICE[kind.family]}")
    return value


def _shown(value: Scalar | Decimal) -> str:
    return f"'{value}'" if isinstance(value, str) else _as_text(value)


def _number(value: Scalar) -> Decimal | None:
    text = str(value).strip()
    return None if isinstance(value, bool) or not _NUMBER.fullmatch(text) else Decimal(text)


def _pattern(check: ColumnCheck) -> str:
    return str(check.pattern if check.pattern is not None else check.value)


def _bounds(column: Column, check: ColumnCheck, kind: ColumnKind) -> str:
    conditions = [_outside(column, kind, "<", check.min)] if check.min is not None else []
    conditions += [_outside(column, kind, ">", check.max)] if check.max is not None else []
    return " OR ".join(conditions)


def _beyond(operator: str) -> Callable[[Column, ColumnCheck, ColumnKind], str]:
    def broken(column: Column, check: ColumnCheck, kind: ColumnKind) -> str:
        assert check.value is not None
        assert not isinstance(check.value, tuple)
        return _outside(column, kind, operator, check.value)

    return broken


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


def _not_listed(column: Column, check: ColumnCheck, kind: ColumnKind) -> str:
    """Numbers are compared with the numbers of the list, whatever their decimals; all else as text,
    as in the original, and exactly."""
    name = quoted(column.name)
    if not kind.is_number:
        values = ", ".join(literal(_as_text(value)) for value in _values(check))
        return f"{kind.text(name)} NOT IN ({values})"
    numbers = [_constant(value, kind) for value in _values(check)]
    listed = ", ".join(number for number in numbers if number)
    return f"{name} NOT IN ({listed})" if listed else f"{name} IS NOT NULL"


def _constant(value: Scalar, kind: ColumnKind) -> str | None:
    """A value of a list as a number of the column's type; None when that has no such number."""
    number = _number(value)
    if number is None:
        return None
    if kind.family == "floating":
        return f"CAST('{number}' AS {kind.type})"
    if not number.is_finite():
        return f"CAST('{number}' AS {kind.type})" if kind.has_nan else None
    if kind.family == "integer":
        is_whole = number == number.to_integral_value() and abs(number) < _LARGEST
        return str(int(number)) if is_whole else None
    digits = _DIGITS.search(kind.type)
    if digits is None:
        return f"CAST('{number}' AS {kind.type})"
    precision, scale = int(digits[1]), int(digits[2] or 0)
    fits = abs(number) < Decimal(10) ** (precision - scale)
    is_exact = fits and number == round(number, scale)
    return f"CAST('{number}' AS {kind.type})" if is_exact else None


def _orphaned(column: Column, check: ColumnCheck, kind: ColumnKind) -> str:
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
    lambda column, check, kind: (
        # `.` is a newline too (s), as in PostgreSQL.
        f"NOT regexp_full_match({kind.text(quoted(column.name))}, {literal(_pattern(check))}, 's')"
    ),
    takes="pattern",
)
RULES: dict[str, Rule] = {
    "not_null": Rule(
        lambda column, check: "has a value",
        lambda column, check, kind: f"{quoted(column.name)} IS NULL",
        prunable=True,
    ),
    # Counted in a way of its own (check_counts.py): the rows beyond the first of each value.
    "unique": Rule(
        lambda column, check: "occurs once",
        lambda column, check, kind: "",
    ),
    "positive": _compare("is above 0", "<=", 0),
    "non_negative": _compare("is 0 or above", "<", 0),
    "negative": _compare("is below 0", ">=", 0),
    "min": Rule(
        lambda column, check: f"is at least {check.value}",
        _beyond("<"),
        takes="bound",
        prunable=True,
    ),
    "max": Rule(
        lambda column, check: f"is at most {check.value}",
        _beyond(">"),
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
    if takes in {"bound", "bounds"}:
        return _useless_bound(check)
    return None


def _useless_bound(check: ColumnCheck) -> str | None:
    """What is wrong with a bound that no value is beyond."""
    least = check.value if check.name == "min" else check.min
    largest = check.value if check.name == "max" else check.max
    for bound, other in ((least, "-inf"), (largest, "inf")):
        number = None if bound is None or isinstance(bound, tuple) else _number(bound)
        if number is not None and number.is_nan():
            return f"has the bound {bound}, which no value is beyond; write a number"
        if number is not None and str(number).lower() in {other, f"{other}inity"}:
            return f"has the bound {bound}, which no value is beyond; remove it"
    return None


def _listed(keys: Iterable[str], between: str) -> str:
    return between.join(f"`{key}:`" for key in sorted(keys))
