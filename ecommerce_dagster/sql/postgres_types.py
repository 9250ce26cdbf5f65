"""Declared types in PostgreSQL's words, and the change from one type to another that loses nothing
unseen. They mean the same as in `sql.types`.

Types are written as PostgreSQL's format_type() does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from ecommerce_dagster.sql.dialect import POSTGRES
from ecommerce_dagster.sql.identifiers import quoted, relation
from ecommerce_dagster.sql.type_rules import TypeRules

# The type of a column without any value in it: every other will do as well.
UNKNOWN = "unknown"

# Words of SQL and of other dialects that are no names of types in PostgreSQL's catalogue.
_SYNONYMS = {
    "tinyint": "int2", "smallint": "int2", "int16": "int2", "short": "int2", "smallserial": "int2",
    "int": "int4", "integer": "int4", "int32": "int4", "serial": "int4", "signed": "int4",
    "bigint": "int8", "int64": "int8", "long": "int8", "bigserial": "int8",
    "decimal": "numeric", "dec": "numeric", "number": "numeric", "bignumeric": "numeric",
    "hugeint": "numeric", "int128": "numeric",
    "real": "float4", "float": "float8", "float64": "float8", "double": "float8",
    "double precision": "float8",
    "string": "text", "str": "text", "char": "bpchar", "character": "bpchar", "nvarchar": "varchar",
    "character varying": "varchar",
    "boolean": "bool", "logical": "bool",
    "bytes": "bytea", "blob": "bytea", "binary": "bytea", "varbinary": "bytea",
    "datetime": "timestamp", "timestamp_ntz": "timestamp",
    "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
    "timestamp_tz": "timestamptz", "timestamp_ltz": "timestamptz",
    "time without time zone": "time", "time with time zone": "timetz",
}  # fmt: skip
# The names in PostgreSQL's catalogue of types that it calls otherwise itself.
_SHOWN = {
    "int2": "smallint", "int4": "integer", "int8": "bigint", "float4": "real",
    "float8": "double precision", "bpchar": "character", "varchar": "character varying",
    "bool": "boolean", "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone", "time": "time without time zone",
    "timetz": "time with time zone",
}  # fmt: skip
_WRITTEN = re.compile(r"([^(\[]+?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?([^(\[]*?)((?:\[\])*)")

_INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
_DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")
_LIMITED = re.compile(r"character(?: varying)?\((\d+)\)")
_FLOATS = {"real", "double precision"}
_TIMESTAMP = re.compile(r"timestamp(\(\d\))? with(out)? time zone")
_NAIVE, _AWARE = "timestamp without time zone", "timestamp with time zone"
_FLOAT_DIGITS = 15
# Types whose values are equal only when they are the same, and those that are so byte by byte.
_COMPARED = re.compile(
    r"boolean|smallint|integer|bigint|real|double precision|numeric(\(.*\))?|date|uuid|bytea"
    r"|time(stamp)?(\(\d\))? with(out)? time zone"
)
# Types that have no order, and arrays of them, which have none either.
_UNORDERED = re.compile(
    r"(aclitem|box|cid|circle|gtsvector|json|jsonpath|line|lseg|path|pg_snapshot|point|polygon"
    r"|refcursor|txid_snapshot|xid|xml)(\[\])*"
)
_TEXT = re.compile(r"text|character varying(\(\d+\))?")


def exact(kind: str) -> Callable[[str], str]:
    """What turns an expression for a value of this type into one that is equal for no other value.

    PostgreSQL takes a month for 30 days, compares boxes by their area, texts as their collation
    says, and JSON not at all; texts of bytes differ whenever the values do.
    """
    if not kind or _COMPARED.fullmatch(kind):
        return str
    if _TEXT.fullmatch(kind):
        return lambda sql: f'{sql} COLLATE "C"'
    return lambda sql: f'CAST({sql} AS text) COLLATE "C"'


def resolved(
    written: Iterable[str], known: Callable[[list[str]], Mapping[str, str]]
) -> dict[str, str]:
    """PostgreSQL's name of each declared type. Those that it does not have are missing.

    `known` tells it for names of the catalogue, of those that there are. A length is a promise,
    too: varchar(3). Digits of a second are no other kind of value.
    """
    parsed = {text: found for text in written if text and (found := _parsed(text))}
    names = known(sorted({name for name, _ in parsed.values()}))
    return {
        text: _with_modifier(names[name], modifier)
        for text, (name, modifier) in parsed.items()
        if name in names
    }


def supposed_types(written: Iterable[str]) -> dict[str, str]:
    """What `resolved` says when all the types exist, for where no database can be asked."""
    return resolved(written, lambda names: {name: _shown(name.replace('"', "")) for name in names})


def _shown(name: str) -> str:
    plain = name.removesuffix("[]")
    return _SHOWN.get(plain, plain) + name[len(plain) :]


def _parsed(written: str) -> tuple[str, str] | None:
    """The name of a type in the catalogue, and the digits that belong to it.

    An enumeration is the text that it holds.
    """
    if written.strip().lower().startswith("enum("):
        return "text", ""
    found = _WRITTEN.fullmatch(" ".join(written.lower().split()))
    if found is None:
        return None
    word, first, second, rest, dimensions = found.groups()
    name = f"{word}{rest}"
    digits = f"({first},{second or 0})" if first else ""
    return relation(_SYNONYMS.get(name, name)) + dimensions[:2], digits


def _with_modifier(name: str, digits: str) -> str:
    if not digits or not name.startswith(("numeric", "character")):
        return "text" if name in {"character", "character varying", "bpchar"} else name
    array = "[]" if name.endswith("[]") else ""
    if not name.startswith("numeric"):
        digits = digits.replace(",0)", ")")
    return f"{name.removesuffix('[]')}{digits}{array}"


def target_type(declared: str | None, actual: str) -> str:
    """The type of a column that is declared so and that comes as `actual`."""
    if declared is None:
        return "text" if actual == UNKNOWN else actual
    if declared == "numeric" and _is_number(actual):
        return actual
    if declared == "integer" and _is_number(actual):
        return actual if actual in _INTEGERS else "bigint"
    if declared == _NAIVE and _TIMESTAMP.fullmatch(actual):
        return actual
    return declared


def widened(current: str, incoming: str) -> str | None:
    """The type of a table's column that is to take `incoming` too without loss.

    None when there is none: other kinds of values become text only where a type says so.
    """
    if fits(incoming, current):
        return current
    if fits(current, incoming) and (incoming != "text" or _LIMITED.fullmatch(current)):
        return incoming
    ours, theirs = _exact(current), _exact(incoming)
    if ours and theirs:
        scale = max(ours.scale, theirs.scale)
        return f"numeric({max(ours.whole_digits, theirs.whole_digits) + scale},{scale})"
    both_fit = fits(current, "double precision") and fits(incoming, "double precision")
    return "double precision" if both_fit else None


def fits(actual: str, target: str) -> bool:
    """Whether every value of `actual` is a value of `target`."""
    if actual in {target, UNKNOWN} or target == "text":
        return True
    ours, theirs = _exact(actual), _exact(target)
    if ours and theirs:
        return theirs.holds(ours)
    if target == "numeric":
        return ours is not None
    if target == "double precision":
        small = ours is not None and ours.whole_digits + ours.scale <= _FLOAT_DIGITS
        return small or actual == "real"
    if _LIMITED.fullmatch(actual) and _LIMITED.fullmatch(target):
        return target.startswith("character varying") and _length(actual) <= _length(target)
    if target == _NAIVE:
        return actual == "date"
    if target == _AWARE:
        return actual in {"date", _NAIVE}
    return (actual, target) == ("json", "jsonb")


def converted(column: str, actual: str, target: str) -> str:
    """An expression for `column` as `target`."""
    name = quoted(column)
    numbers = _is_number(actual) and _is_number(target)
    times = POSTGRES.is_time(actual) and POSTGRES.is_time(target)
    if numbers or times or fits(actual, target):
        return f"CAST({name} AS {target})"
    text = f"CAST({name} AS text)"
    if _exact(target):
        # 3.0 is an integer.
        text = f"CAST({text} AS numeric)"
    return f"CAST({text} AS {target})"


def lost(column: str, actual: str, target: str) -> str:
    """The condition that a value of `column` is not the same as `target`.

    To ask for it can fail already, where a value is none of `target` at all.
    """
    name, made = quoted(column), converted(column, actual, target)
    limit = _LIMITED.fullmatch(target)
    if limit:
        return f"char_length(CAST({name} AS text)) > {limit.group(1)}"
    exact = _exact(target)
    if exact:
        number = f"CAST(CAST({name} AS text) AS numeric)"
        kept = f"round({number}, {exact.scale})"
        too_large = f"{kept} NOT BETWEEN {exact.low} AND {exact.high}"
        # A float has no exact number to keep, except for a whole one.
        rounds = actual in _FLOATS and exact.scale
        return too_large if rounds else f"{too_large} OR {kept} <> {number}"
    if POSTGRES.is_time(target) and (POSTGRES.is_time(actual) or not _is_number(actual)):
        witness = actual if POSTGRES.is_time(actual) else _AWARE
        given = name if POSTGRES.is_time(actual) else f"CAST({name} AS {witness})"
        return f"CAST({made} AS {witness}) IS DISTINCT FROM {given}"
    return f"{made} IS NULL AND {name} IS NOT NULL"


@dataclass(frozen=True)
class _Exact:
    """The exact numbers from `low` to `high` with so many decimals."""

    low: Decimal
    high: Decimal
    scale: int = 0

    @property
    def whole_digits(self) -> int:
        return len(str(int(self.high)))

    def holds(self, other: _Exact) -> bool:
        return self.scale >= other.scale and self.low <= other.low and other.high <= self.high


def _exact(name: str) -> _Exact | None:
    """What an exact number type with limits holds; None for any other type."""
    if name in _INTEGERS:
        end = _INTEGERS[name]
        return _Exact(Decimal(-end), Decimal(end - 1))
    found = _DECIMAL.fullmatch(name)
    if found is None:
        return None
    digits, scale = int(found.group(1)), int(found.group(2))
    high = Decimal((0, (9,) * digits, -scale))
    return _Exact(high.copy_negate(), high, scale)


def _length(name: str) -> int:
    found = _LIMITED.fullmatch(name)
    return int(found.group(1)) if found else 0


def _is_number(name: str) -> bool:
    return name == "numeric" or name in _FLOATS or _exact(name) is not None


@dataclass(frozen=True)
class PostgresTypes(TypeRules):
    """The types of a PostgreSQL, which are `declared` by what files write for them."""

    declared: Mapping[str, str]
    database = "PostgreSQL"
    unknown = UNKNOWN
    added_not_null = "at once"
    without_rows = MappingProxyType[str, str]({})
    counted = frozenset({"smallserial", "serial", "bigserial", "serial2", "serial4", "serial8"})

    def known(self, declared: str) -> str | None:
        return self.declared.get(declared)

    def target_type(self, declared: str, actual: str) -> str:
        return target_type(self.known(declared), actual)

    def widened(self, current: str, incoming: str) -> str | None:
        return widened(current, incoming)

    def converted(self, column: str, actual: str, target: str) -> str:
        return converted(column, actual, target)

    def exact(self, kind: str) -> Callable[[str], str]:
        return exact(kind)

    def is_ordered(self, kind: str) -> bool:
        return not _UNORDERED.fullmatch(kind)
