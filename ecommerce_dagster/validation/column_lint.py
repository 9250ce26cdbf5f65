"""Whether what a file declares of its columns fits the columns that its table will have."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.problems import ProblemLog, listed, nearest
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.sql.strategies.registry import STRATEGIES, strategy_name
from ecommerce_dagster.sql.type_rules import TypeRules
from ecommerce_dagster.sql.types import known_type, target_type
from ecommerce_dagster.validation.schema_only import Schema

_NUMBER = re.compile(r"^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|BIGNUM|DECIMAL\(.*\))$")
_MOMENT = re.compile(r"^(DATE|TIMESTAMP.*)$")
_TIME = re.compile(r"^TIME(_NS| WITH TIME ZONE)?$")
_NESTED = re.compile(r"^(STRUCT|MAP|UNION)\(.*\)$|.*\]$", re.DOTALL)
_EXISTS = "declared-columns-exist"
_MATCHES = "declared-type-matches"


def place_of(column: Column, asset: Asset) -> Position:
    """Where the file of an asset says something of a column."""
    at = column.at()
    return at if at.path == asset.path else asset.at("columns")


def incremental_key_of(asset: Asset) -> tuple[str, Position]:
    """The column that an asset is loaded by, empty without one, and where the file says so."""
    how = asset.materialization
    if asset.type == "ingestr" and asset.parameter("incremental_key"):
        return asset.parameter("incremental_key"), asset.at("parameters", "incremental_key")
    return how.incremental_key or "", how.at("incremental_key")


def lint_columns(asset: Asset, schema: Schema, source: str, log: ProblemLog) -> bool:
    """Report declared columns that the `source` of the table, known to have `schema`, lacks.

    Returns whether all that is needed is there. A source that may be another one when the asset
    runs (a database) gives warnings only.
    """
    if not schema.complete:
        return True
    key, at = incremental_key_of(asset)
    filled = STRATEGIES[strategy_name(asset)].fills if strategy_name(asset) in STRATEGIES else ()
    can_change = asset.type == "ingestr"
    complete = True

    def report_missing(name: str, at: Position, *, needed: bool) -> None:
        hint = nearest(name, schema.columns)
        hint = f"did you mean '{hint}'?" if hint else f"it returns {listed(schema.columns)}"
        message = f"{source} does not return the column '{name}'; {hint}"
        (log.error if needed and not can_change else log.warning)(*at, _EXISTS, message)

    for column in asset.columns:
        if not column.name or schema.has(column.name) or column.name.lower() in filled:
            continue
        needed = bool(column.checks or column.primary_key or column.name.lower() == key.lower())
        report_missing(column.name, place_of(column, asset), needed=needed)
        complete = complete and not needed
    declared = {column.name.lower() for column in asset.columns}
    if key and not schema.has(key) and key.lower() not in declared:
        report_missing(key, at, needed=True)
        complete = False
    return complete


def lint_types(
    asset: Asset, types: Mapping[str, str | None], is_null: Callable[[str], bool], log: ProblemLog
) -> None:
    """Report declared types that DuckDB does not know, or that the `types` of the query's columns
    become only where every value happens to fit."""
    actual = {name.lower(): kind for name, kind in types.items()}
    for column in asset.columns:
        if not column.type or not column.name:
            continue
        found = actual.get(column.name.lower())
        if known_type(column.type) is None:
            message = (
                f"DuckDB has no type '{column.type}'; the column '{column.name}' gets the type "
                "that its values have"
            )
            log.warning(*_place_of_type(column, asset), _MATCHES, message)
        elif found is not None and not _becomes(found, column.type):
            if found == "INTEGER" and is_null(column.name):
                continue
            kind = asset.materialization.type
            effect = f"a value that is no {column.type} stops the load"
            effect = "a view keeps it" if kind == "view" else effect
            message = (
                f"the column '{column.name}' is declared as {column.type}, and the query returns "
                f"it as {found}; {effect}, so cast it, or declare another type"
            )
            log.warning(*_place_of_type(column, asset), _MATCHES, message)


def _place_of_type(column: Column, asset: Asset) -> Position:
    at = column.at("type")
    return at if at.path == asset.path else column.at()


def lint_stored(asset: Asset, schema: Schema, rules: TypeRules, log: ProblemLog) -> None:
    """Report columns of the table, which will have `schema`, that its database cannot store. A
    source may have other types when the asset runs."""
    declared = {column.name.lower(): column for column in asset.columns}
    is_filled_by_scripts = strategy_name(asset) == "ddl"
    for name, kind in schema.columns.items():
        reason = rules.refusal(kind) if kind else None
        if kind and reason is None and is_filled_by_scripts:
            reason = rules.doubt(kind)
        if reason is None:
            continue
        column = declared.get(name.lower())
        at = place_of(column, asset) if column else Position(asset.body_path, asset.body_line)
        if column and column.type and column.at("type").path == asset.path:
            at = column.at("type")
        is_certain = asset.type != "ingestr" or (column is not None and bool(column.type))
        report = log.error if is_certain else log.warning
        report(*at, "type-is-stored", f"the column {name} is {kind}: {reason}")


def _becomes(actual: str, declared: str) -> bool:
    """Whether values of a type usually are values of the declared one."""
    wanted = target_type(declared, actual)
    if wanted in {actual, "VARCHAR"} or actual == "JSON":
        return True
    if wanted == "BOOLEAN":
        return _NUMBER.match(actual) is not None
    if wanted == "JSON":
        return actual == "VARCHAR" or _NESTED.match(actual) is not None
    return any(p.match(wanted) and p.match(actual) for p in (_NUMBER, _MOMENT, _TIME, _NESTED))


def declared_schema(asset: Asset) -> Schema:
    """What the file says of its table, which may have more columns."""
    columns: dict[str, str | None] = {}
    for column in asset.columns:
        if column.name and column.name.lower() not in {name.lower() for name in columns}:
            columns[column.name] = declared_type(column)
    return Schema(columns, complete=False)


def declared_type(column: Column) -> str | None:
    """The type that stands for a declared one as long as that of the values is not known: one that
    every other type of its kind can take the place of."""
    known = known_type(column.type)
    return "DECIMAL(18,3)" if known == "DECIMAL" else known


def loaded_schema(asset: Asset, found: Mapping[str, str] | None) -> Schema:
    """What the table of an asset will be, whose source has the columns `found`, or unknown ones.

    A type may be empty when only the values tell it. Declared columns that the source lacks are
    believed: the database at hand may be an older one.
    """
    declared = declared_schema(asset)
    if found is None:
        return declared
    by_name = {column.name.lower(): column for column in asset.columns}
    columns: dict[str, str | None] = {}
    for name, kind in found.items():
        column = by_name.get(name.lower(), Column(name=name))
        columns[name] = target_type(column.type, kind) if kind else declared_type(column)
    have = {name.lower() for name in columns}
    columns |= {n: kind for n, kind in declared.columns.items() if n.lower() not in have}
    return Schema(columns, complete=True)


def table_schema(asset: Asset, bound: Schema) -> Schema:
    """What the table of an asset will be whose query returns `bound`, where that is uncertain."""
    by_name = {column.name.lower(): column for column in asset.columns}
    columns: dict[str, str | None] = {}
    for name, kind in bound.columns.items():
        column = by_name.get(name.lower())
        if kind:
            columns[name] = target_type(column.type if column else "", kind)
        else:
            columns[name] = declared_type(column) if column else None
    return Schema(columns, bound.complete)
