"""What the types of a DuckLake keep of a value, where that is not all of it.

Its rows are Parquet, which has no integers of 128 bits: DuckLake writes them as DOUBLE without a
word, cuts intervals to milliseconds and turns times with an offset into UTC, inside of a list, a
struct or a map as well; TIME_NS ends the process. Here such integers are decimals of 38 digits, and
what would be lost is refused, with the column and the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import duckdb
from duckdb.sqltypes import DuckDBPyType

from ecommerce_dagster.sql import types
from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.sql.statements import ScriptError
from ecommerce_dagster.sql.type_rules import TypeRules

_HUGE = {"hugeint", "uhugeint"}
# Types that Parquet does not have, or that DuckLake does not write to it, and what to write.
_IMPOSSIBLE = {
    "bit": "VARCHAR",
    "bignum": "VARCHAR or DECIMAL(38,0)",
    "union": "a STRUCT with a field for each of its members",
    "variant": "JSON",
    "time_ns": "TIME",
}
_MILLISECONDS = (
    "datepart('hour', {0}) * 3600000 + datepart('minute', {0}) * 60000"
    " + datepart('microseconds', {0}) // 1000"
)
_INTERVAL_PARTS = ("year", "month", "day", "hour", "minute", "microseconds")
# The condition that something of a value is lost, by its type.
_LOST = {
    "interval": " OR ".join(
        [
            *(f"datepart('{part}', {{0}}) < 0" for part in _INTERVAL_PARTS),
            "datepart('microseconds', {0}) % 1000 <> 0",
            f"{_MILLISECONDS} >= 4294967296",
        ]
    ),
    "time with time zone": "datepart('timezone', {0}) <> 0 OR datepart('hour', {0}) = 24",
    "timestamp_s": "CAST({0} AS VARCHAR) IN ('infinity', '-infinity')",
}
# Of decimals without digits before the point those are lost that a DOUBLE rounds to 1.
_ROUNDED = "abs(CAST({0} AS DOUBLE)) >= 1"
_LONGEST_EXACT = 18  # digits of a decimal that is stored in 64 bits
_LOST_OF = {
    "interval": "it has whole milliseconds, no negative part and less than 1,194 hours",
    "time with time zone": "it has no offset",
    "timestamp_s": "it is finite",
}


def require_storable(name: str, kind: str) -> None:
    """Refuse a column that a script makes, of which a value could be lost. Raises ScriptError."""
    reason = _refusal(kind) or _doubt(kind)
    if _of(kind, lambda leaf: leaf.id in _HUGE):
        reason = "a DuckLake stores HUGEINT as DOUBLE, which rounds it; cast it to DECIMAL(38,0)"
    if reason:
        raise ScriptError(f"the column {name} is {kind}: {reason}")


def _stored(kind: DuckDBPyType) -> str:
    """The type that holds the values of another in a DuckLake."""
    name, parts = kind.id, _parts(kind)
    if name in _HUGE:
        return "DECIMAL(38,0)"
    if name == "enum":
        return "VARCHAR"
    if not parts:
        return str(kind)
    inner = [_stored(part) for _, part in parts]
    if name in {"list", "array"}:
        return f"{inner[0]}[]"
    if name == "map":
        return f"MAP({', '.join(inner)})"
    fields = zip((field for field, _ in parts), inner, strict=True)
    text = f"STRUCT({', '.join(f'{quoted(field)} {part}' for field, part in fields)})"
    # As DuckDB spells it, with no more quotes than it needs.
    return str(duckdb.sqltype(text))


def _refusal(kind: str) -> str | None:
    """Why a DuckLake can have no column of a type, whatever its values are."""
    parsed = _parsed(kind)
    if parsed is None:
        nameless = "STRUCT(" in kind
        return "a DuckLake needs a name for each field of a STRUCT" if nameless else None
    found = _of(kind, lambda leaf: leaf.id in _IMPOSSIBLE)
    if found is None:
        return None
    return f"a DuckLake has no {found.id.upper()}; cast it to {_IMPOSSIBLE[found.id]}"


def _doubt(kind: str) -> str | None:
    found = _of(kind, lambda leaf: leaf.id in _LOST)
    if found is None:
        return None
    return (
        f"a DuckLake does not keep every {found!s}, and what a script writes is not looked at; "
        "cast it to VARCHAR, or make the table by an asset with `materialization: {type: table}`"
    )


def _kept(column: str, expression: str, kind: str) -> str:
    parsed = _parsed(kind)
    lost = _lost(expression, parsed) if parsed else None
    if lost is None:
        return expression
    leaf = _of(kind, lambda leaf: leaf.id in _LOST_OF)
    advice = f": {leaf!s} there means that {_LOST_OF[leaf.id]}" if leaf else ""
    complaint = (
        f"{literal(f'the column {column} holds ')} || CAST({expression} AS VARCHAR) || "
        f"{literal(f', which a DuckLake does not keep as {kind}{advice}')}"
    )
    return f"CASE WHEN {lost} THEN error({complaint}) ELSE {expression} END"


def _lost(value: str, kind: DuckDBPyType, depth: int = 0) -> str | None:
    """The condition that something of a value is lost: NULL, or FALSE, when nothing is. None when
    nothing ever is."""
    if kind.id in _LOST:
        return _LOST[kind.id].format(value)
    parts = _parts(kind)
    if kind.id == "decimal":
        digits, scale = (int(str(number)) for _, number in kind.children)
        return _ROUNDED.format(value) if digits == scale > _LONGEST_EXACT else None
    if kind.id == "list":
        return _any_lost(value, parts[0][1], depth)
    if kind.id == "map":
        keys, values = (part for _, part in parts)
        found = [
            _any_lost(f"map_keys({value})", keys, depth),
            _any_lost(f"map_values({value})", values, depth),
        ]
    else:
        found = [
            _lost(f"struct_extract({value}, {literal(name)})", part, depth) for name, part in parts
        ]
    return " OR ".join(f"({condition})" for condition in found if condition) or None


def _any_lost(values: str, kind: DuckDBPyType, depth: int) -> str | None:
    each = f"_{depth}"
    lost = _lost(each, kind, depth + 1)
    return lost and f"len(list_filter({values}, lambda {each}: {lost})) > 0"


def _of(kind: str, is_wanted: Callable[[DuckDBPyType], bool]) -> DuckDBPyType | None:
    """The first type inside of a type, or that itself, which is wanted."""
    parsed = _parsed(kind)
    return next((leaf for leaf in _all(parsed) if is_wanted(leaf)), None) if parsed else None


def _all(kind: DuckDBPyType) -> Iterator[DuckDBPyType]:
    yield kind
    for _, part in _parts(kind):
        yield from _all(part)


def _parts(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """The types that a nested type is made of, by their names."""
    if kind.id not in {"list", "array", "struct", "map"}:
        return []
    # An array has its length among them.
    return [(name, part) for name, part in kind.children if isinstance(part, DuckDBPyType)]


@lru_cache
def _parsed(kind: str) -> DuckDBPyType | None:
    try:
        return duckdb.sqltype(kind)
    except duckdb.Error:
        return None


class LakeTypes(TypeRules):
    """The types of a DuckLake."""

    has_keys = False
    added_not_null = "never"

    def target_type(self, declared: str, actual: str) -> str:
        wanted = types.target_type(declared, actual)
        parsed = _parsed(wanted)
        return wanted if parsed is None else _stored(parsed)

    def refusal(self, kind: str) -> str | None:
        return _refusal(kind)

    def doubt(self, kind: str) -> str | None:
        return _doubt(kind)

    def kept(self, column: str, expression: str, kind: str) -> str:
        return _kept(column, expression, kind)


LAKE_RULES = LakeTypes()
