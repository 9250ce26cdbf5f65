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
    types = _types(catalog, asset)
    current = existing or {}
    added = [c for c in asset.columns if actual(c.name, current) not in current]
    _require_defaults(catalog, added, types)
    definitions = [_definition(column, types[column.name]) for column in added]
    if existing is None:
        keys = ", ".join(quoted(key) for key in asset.primary_key)
        lines = ",\n  ".join([*definitions, *([f"PRIMARY KEY ({keys})"] if keys else [])])
        statements = [f"CREATE TABLE {table.sql} (\n  {lines}\n)"]
    else:
        statements = [f"ALTER TABLE {table.sql} ADD COLUMN {each}" for each in definitions]
    for statement in statements:
        run(catalog.session, statement)
    comments = _comments(catalog, table, asset)
    for comment in comments:
        run(catalog.session, comment)
    changes = [f"added column {c.name} {types[c.name]}" for c in added if existing is not None]
    changes += [
        f"the column {name} is {current[actual(name, current)]} and is declared as {kind}; "
        "a table with `strategy: ddl` is not rebuilt, change it by hand"
        for name, kind in types.items()
        if current.get(actual(name, current), kind) != kind
    ]
    return Loaded(statements=(*statements, *comments), schema_changes=tuple(changes))


def _types(catalog: Catalog, asset: Asset) -> dict[str, str]:
    """The types of the columns by their declared names."""
    found = declared_types(catalog.session, {_declared(column) for column in asset.columns})
    for column in asset.columns:
        if _declared(column) not in found:
            raise LoadError(
                f"the column '{column.name}' has the type '{_declared(column)}', "
                "which PostgreSQL does not know"
            )
    return {column.name: found[_declared(column)] for column in asset.columns}


def _declared(column: Column) -> str:
    """The type as it is written, with the digits that stand in keys of their own."""
    if "(" in column.type:
        return column.type
    if column.precision is not None:
        return f"{column.type}({column.precision}, {column.scale or 0})"
    return column.type if column.length is None else f"{column.type}({column.length})"


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


def _require_defaults(catalog: Catalog, columns: list[Column], types: Mapping[str, str]) -> None:
    for column in columns:
        try:
            run(catalog.session, f"SELECT CAST({_default(column)} AS {types[column.name]})")
        except psycopg.Error as error:
            raise LoadError(f"the default of the column {column.name}: {said(error)}") from error


def _comments(catalog: Catalog, table: Table, asset: Asset) -> list[str]:
    """The descriptions that are not yet comments."""
    columns = catalog.columns(table.sql)
    known = dict(
        ask(
            catalog.session,
            "SELECT coalesce(attname, ''), description FROM pg_description"
            " LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND objsubid > 0"
            " WHERE objoid = to_regclass(%s) AND classoid = 'pg_class'::regclass",
            table.sql,
        )
    )
    comments = []
    if asset.description and known.get("") != asset.description:
        comments.append(f"COMMENT ON TABLE {table.sql} IS {literal(asset.description)}")
    for column in asset.columns:
        name = actual(column.name, columns)
        if column.description and known.get(name) != column.description:
            text = literal(column.description)
            comments.append(f"COMMENT ON COLUMN {table.sql}.{quoted(name)} IS {text}")
    return comments
