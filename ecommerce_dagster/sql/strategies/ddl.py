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
from ecommerce_dagster.sql.identifiers import literal, quoted, relation
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
    asset: Asset,
    existing: Mapping[str, str] | None,
    comments: Mapping[str, str],
    rules: TypeRules,
) -> Declaration:
    """How the table of `asset`, with these columns and types, becomes what is declared.

    `existing` is None when there is no table. `comments` are those that it has: by column, and that
    of the table itself by an empty name. Raises LoadError.
    """
    table = relation(asset.name)
    current = {name.lower(): kind for name, kind in (existing or {}).items()}
    added = [column for column in asset.columns if column.name.lower() not in current]
    for column in added:
        _require_storable(column, rules)
    if existing is None:
        keys = ", ".join(quoted(key) for key in asset.primary_key) if rules.has_keys else ""
        definitions = [_definition(column, rules) for column in asset.columns]
        lines = ",\n  ".join([*definitions, *([f"PRIMARY KEY ({keys})"] if keys else [])])
        statements = [f"CREATE TABLE IF NOT EXISTS {table} (\n  {lines}\n)"]
    else:
        statements = [step for column in added for step in _additions(table, column, rules)]
    return Declaration(
        statements=(*statements, *_comments(asset, comments)),
        changes=(
            *(f"added column {c.name} {_type(c, rules)}" for c in added if existing is not None),
            *(_OPTIONAL.format(c.name) for c in added if existing and not _is_kept(c, rules)),
            *_other_types(asset, current, rules),
        ),
        defaults={
            column.name: f"SELECT CAST({_default(column)} AS {_type(column, rules)})"
            for column in added
            if column.default is not None
        },
    )


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
        elif known_type(_declared(column)) is None:
            found.append(
                f"the column '{column.name}' has the type '{_declared(column)}', "
                "which DuckDB does not know; write one that it has, as VARCHAR"
            )
    return found


def _declared(column: Column) -> str:
    """The type as it is written, with the digits that stand in keys of their own."""
    if column.type.strip().lower() == "float":
        return "REAL"  # DuckDB's own FLOAT; where rows decide, a float is what Python calls so
    digits = "" if column.precision is None else f"({column.precision}, {column.scale or 0})"
    return column.type + (digits if known_type(column.type) == "DECIMAL" else "")


def _type(column: Column, rules: TypeRules) -> str:
    return rules.target_type(_declared(column), "VARCHAR")


def _require_storable(column: Column, rules: TypeRules) -> None:
    kind = _type(column, rules)
    reason = rules.refusal(kind) or rules.doubt(kind)
    if reason:
        raise LoadError(f"the column {column.name} is {kind}: {reason}")


def _default(column: Column) -> str:
    value = column.default
    if value is None:
        return "NULL"
    if isinstance(value, str) and _EXPRESSION.fullmatch(value.strip()):
        return value.strip()
    return literal(value)


def _definition(column: Column, rules: TypeRules, *, constrained: bool = True) -> str:
    parts = [quoted(column.name), _type(column, rules)]
    if column.collation:
        parts.append(f"COLLATE {relation(column.collation)}")
    if column.default is not None:
        parts.append(f"DEFAULT {_default(column)}")
    if constrained and column.nullable is False:
        parts.append("NOT NULL")
    return " ".join(parts)


def _additions(table: str, column: Column, rules: TypeRules) -> list[str]:
    """DuckDB adds no column with a constraint; the constraint comes second."""
    steps = [f"ALTER TABLE {table} ADD COLUMN {_definition(column, rules, constrained=False)}"]
    if column.nullable is False and rules.constrains_later:
        steps.append(f"ALTER TABLE {table} ALTER COLUMN {quoted(column.name)} SET NOT NULL")
    return steps


def _is_kept(column: Column, rules: TypeRules) -> bool:
    """Whether a column that is added is never NULL, where it is declared so."""
    return column.nullable is not False or rules.constrains_later


def _comments(asset: Asset, known: Mapping[str, str]) -> list[str]:
    """The descriptions that are not yet comments."""
    table = relation(asset.name)
    comments = []
    if asset.description and known.get("") != asset.description:
        comments.append(f"COMMENT ON TABLE {table} IS {literal(asset.description)}")
    for column in asset.columns:
        if column.description and known.get(column.name.lower()) != column.description:
            comments.append(
                f"COMMENT ON COLUMN {table}.{quoted(column.name)} IS {literal(column.description)}"
            )
    return comments


def _other_types(asset: Asset, current: Mapping[str, str], rules: TypeRules) -> list[str]:
    return [
        f"the column {column.name} is {current[column.name.lower()]} and is declared as "
        f"{_type(column, rules)}; a table with `strategy: ddl` is not rebuilt, change it by hand"
        for column in asset.columns
        if current.get(column.name.lower(), _type(column, rules))
        not in {_type(column, rules), known_type(column.type)}
    ]
