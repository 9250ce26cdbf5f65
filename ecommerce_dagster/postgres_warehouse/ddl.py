"""A table as its columns declare it, for programs and hooks to fill: `strategy: ddl`.

As in `warehouse.ddl`: the table is created when it is missing, a column that is declared later is
added, and nothing else of it ever changes. The primary key is a constraint of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg

from ecommerce_dagster.bruin.models import Asset, Column
from ecommerce_dagster.postgres_warehouse.catalog import Catalog, Table, actual
from ecommerce_dagster.postgres_warehouse.session import ask, run, said
from ecommerce_dagster.postgres_warehouse.types import declared_types
from ecommerce_dagster.warehouse.ddl import Declaration
from ecommerce_dagster.warehouse.identifiers import literal, quoted, relation
from ecommerce_dagster.warehouse.load import Loaded, LoadError

# Default values that are SQL; any other text means itself.
_EXPRESSION = re.compile(
    r"'.*'|\w+\s*\(.*\)|(null|true|false|current_\w+|localtime\w*)|(date|time\w*)\s+'.*'",
    re.IGNORECASE | re.DOTALL,
)


def declare_table(catalog: Catalog, asset: Asset, existing: Mapping[str, str] | None) -> Loaded:
    """Bring the table of `asset`, which has these columns, to what is declared. Runs inside the
    caller's transaction."""
    table = catalog.find(asset.name)
    types = declared_types(catalog.session, {declared_type(column) for column in asset.columns})
    plan = declaration(table, asset, types, existing, _comments_of(catalog, table))
    for name, query in plan.defaults.items():
        try:
            run(catalog.session, query)
        except psycopg.Error as error:
            raise LoadError(f"the default of the column {name}: {said(error)}") from error
    for statement in plan.statements:
        run(catalog.session, statement)
    return Loaded(statements=plan.statements, schema_changes=plan.changes)


def declaration(
    table: Table,
    asset: Asset,
    known: Mapping[str, str],
    existing: Mapping[str, str] | None,
    comments: Mapping[str, str],
) -> Declaration:
    """What brings a table with the columns `existing`, if it exists, and these `comments` (by
    column, "" is the table's) to what is declared. `known` are PostgreSQL's names of the types."""
    types = _types(asset, known)
    current = existing or {}
    added = [c for c in asset.columns if actual(c.name, current) not in current]
    definitions = [_definition(column, types[column.name]) for column in added]
    if existing is None:
        keys = ", ".join(quoted(key) for key in asset.primary_key)
        lines = ",\n  ".join([*definitions, *([f"PRIMARY KEY ({keys})"] if keys else [])])
        statements = [f"CREATE TABLE {table.sql} (\n  {lines}\n)"]
    else:
        statements = [f"ALTER TABLE {table.sql} ADD COLUMN {each}" for each in definitions]
    changes = [f"added column {c.name} {types[c.name]}" for c in added if existing is not None]
    changes += [
        f"the column {name} is {current[actual(name, current)]} and is declared as {kind}; "
        "a table with `strategy: ddl` is not rebuilt, change it by hand"
        for name, kind in types.items()
        if current.get(actual(name, current), kind) != kind
    ]
    return Declaration(
        (*statements, *_comments(table, asset, current, comments)),
        tuple(changes),
        {c.name: f"SELECT CAST({_default(c)} AS {types[c.name]})" for c in added},
    )


def declared_type(column: Column) -> str:
    """The type as it is written, with the digits that stand in keys of their own."""
    if "(" in column.type:
        return column.type
    if column.precision is not None:
        return f"{column.type}({column.precision}, {column.scale or 0})"
    return column.type if column.length is None else f"{column.type}({column.length})"


def _types(asset: Asset, known: Mapping[str, str]) -> dict[str, str]:
    """The types of the columns by their declared names."""
    for column in asset.columns:
        if declared_type(column) not in known:
            raise LoadError(
                f"the column '{column.name}' has the type '{declared_type(column)}', "
                "which PostgreSQL does not know"
            )
    return {column.name: known[declared_type(column)] for column in asset.columns}


def _definition(column: Column, kind: str) -> str:
    parts = [quoted(column.name), kind]
    if column.collation:
        parts.append(f"COLLATE {relation(column.collation)}")
    if column.default is not None:
        parts.append(f"DEFAULT {_default(column)}")
    if column.nullable is False:
        parts.append("NOT NULL")
    return " ".join(parts)


def _default(column: Column) -> str:
    value = column.default
    if value is None:
        return "NULL"
    if isinstance(value, str) and _EXPRESSION.fullmatch(value.strip()):
        return value.strip()
    return literal(value)


def _comments_of(catalog: Catalog, table: Table) -> dict[str, str]:
    """The comments of a table by column; its own is that of no name."""
    return dict(
        ask(
            catalog.session,
            "SELECT coalesce(attname, ''), description FROM pg_description"
            " LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND objsubid > 0"
            " WHERE objoid = to_regclass(%s) AND classoid = 'pg_class'::regclass",
            table.sql,
        )
    )


def _comments(
    table: Table, asset: Asset, columns: Mapping[str, str], known: Mapping[str, str]
) -> list[str]:
    """The descriptions that are not yet comments."""
    comments = []
    if asset.description and known.get("") != asset.description:
        comments.append(f"COMMENT ON TABLE {table.sql} IS {literal(asset.description)}")
    for column in asset.columns:
        name = actual(column.name, columns)
        if column.description and known.get(name) != column.description:
            text = literal(column.description)
            comments.append(f"COMMENT ON COLUMN {table.sql}.{quoted(name)} IS {text}")
    return comments
