"""A table as its columns declare it, for programs and hooks to fill: `strategy: ddl`.

There is no query. The table is created when it is missing, and a column that is declared later is
added. Nothing else of an existing table changes, whatever else the file says, not even in a full
refresh: its rows come from elsewhere and could not be made again. A column that has another type
than declared is reported.

The primary key is a constraint of the table: scripts that say ON CONFLICT need it. A DuckLake has
none; there, and for foreign keys, declare checks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.sql.identifiers import actual, literal, quoted, relation
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.sql.type_rules import TypeRules
from ecommerce_dagster.sql.types import known_type

_COMMENTS = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
# Default values that are SQL; any other text means itself.
_EXPRESSION = re.compile(
    r"'.*'|\w+\s*\(.*\)|(null|true|false|current_\w+|localtime\w*)|(date|time\w*)\s+'.*'",
    re.IGNORECASE | re.DOTALL,
)
_OPTIONAL = "the column {} may be NULL: a DuckLake adds no column that may not"


@dataclass(frozen=True)
class Declaration:
    """The statements that bring a table to its declaration, and what a reader of it should know.

    `defaults` has a query for the default value of each column that is to have one.
    """

    statements: tuple[str, ...]
    changes: tuple[str, ...]
    defaults: Mapping[str, str]


def declaration(
    table: str,
    asset: Asset,
    existing: Mapping[str, str] | None,
    types: TypeRules,
) -> Declaration:
    """How `table` (SQL), with these columns and types, becomes what `asset` declares.

    `existing` is None when there is no table. Raises LoadError.
    """
    current = existing or {}
    # A table of another strategy has this type, which is as good.
    meant = {
        c.name: types.known(c.type)
        for c in asset.columns
        if c.type.strip().lower() in types.without_rows
    }
    kinds = {column.name: _type(column, types) for column in asset.columns}
    added = [c for c in asset.columns if actual(c.name, current) not in current]
    for column in added:
        _require_storable(column.name, kinds[column.name], types)
    if existing is None:
        keys = ", ".join(map(quoted, asset.primary_key)) if types.has_keys else ""
        lines = [_definition(c, kinds[c.name], types, is_new=True) for c in asset.columns]
        body = ",\n  ".join([*lines, *([f"PRIMARY KEY ({keys})"] if keys else [])])
        statements = [f"CREATE TABLE {table} (\n  {body}\n)"]
        notes = []
    else:
        statements = [step for c in added for step in _additions(table, c, kinds[c.name], types)]
        notes = [f"added column {column.name} {kinds[column.name]}" for column in added]
        if types.added_not_null == "never":
            notes += [_OPTIONAL.format(c.name) for c in added if c.nullable is False]
    notes += [
        f"the column {name} is {current[actual(name, current)]} and is declared as {kind}; "
        "a table with `strategy: ddl` is not rebuilt, change it by hand"
        for name, kind in kinds.items()
        if current.get(actual(name, current), kind) not in {kind, meant.get(name)}
    ]
    return Declaration(
        tuple(statements),
        tuple(notes),
        {
            column.name: f"SELECT CAST({_default(column)} AS {kinds[column.name]})"
            for column in added
            if column.default is not None
        },
    )


def declared_types(asset: Asset) -> set[str]:
    """All that the columns of `asset` may write for a type: with and without the digits that stand
    in keys of their own."""
    return {text for column in asset.columns for text in _written(column)}


def complaints(asset: Asset) -> list[str]:
    """What keeps the columns of `asset` from being the declaration of a table."""
    found = []
    if _COMMENTS.sub("", asset.body).strip():
        found.append(
            "the strategy 'ddl' makes a table from `columns`; it takes no query, remove it"
        )
    if not asset.columns:
        found.append("the strategy 'ddl' needs `columns` with types")
    for column in asset.columns:
        if not column.type:
            found.append(f"the strategy 'ddl' needs a type for the column '{column.name}'")
        elif not any(map(known_type, _written(column))):
            found.append(
                f"the column '{column.name}' has the type '{_written(column)[0]}', "
                "which DuckDB does not know; write one that it has, as VARCHAR"
            )
    return found


def _written(column: Column) -> list[str]:
    """The type as it is written: with the digits that stand in keys of their own, if it takes any.
    Not every type of texts takes a length; without one it holds them too."""
    kind = column.type
    if "(" not in kind and column.precision is not None and known_type(kind) == "DECIMAL":
        return [f"{kind}({column.precision}, {column.scale or 0})"]
    if "(" not in kind and column.length is not None:
        return [f"{kind}({column.length})", kind]
    return [kind]


def _type(column: Column, types: TypeRules) -> str:
    alone = types.without_rows.get(column.type.strip().lower())
    for written in [alone] if alone else _written(column):
        if types.known(written) is not None:
            return types.target_type(written, types.unknown)
    raise LoadError(
        f"the column '{column.name}' has the type '{_written(column)[0]}', "
        f"which {types.database} does not know"
    )


def _require_storable(name: str, kind: str, types: TypeRules) -> None:
    reason = types.refusal(kind) or types.doubt(kind)
    if reason:
        raise LoadError(f"the column {name} is {kind}: {reason}")


def _default(column: Column) -> str:
    value = column.default
    if value is None:
        return "NULL"
    if isinstance(value, str) and _EXPRESSION.fullmatch(value.strip()):
        return value.strip()
    return literal(value)


def _definition(column: Column, kind: str, types: TypeRules, *, is_new: bool) -> str:
    """A column of a table, which `is_new`, or gets the column later."""
    parts = [quoted(column.name), kind]
    if column.collation:
        parts.append(f"COLLATE {relation(column.collation)}")
    if column.default is not None:
        parts.append(f"DEFAULT {_default(column)}")
    elif column.type.strip().lower() in types.counted:
        parts.append("GENERATED BY DEFAULT AS IDENTITY")
    if column.nullable is False and (is_new or types.added_not_null == "at once"):
        parts.append("NOT NULL")
    return " ".join(parts)


def _additions(table: str, column: Column, kind: str, types: TypeRules) -> list[str]:
    alter = f"ALTER TABLE {table}"
    steps = [f"{alter} ADD COLUMN {_definition(column, kind, types, is_new=False)}"]
    if column.nullable is False and types.added_not_null == "afterwards":
        steps.append(f"{alter} ALTER COLUMN {quoted(column.name)} SET NOT NULL")
    return steps
