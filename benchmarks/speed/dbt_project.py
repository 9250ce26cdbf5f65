"""Our pipeline as a dbt project: the same queries, the same rules, but for comparisons of a table
with its own past, which dbt does not have."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ecommerce_dagster.bruin.model.anomalies import AnomalyCheck
from ecommerce_dagster.bruin.model.asset import Asset, ColumnCheck, CustomCheck
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates.render import RunContext
from ecommerce_dagster.orchestration.run_info import rendering
from ecommerce_dagster.sql.checks import Check

_PROJECT = """name: shop
version: "1.0"
profile: shop
model-paths: [models]
test-paths: [tests]
macro-paths: [macros]
models: {shop: {+materialized: table}}
flags: {send_anonymous_usage_stats: false}
"""
_PROFILE = """shop:
  target: here
  outputs:
    here: {type: duckdb, path: "{{ env_var('WAREHOUSE') }}", threads: 2, settings: {TimeZone: UTC}}
"""
_SCHEMAS = """{% macro generate_schema_name(name, node) %}{{ name }}{% endmacro %}
"""
_OURS = re.compile(r'"?\b(raw|stg|mart)"?\."?(\w+)"?')


def write_dbt_project(project: Project, folder: Path) -> None:
    """A model for each SQL asset, dbt's own test for each rule that dbt has, and a query else."""
    for name in ("models", "tests", "macros"):
        (folder / name).mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(_PROJECT)
    (folder / "profiles.yml").write_text(_PROFILE)
    (folder / "macros" / "schemas.sql").write_text(_SCHEMAS)
    models, tables = [], []
    everything = RunContext(full_refresh=True, variables=project.variables)
    for asset in project.assets:
        schema, table = asset.name.split(".")
        entry = {"columns": list(_columns(asset))}
        if schema == "raw":
            tables.append({"name": table, **entry})
        elif schema in {"stg", "mart"}:
            models.append({"name": f"{schema}__{table}", **entry})
            query = _with_references(project.render(asset.body, everything, asset))
            config = f"{{{{ config(alias='{table}', schema='{schema}') }}}}\n"
            (folder / "models" / f"{schema}__{table}.sql").write_text(config + query)
        else:
            continue
        for number, (check, sql) in enumerate(rendering(project, asset, {}).checks):
            if _own_test(check) is None and not isinstance(check.rule, AnomalyCheck):
                test = folder / "tests" / f"{schema}__{table}_{number}.sql"
                test.write_text(_with_references(_query(check, sql)))
    sources = [{"name": "raw", "schema": "raw", "tables": tables}]
    schema_file = {"version": 2, "models": models, "sources": sources}
    (folder / "models" / "schema.yml").write_text(yaml.safe_dump(schema_file))


def _columns(asset: Asset) -> Iterator[Mapping[str, Any]]:
    tests = defaultdict(list)
    for column in asset.columns:
        for rule in column.checks:
            if (test := _own_test_of(rule)) is not None:
                tests[column.name].append(test)
    for name, found in tests.items():
        yield {"name": name, "data_tests": found}


def _own_test(check: Check) -> str | dict[str, Any] | None:
    return _own_test_of(check.rule) if isinstance(check.rule, ColumnCheck) else None


def _own_test_of(rule: ColumnCheck) -> str | dict[str, Any] | None:
    if rule.name in {"not_null", "unique"}:
        return rule.name
    if rule.name == "accepted_values":
        return {"accepted_values": {"arguments": {"values": list(rule.value)}}}
    return None


def _query(check: Check, sql: str) -> str:
    """A query for the rows that break a rule."""
    if not isinstance(check.rule, CustomCheck):
        return sql
    if check.rule.count is not None:
        return f"SELECT 1 FROM (SELECT count(*) AS n FROM ({sql})) WHERE n <> {check.rule.count}"
    return f"SELECT * FROM ({sql}) AS found (value) WHERE value <> {check.rule.value}"


def _with_references(sql: str) -> str:
    def reference(found: re.Match[str]) -> str:
        schema, table = found.groups()
        if schema == "raw":
            return f"{{{{ source('raw', '{table}') }}}}"
        return f"{{{{ ref('{schema}__{table}') }}}}"

    return _OURS.sub(reference, sql.strip().rstrip(";"))
