"""The files of a pipeline that the oracle knows as specs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from .oracle import COLUMNS, Rule, Spec

TYPES = {"id": "integer", "day": "date", "n": "integer", "txt": "varchar"}
_CUSTOM = {
    "rows": ("value", "SELECT count(*) FROM {{ this }}"),
    "above_floor": ("count", "SELECT id FROM {{ this }} WHERE n > {{ var.floor }};"),
    "largest": ("value", "SELECT max(n) FROM {{ this }} -- NULL when there is nothing"),
}
_FILTERS = {
    "none": "",
    "floor": "\nWHERE n >= {{ var.floor }}",
    "window": "\nWHERE day BETWEEN '{{ start_date }}' AND '{{ end_date }}'",
    "unless_full": "{% if not full_refresh %}\nWHERE id IS NOT NULL{% endif %}",
}


def quoted(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))


def asset_file(spec: Spec, typed: bool, ending: str) -> str:
    """A .sql file. `ending` is what follows the query: semicolons, comments."""
    header = yaml.safe_dump(_header(spec, typed), sort_keys=False, allow_unicode=True)
    return f"/* @bruin\n{header}@bruin */\n\n{_body(spec)}{ending}\n"


def pipeline_file(floor: int) -> str:
    variables = {"floor": {"type": "integer", "default": floor}}
    return yaml.safe_dump({"name": "random", "variables": variables})


def _body(spec: Spec) -> str:
    query = f"SELECT {', '.join(COLUMNS)} FROM {quoted(spec.source)}{_FILTERS[spec.filter]}"
    if spec.grouped:
        history = spec.strategy == "scd2_by_column"
        rest = ", ".join(f"max({name}) AS {name}" for name in COLUMNS[1:])
        query = f"SELECT id, {rest} FROM (\n{query}\n) AS found GROUP BY id"
        query += " HAVING id IS NOT NULL" if history else ""
    if spec.strategy != "script":
        return query
    schema = quoted(spec.name.split(".")[0])
    create = f"CREATE OR REPLACE TABLE {quoted(spec.name)} AS"
    return f"CREATE SCHEMA IF NOT EXISTS {schema}; -- first; of all\n{create}\n{query}"


def _header(spec: Spec, typed: bool) -> dict[str, Any]:
    header: dict[str, Any] = {"name": spec.name, "type": "duckdb.sql"}
    if spec.strategy == "view":
        header["materialization"] = {"type": "view"}
    elif spec.strategy != "script":
        header["materialization"] = dict(_materialization(spec))
    if spec.source != "src.t":
        header["depends"] = [spec.source]
    if not spec.enabled:
        header["enabled"] = False
    if spec.restricted:
        header["refresh_restricted"] = True
    header["columns"] = [_column(spec, name, typed) for name in COLUMNS]
    custom = [_custom(spec, rule) for rule in spec.rules if rule.column is None]
    return {**header, **({"custom_checks": custom} if custom else {})}


def _materialization(spec: Spec) -> Iterator[tuple[str, str]]:
    yield "type", "table"
    if spec.strategy:
        yield "strategy", spec.strategy
    if spec.strategy in {"delete+insert", "time_interval"}:
        yield "incremental_key", "day"
    if spec.strategy == "time_interval":
        yield "time_granularity", "date"
    if spec.predicate:
        yield "incremental_predicate", "target.n > 0"


def _column(spec: Spec, name: str, typed: bool) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name}
    if typed or spec.strategy in {"merge", "scd2_by_column"}:
        column["type"] = TYPES[name]
    if spec.strategy in {"merge", "scd2_by_column"} and name in spec.key:
        column["primary_key"] = True
    if spec.strategy == "merge" and name in spec.updated:
        column["update_on_merge"] = True
    if spec.strategy == "merge" and spec.adds and name == "n":
        column["merge_sql"] = "coalesce(target.n, 0) + coalesce(source.n, 0)"
    checks = [_check(rule) for rule in spec.rules if rule.column == name]
    if any(rule.name == "relationships" and rule.column == name for rule in spec.rules):
        column["foreign_key"] = {"table": "src.t", "column": "id"}
    return {**column, **({"checks": checks} if checks else {})}


def _check(rule: Rule) -> dict[str, Any]:
    check: dict[str, Any] = {"name": rule.name}
    if rule.value is not None:
        check["value"] = json.loads(json.dumps(rule.value, default=str))
    return check if rule.blocking else {**check, "blocking": False}


def _custom(spec: Spec, rule: Rule) -> dict[str, Any]:
    """`this` is the bare name, as in the original: one with signs has to be quoted by hand."""
    key, query = _CUSTOM[rule.name]
    if set(spec.name) & {"-"} or "order" in spec.name or "select" in spec.name:
        query = query.replace("{{ this }}", quoted(spec.name))
    return {"name": rule.name, "query": query, key: rule.value, "blocking": rule.blocking}
