"""Declared types, actual types, and the cast from one to the other that loses nothing unseen.

A declared type is a promise about meaning. `integer` is kept by any integer the query returns (an
id above 2^31 must not stop a pipeline), `timestamp` by a TIMESTAMPTZ, `numeric` by any exact
number. Where the query's type is of another kind, the column is cast, and a value that the declared
type cannot hold stops the load with an error that names the column.
"""

from __future__ import annotations

import re

from ecommerce_dagster.warehouse.identifiers import literal, quoted

# What people write (in any dialect) and what DuckDB calls it.
_SYNONYMS = {
    "string": "VARCHAR", "text": "VARCHAR", "char": "VARCHAR", "str": "VARCHAR",
    "character varying": "VARCHAR", "nvarchar": "VARCHAR", "bpchar": "VARCHAR",
    "int": "INTEGER", "int4": "INTEGER", "int32": "INTEGER", "signed": "INTEGER",
    "int8": "BIGINT", "int64": "BIGINT", "long": "BIGINT", "bigserial": "BIGINT",
    "serial": "INTEGER", "int2": "SMALLINT", "int16": "SMALLINT", "short": "SMALLINT",
    "number": "DECIMAL", "numeric": "DECIMAL", "decimal": "DECIMAL", "bignumeric": "DECIMAL",
    "float": "DOUBLE", "float8": "DOUBLE", "float64": "DOUBLE", "double precision": "DOUBLE",
    "float4": "FLOAT", "real": "FLOAT", "bool": "BOOLEAN", "logical": "BOOLEAN",
    "datetime": "TIMESTAMP", "timestamp_ntz": "TIMESTAMP", "timestamp without time zone": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE", "timestamp_tz": "TIMESTAMP WITH TIME ZONE",
    "timestamp_ltz": "TIMESTAMP WITH TIME ZONE", "bytes": "BLOB", "bytea": "BLOB", "binary": "BLOB",
    "jsonb": "JSON",
}  # fmt: skip
_FAMILIES = {
    "integer": ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"],
    "float": ["FLOAT", "DOUBLE"],
    "timestamp": [
        "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE",
    ],
    "text": ["VARCHAR"],
}  # fmt: skip
_FAMILY_OF = {name: family for family, names in _FAMILIES.items() for name in names}
_INTEGER_DIGITS = {
    "TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "HUGEINT": 39,
    "UTINYINT": 3, "USMALLINT": 5, "UINTEGER": 10, "UBIGINT": 20,
}  # fmt: skip
_DECIMAL = re.compile(r"^DECIMAL\((\d+),\s*(\d+)\)$")


def normal(declared: str) -> str:
    """DuckDB's name of a declared type: `numeric(12, 2)` is DECIMAL(12,2), `string` VARCHAR."""
    text = " ".join(declared.split())
    name, bracket, rest = text.partition("(")
    base = _SYNONYMS.get(name.strip().lower(), name.strip().upper())
    if base == "VARCHAR":
        return base
    arguments = f"({rest.replace(' ', '')}" if bracket else ""
    if base == "DECIMAL" and arguments and "," not in arguments:
        arguments = arguments.replace(")", ",0)")
    return base + arguments


def target_type(declared: str, actual: str) -> str:
    """The type of a column that is declared so and that the query returns as `actual`."""
    if not declared.strip():
        return actual
    wanted = normal(declared)
    if wanted == "DECIMAL":
        return actual if _is_number(actual) else "DECIMAL(38,9)"
    if wanted in {"INTEGER", "TIMESTAMP"} and _FAMILY_OF.get(wanted) == _FAMILY_OF.get(actual):
        return actual
    if wanted == "INTEGER" and _is_number(actual):
        return "BIGINT"
    return wanted


def widened(current: str, incoming: str) -> str | None:
    """The type that holds both without loss, or None when they are of different kinds."""
    if current == incoming:
        return current
    if fits(incoming, current):
        return current
    if fits(current, incoming) and incoming != "VARCHAR":
        return incoming
    ours, theirs = _digits(current), _digits(incoming)
    if ours and theirs:
        scale = max(ours[1], theirs[1])
        whole = max(ours[0] - ours[1], theirs[0] - theirs[1])
        return f"DECIMAL({min(38, whole + scale)},{scale})"
    if _is_number(current) and _is_number(incoming):
        return "DOUBLE"
    return None


def fits(actual: str, target: str) -> bool:
    """Whether every value of `actual` is a value of `target`."""
    if actual == target or target == "VARCHAR":
        return True
    ours, theirs = _digits(actual), _digits(target)
    if ours and theirs:
        return theirs[0] - theirs[1] >= ours[0] - ours[1] and theirs[1] >= ours[1]
    if target in _FAMILIES["float"]:
        return _is_number(actual) and (target == "DOUBLE" or actual == "FLOAT")
    if actual == "DATE":
        return _FAMILY_OF.get(target) == "timestamp"
    return (
        _FAMILY_OF.get(actual) == "timestamp"
        and target in {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
        and actual in {"TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP"}
    )


def cast(column: str, actual: str, target: str) -> str:
    """An expression for `column` as `target`; a value that would be lost raises an error."""
    name = quoted(column)
    if actual == target:
        return name
    converted = f"CAST({name} AS {target})"
    if fits(actual, target) or _is_approximate(actual):
        return converted
    if _comparable(actual, target):
        attempt = f"TRY_CAST({name} AS {target})"
        kept = f"TRY_CAST({attempt} AS {actual}) IS NOT DISTINCT FROM {name}"
    else:
        # Through text every pair of types binds, also the INTEGER that DuckDB calls a bare NULL.
        attempt = f"TRY_CAST(CAST({name} AS VARCHAR) AS {target})"
        kept = f"{name} IS NULL OR {attempt} IS NOT NULL"
    complaint = (
        f"{literal(f'the column {column} holds ')} || CAST({name} AS VARCHAR) || "
        f"{literal(f', which does not fit its type {target}')}"
    )
    return f"CASE WHEN {kept} THEN {attempt} ELSE error({complaint}) END"


def _comparable(actual: str, target: str) -> bool:
    """Whether there is a cast in both directions, so that a value can be sent there and back."""
    temporal = {"DATE", *_FAMILIES["timestamp"]}
    return (_is_number(actual) and _is_number(target)) or (
        actual in temporal and target in temporal
    )


def _is_approximate(name: str) -> bool:
    return name in _FAMILIES["float"]


def _is_number(name: str) -> bool:
    return _digits(name) is not None or _is_approximate(name)


def _digits(name: str) -> tuple[int, int] | None:
    """Total digits and digits after the point of an exact number."""
    found = _DECIMAL.match(name)
    if found:
        return int(found.group(1)), int(found.group(2))
    digits = _INTEGER_DIGITS.get(name)
    return (digits, 0) if digits else None
