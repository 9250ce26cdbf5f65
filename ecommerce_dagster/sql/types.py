"""Declared types, actual types, and the cast from one to the other that loses nothing unseen.

A declared type is a promise about meaning. `integer` is kept by any integer the query returns (an
id above 2^31 must not stop a pipeline), `timestamp` by a TIMESTAMPTZ, `numeric` by any number.
Where the query's type is of another kind, the column is cast, and a value that the declared type
cannot hold stops the load with an error that names the column. Two conversions round, because that
is what such a type is declared for: anything to a float, and a float to a DECIMAL with decimals.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import duckdb

from ecommerce_dagster.sql.identifiers import literal, quoted

# The type of a bare NULL: nothing is known of the column, any type will do.
NULL = '"NULL"'

# What people write in other dialects, where DuckDB does not know it or means less by it.
_SYNONYMS = {
    "bignumeric": "DECIMAL", "number": "DECIMAL", "numeric": "DECIMAL", "dec": "DECIMAL",
    "bigserial": "BIGINT", "serial": "INTEGER", "smallserial": "SMALLINT",
    "bytes": "BLOB", "str": "VARCHAR", "jsonb": "JSON",
    "float": "DOUBLE", "float64": "DOUBLE",
    "timestamp_ntz": "TIMESTAMP",
    "timestamp_ltz": "TIMESTAMP WITH TIME ZONE", "timestamp_tz": "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip
# `timestamp(6) with time zone`: digits of a second are no other kind of value.
_PRECISION = re.compile(r"^(time\w*|datetime)\s*\(\s*\d+\s*\)", re.IGNORECASE)

_SIGNED = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
_UNSIGNED = {"UTINYINT": 8, "USMALLINT": 16, "UINTEGER": 32, "UBIGINT": 64, "UHUGEINT": 128}
_INTEGERS = {*_SIGNED, *_UNSIGNED} - {"HUGEINT", "UHUGEINT", "UBIGINT"}
_FLOATS = {"FLOAT", "DOUBLE"}
_FLOAT_DIGITS = 15
_TIMESTAMPS = {
    "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip
_TEMPORAL = {"DATE", *_TIMESTAMPS}
_NESTED = re.compile(r"\]$|^(STRUCT|MAP|UNION)\(")
_DECIMAL = re.compile(r"^DECIMAL\((\d+),\s*(\d+)\)$")
_MOST_DIGITS = 38


@dataclass(frozen=True)
class _Exact:
    """The exact numbers from `low` to `high`, both counted in units of the last decimal."""

    low: int
    high: int
    scale: int = 0

    @property
    def whole_digits(self) -> int:
        return len(str(self.high // 10**self.scale))

    def holds(self, other: _Exact) -> bool:
        if other.scale > self.scale:
            return False
        unit = 10 ** (self.scale - other.scale)
        return bool(self.low <= other.low * unit and other.high * unit <= self.high)


@lru_cache
def known_type(declared: str) -> str | None:
    """DuckDB's name of a declared type; None when nothing is declared or DuckDB knows no such type.

    A bare `numeric` is DECIMAL, any number. An enumeration is the text that it holds.
    """
    text = _PRECISION.sub(r"\1", " ".join(declared.split()))
    word = re.split(r"[(\[]", text, maxsplit=1)[0]
    text = _SYNONYMS.get(word.strip().lower(), word) + text[len(word) :]
    if text.upper() == "DECIMAL":
        return "DECIMAL"
    try:
        found = str(duckdb.sqltype(text))
    except duckdb.Error:
        return None
    return None if found == NULL else _stored(found)


def exact(kind: str) -> Callable[[str], str]:
    """What turns an expression for a value of this type into one that is equal for no other value.
    DuckDB takes a month for 30 days, and a day for 24 hours."""
    return (lambda sql: f"CAST({sql} AS VARCHAR)") if "INTERVAL" in kind else str


def normal(declared: str) -> str:
    """How a declared type is shown: `numeric(12, 2)` is DECIMAL(12,2), `string` VARCHAR."""
    return known_type(declared) or " ".join(declared.split()).upper()


def target_type(declared: str, actual: str) -> str:
    """The type of a column that is declared so and that the query returns as `actual`."""
    wanted = known_type(declared)
    if wanted is None:
        return _stored(actual)
    if wanted == "DECIMAL":
        return actual if _is_number(actual) else "DECIMAL(38,9)"
    if wanted == "TIMESTAMP" and actual in _TIMESTAMPS:
        return actual
    if wanted == "INTEGER" and _is_number(actual):
        return actual if actual in _INTEGERS else "BIGINT"
    return wanted


def widened(current: str, incoming: str) -> str | None:
    """The type of a table's column that is to take `incoming` too without loss.

    None when there is none: other kinds of values become text only where a type says so.
    """
    current = _stored(current)
    if _fits(incoming, current):
        return current
    if _fits(current, incoming) and incoming != "VARCHAR":
        return incoming
    ours, theirs = _exact(current), _exact(incoming)
    if ours and theirs:
        return _exact_for(ours, theirs)
    both_fit = _fits(current, "DOUBLE") and _fits(incoming, "DOUBLE")
    return "DOUBLE" if both_fit else None


def cast(column: str, actual: str, target: str, *, alike: bool = False) -> str:
    """An expression for `column` as `target`; a value that would be lost raises an error.

    `alike` types differ only in how they store a value.
    """
    name = quoted(column)
    if actual == target:
        return name
    # A list or a struct is JSON as it is; its text is not.
    if _fits(actual, target) or (target == "JSON" and _NESTED.search(actual)):
        return f"CAST({name} AS {target})"
    direct = alike or (_is_number(actual) and _is_number(target)) or {actual, target} <= _TEMPORAL
    # Through text every pair of types binds, also the INTEGER that DuckDB calls a bare NULL.
    attempt = f"TRY_CAST({name if direct else f'CAST({name} AS VARCHAR)'} AS {target})"
    witness = _witness(actual, target)
    kept = f"{attempt} IS NOT NULL"
    if witness:
        kept = f"coalesce(TRY_CAST({attempt} AS {witness}) = TRY_CAST({name} AS {witness}), FALSE)"
    complaint = (
        f"{literal(f'the column {column} holds ')} || CAST({name} AS VARCHAR) || "
        f"{literal(f', which does not fit its type {target}')}"
    )
    return f"CASE WHEN {name} IS NULL OR {kept} THEN {attempt} ELSE error({complaint}) END"


def _witness(actual: str, target: str) -> str | None:
    """A type in which a value must be the same before and after the cast.

    None where it is enough that there is a value afterwards.
    """
    exact = _exact(target)
    if actual == "VARCHAR" and exact:
        # Room for decimals that the target has not: text that rounds is refused, and so is text of
        # more than 29 digits.
        return f"DECIMAL({_MOST_DIGITS},{max(_MOST_DIGITS - exact.whole_digits, 9)})"
    if actual == "VARCHAR" and target in _TEMPORAL:
        return "TIMESTAMP WITH TIME ZONE"
    if {actual, target} <= _TEMPORAL or (_exact(actual) and exact):
        return actual
    if _NESTED.search(actual) and _NESTED.search(target):
        return actual
    return actual if actual in _FLOATS and exact and not exact.scale else None


def _fits(actual: str, target: str) -> bool:
    """Whether every value of `actual` is a value of `target`."""
    if actual in {target, NULL} or target == "VARCHAR":
        return True
    ours, theirs = _exact(actual), _exact(target)
    if ours and theirs:
        return theirs.holds(ours)
    if target == "DOUBLE":
        small = ours is not None and ours.whole_digits + ours.scale <= _FLOAT_DIGITS
        return small or actual == "FLOAT"
    if target in {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}:
        return actual in _TEMPORAL - {"TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"}
    return actual == "DATE" and target in _TIMESTAMPS


def _exact_for(ours: _Exact, theirs: _Exact) -> str:
    """The smallest type for both, or the largest there is; the cast refuses what it cannot hold."""
    scale = max(ours.scale, theirs.scale)
    if not scale:
        holders = ((name, _exact(name)) for name in _SIGNED)
        fitting = (name for name, e in holders if e and e.holds(ours) and e.holds(theirs))
        return next(fitting, "HUGEINT")
    whole = max(ours.whole_digits, theirs.whole_digits)
    return f"DECIMAL({min(_MOST_DIGITS, whole + scale)},{scale})"


def _exact(name: str) -> _Exact | None:
    """What an exact number type holds; None for any other type."""
    if name in _SIGNED:
        half = 2 ** (_SIGNED[name] - 1)
        return _Exact(-half, half - 1)
    if name in _UNSIGNED:
        return _Exact(0, 2 ** _UNSIGNED[name] - 1)
    found = _DECIMAL.match(name)
    if found is None:
        return None
    high = 10 ** int(found.group(1)) - 1
    return _Exact(-high, high, int(found.group(2)))


def _stored(actual: str) -> str:
    """The type that a column of this type gets in a table."""
    if actual == NULL:
        return "INTEGER"
    return "VARCHAR" if actual.startswith("ENUM(") else actual


def _is_number(name: str) -> bool:
    return _exact(name) is not None or name in _FLOATS
