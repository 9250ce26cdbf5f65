"""One broken file for each rule of `ecommerce validate`: it is named, with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from ecommerce_dagster.cli import main
from ecommerce_dagster.local import ROOT

CONFIG = """default_environment: default
environments:
  default:
    connections:
      duckdb: [{name: duckdb-default, path: warehouse.duckdb}]
      postgres: [{name: pg, host: "${NOBODY}", username: u, password: p, database: d}]
"""
SOURCE = """name: raw.people
type: ingestr
parameters: {source_connection: pg, source_table: people, destination: duckdb}
columns:
  - {name: id, type: integer}
  - {name: name, type: string}
"""


class Broken(NamedTuple):
    """A file in which `<<<` marks the line of what is wrong."""

    text: str
    path: str = "assets/t.sql"
    severity: str = "error"
    said: str = ""


def sql(header: str = "", query: str = "SELECT 1 AS n", how: str = "{type: table}") -> str:
    return (
        f"/* @bruin\nname: mart.t\ntype: duckdb.sql\nmaterialization: {how}\n{header}@bruin */\n"
        f"{query}\n"
    )


def warned(text: str, path: str = "assets/t.sql", said: str = "") -> Broken:
    return Broken(text, path, "warning", said)


def yaml(text: str, severity: str = "error", said: str = "") -> Broken:
    return Broken(text, "assets/t.asset.yml", severity, said)


def pipeline(text: str, severity: str = "error", said: str = "") -> Broken:
    return Broken(f"name: shop\n{text}", "pipeline.yml", severity, said)


COLUMN = "columns:\n  - name: n\n"
PEOPLE = "SELECT name\nFROM raw.people"
INGESTR = "name: raw.t\ntype: ingestr\nparameters:\n  source_connection: pg\n"
# Rules of Bruin by their names there, then those that it has not.
RULES: dict[str, list[Broken]] = {
    "task-name-valid": [Broken(sql().replace("mart.t", "mart t <<<"))],
    "asset-name-component-count": [Broken(sql().replace("mart.t", "a.b.mart.t <<<"))],
    "task-name-unique": [Broken(sql().replace("mart.t", "raw.People <<<"), said="raw.people")],
    "dependency-exists": [
        Broken(sql("depends:\n  - raw.poeple <<<\n"), said="did you mean 'raw.people'?")
    ],
    "valid-executable-file": [
        Broken(sql(query="<<<")),
        yaml("name: mart.t\ntype: duckdb.sql\nrun: gone.sql <<<"),
        yaml("name: mart.t <<<\ntype: duckdb.sql"),
    ],
    "valid-pipeline-schedule": [pipeline("schedule: dayly <<<")],
    "valid-pipeline-name": [
        Broken("schedule: daily <<<", "pipeline.yml"), Broken("name: a b <<<", "pipeline.yml"),
    ],
    "valid-task-type": [
        yaml("name: mart.t\ntype: duckdb.sqll <<<", said="did you mean 'duckdb.sql'?"),
        yaml("name: mart.t <<<"),
        yaml("name: mart.t\ntype: bq.sql <<<", "warning"),
    ],
    "secret-mapping-key-exists": [
        Broken('"""@bruin\nname: p\nsecrets:\n  - inject_as: X <<<\n@bruin"""\n', "assets/p.py")
    ],
    "acyclic-pipeline": [Broken(sql("depends: [mart.t] <<<\n"))],
    "valid-pipeline-notifications": [
        pipeline("notifications:\n  slack:\n    - connection: x <<<", said="'channel'"),
        pipeline("notifications:\n  slak: [] <<<", said="did you mean 'slack'?"),
    ],
    "valid-asset-notifications": [Broken(sql("notifications:\n  discord:\n    - {} <<<\n"))],
    "materialization-config": [
        Broken(sql(how="\n  type: table\n  strategy: mergee <<<"), said="'merge'"),
        Broken(sql(how="\n  type: table\n  strategy: merge <<<"), said="primary_key"),
        Broken(sql(how="\n  type: table\n  strategy: delete+insert <<<"), said="incremental_key"),
        Broken(sql(how="\n  type: view\n  strategy: append <<<"), said="needs `type: table`"),
    ],
    "valid-table-sensor-table": [
        yaml("name: s\ntype: pg.sensor.table\nconnection: pg\nparameters: {x: 1} <<<")
    ],
    "valid-query-sensor": [yaml("name: s\ntype: duckdb.sensor.query\nparameters: {x: 1} <<<")],
    "valid-sensor-timeout": [
        yaml("name: s\ntype: duckdb.sensor.query\nparameters:\n  query: SELECT 1\n  timeout: soon <<<")
    ],
    "valid-ingestr": [
        yaml(f"{INGESTR}  source_table: people\n  incremental_strategy: mrege <<<", said="'merge'"),
        yaml(f"{INGESTR}  destination: duckdb".replace("parameters:", "parameters: <<<"),
             said="source_table"),
    ],
    "valid-pipeline-start-date": [
        pipeline("schedule: daily\nstart_date: 2025-02-30 <<<"),
        pipeline("start_date: 01/02/2025 <<<"),
    ],
    "valid-asset-start-date": [Broken(sql("start_date: yesterday <<<\n"))],
    "valid-entity-references": [
        Broken(sql("columns:\n  - extends: Custmer.Email <<<\n"), said="'Customer'"),
        Broken(sql("columns:\n  - extends: Customer.Emial <<<\n"), said="'Email'"),
    ],
    "valid-parent-domains": [
        Broken("domains:\n  a:\n    parent_domain: b <<<\n", "../glossary.yml")
    ],
    "duplicate-column-names": [Broken(sql("columns:\n  - name: n\n  - name: N <<<\n"))],
    "valid-column-metadata": [Broken(sql("columns:\n  - type: integer <<<\n"))],
    "blocking-relationships-check-references-downstream": [
        warned(sql(
            "columns:\n  - name: n\n    foreign_key: {table: mart.below, column: n}\n    checks:\n"
            "      - name: relationships <<<\n"
        ))
    ],
    "duplicate-tags": [warned(sql("tags:\n  - a\n  - a <<<\n"))],
    "custom-check-query-exists": [Broken(sql("custom_checks:\n  - name: c\n    query: '' <<<\n"))],
    "assets-directory-exist": [],
    "assets-python-validation": [
        Broken('"""@bruin\nname: p\n@bruin"""\nif: <<<\n', "assets/p.py"),
        Broken('"""@bruin\nname: p\nmaterialization:\n  type: view <<<\n@bruin"""\n', "assets/p.py"),
    ],
    "script-hooks-unsupported": [
        Broken('"""@bruin\nname: p\nhooks: {pre: [{query: SELECT 1}]} <<<\n@bruin"""\n', "assets/p.py"),
        yaml(f"{INGESTR}  source_table: p\nhooks: {{pre: [{{query: SELECT 1}}]}} <<<", "warning"),
    ],
    "default-hooks-applicable-types": [
        pipeline(
            "default:\n  hooks:\n    pre:\n      - query: SELECT 1\n"
            "        applicable_type: [python] <<<\n"
        )
    ],
    "asset-hooks-applicable-type-ignored": [
        warned(sql("hooks:\n  pre:\n    - query: SELECT 1\n      applicable_type: [duckdb.sql] <<<\n"))
    ],
    "valid-asset-tier": [Broken(sql("tier: 7 <<<\n"))],
    "valid-timeout": [
        Broken(sql("timeout: soon <<<\n")),
        Broken(sql("timeout: 500ms <<<\n")),
    ],
    "plain-yaml-files": [warned("name: x <<<", "assets/x.yml")],
    "valid-variables": [
        pipeline("variables:\n  v: {type: string} <<<", said="needs a default"),
        pipeline("variables:\n  v:\n    type: integer\n    default: x <<<", "warning"),
    ],
    "valid-pipeline-concurrency": [pipeline("concurrency: 0 <<<"), pipeline("concurrency: x <<<")],
    "valid-pipeline-max-active-steps": [pipeline("max_active_steps: -1 <<<")],
    "unknown-pipeline-fields": [
        pipeline("scheduel: daily <<<", said="did you mean 'schedule'?"),
        pipeline("colour: red <<<", "warning", said="is ignored"),
    ],
    "unknown-asset-fields": [
        Broken(sql("dependss: [] <<<\n"), said="did you mean 'depends'?"),
        warned(sql("colour: red <<<\n"), said="is ignored"),
    ],
    "cross-pipeline-uri-dependencies": [warned(sql("depends:\n  - uri: shop2 <<<\n"))],
    "valid-time-interval": [
        Broken(sql("interval_modifiers:\n  start: -2x <<<\n")),
        Broken(sql("interval_modifiers: {start: 13h, end: -11h} <<<\n"), severity="warning"),
    ],
    "used-tables": [warned(sql(query=f"{PEOPLE} <<<"), said="'raw.people' is used")],
    "assets-seed-validation": [
        yaml("name: s.s\ntype: duckdb.seed\nparameters:\n  path: gone.csv <<<")
    ],
    "custom-check-query-dry-run": [
        Broken(sql("custom_checks:\n  - name: c\n    query: SELECT count(*) FROM mart.t WHERE m <<<\n"))
    ],
    "hook-query-dry-run": [
        Broken(sql("hooks:\n  post:\n    - query: DELETE FROM mart.t WHERE m <<<\n"))
    ],
    # What Bruin lets pass.
    "query-binds": [
        Broken(sql(query="SELECT 1 AS n,\n  upperr('a') <<<"), said="upperr"),
        Broken(sql(query="SELECT 1 AS n\nFORM x <<<"), said="syntax error"),
        Broken(sql(query="SELECT 1\nFROM mart.nowhere <<<"), said="mart.nowhere"),
        warned(sql(query="SELECT 1\nFROM theirs.nowhere <<<"), said="theirs.nowhere"),
    ],
    "unused-depends": [warned(sql("depends:\n  - raw.people <<<\n"), said="'raw.people'")],
    "declared-columns-exist": [
        warned(sql("columns:\n  - name: n\n  - name: m <<<\n"), said="'m'"),
        Broken(sql("columns:\n  - name: m <<<\n    checks: [{name: unique}]\n"), said="returns n"),
    ],
    "declared-type-matches": [
        warned(sql(f"{COLUMN}    type: date <<<\n"), said="returns it as INTEGER"),
        warned(sql(f"{COLUMN}    type: intger <<<\n"), said="no type 'intger'"),
    ],
    "check-fits-column": [
        Broken(sql(f"{COLUMN}    checks:\n      - name: positive <<<\n", "SELECT 'a' AS n"))
    ],
    "time-interval-uses-interval": [
        warned(sql(
            query="SELECT DATE '2025-01-01' AS n <<<",
            how="{type: table, strategy: time_interval, incremental_key: n, time_granularity: date}",
        ))
    ],
    "unused-variables": [pipeline("variables:\n  v: {default: 1} <<<", "warning")],
    "valid-checks": [
        Broken(sql(f"{COLUMN}    checks:\n      - name: not_nul <<<\n"), said="'not_null'"),
        Broken(sql(f"{COLUMN}    checks:\n      - name: min <<<\n"), said="needs `value:`"),
        Broken(sql(f"{COLUMN}    checks:\n      - {{name: unique, value: 1}} <<<\n"), said="takes no"),
        Broken(sql(f"{COLUMN}    checks:\n      - name: relationships <<<\n"), said="foreign_key"),
    ],
    "unknown-column-check-fields": [
        Broken(sql(f"{COLUMN}    checks:\n      - name: unique\n        blokcing: false <<<\n"),
               said="'blocking'"),
    ],
    "duplicate-checks": [
        warned(sql(f"{COLUMN}    checks:\n      - name: unique\n      - name: unique <<<\n")),
        Broken(sql("custom_checks:\n  - {name: a, query: SELECT 0}\n  - {name: a, query: SELECT 0} <<<\n")),
        Broken(sql("columns:\n  - {name: a-b, checks: [{name: unique}]}\n  - {name: a_b, checks: [{name: unique}]} <<<\n", 'SELECT 1 AS "a-b", 2 AS a_b'),
               said="in Dagster"),
    ],
    "duplicate-dependencies": [
        warned(sql("depends:\n  - raw.people\n  - raw.people <<<\n", PEOPLE))
    ],
    "asset-key-unique": [
        Broken("/* @bruin\nname: z.a-b <<<\ntype: duckdb.sql\n@bruin */\nSELECT 1", "assets/zz.sql", said="z.a_b")
    ],
    "valid-connection": [
        warned(sql("connection: duckdb-defalt <<<\n"), said="'duckdb-default'"),
        Broken(sql("connection: pg <<<\n"), said="of type postgres; expected duckdb"),
        Broken('"""@bruin\nname: p\nsecrets:\n  - key: duckdb-defalt <<<\n@bruin"""\n', "assets/p.py", "warning"),
    ],
    "valid-environment": [Broken("default_environment: x <<<\nenvironments: {y: }", "../.bruin.yml")],
    "valid-enabled": [Broken(sql("enabled: perhaps <<<\n"))],
    "valid-template": [
        Broken(sql(query="SELECT '{{ strat_date }}' AS n <<<"), said="strat_date"),
        Broken(sql(query="SELECT 1 AS n\n{% if x %} <<<"), said=""),
    ],
    "valid-yaml": [Broken(sql("owner: [a <<<\n"))],
    "readable-file": [Broken("/* @bruin\nname: a\n@bruin */\n-- \udcff <<<", "assets/t.sql")],
    "valid-policy": [Broken("rulesets:\n  - rules: [no-such-rule] <<<", "../policy.yml")],
    "asset-has-owner": [],
}  # fmt: skip
CASES = [(rule, broken) for rule, files in RULES.items() for broken in files]


def validate(folder: Path) -> list[dict[str, object]]:
    result = CliRunner().invoke(main, ["validate", str(folder / "shop"), "--output", "json"])
    assert result.exit_code in {0, 1}, (result.output, result.exception)
    return list(json.loads(result.stdout)["issues"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valid pipeline."""
    monkeypatch.chdir(tmp_path)
    assets = tmp_path / "shop" / "assets"
    assets.mkdir(parents=True)
    (tmp_path / ".bruin.yml").write_text(CONFIG)
    (tmp_path / "glossary.yml").write_text(
        "entities:\n  Customer:\n    attributes:\n      Email: {type: string}\n"
    )
    (tmp_path / "shop/pipeline.yml").write_text("name: shop\n")
    (assets / "people.asset.yml").write_text(SOURCE)
    below = sql("depends: [mart.t]\n", "SELECT n FROM mart.t").replace(
        "name: mart.t", "name: mart.below"
    )
    (assets / "below.sql").write_text(below)
    (assets / "t.sql").write_text(sql())
    (assets / "z_a.sql").write_text("/* @bruin\nname: z.a_b\ntype: duckdb.sql\n@bruin */\nSELECT 1")
    return tmp_path


def test_the_pipeline_that_the_rules_are_tried_on_is_valid(folder: Path) -> None:
    assert validate(folder) == []


@pytest.mark.parametrize(
    ("rule", "broken"), CASES, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(CASES)]
)
def test_a_broken_file(folder: Path, rule: str, broken: Broken) -> None:
    file = (folder / "shop" / broken.path).resolve()
    if broken.path == "assets/t.asset.yml" and "name: mart.t" in broken.text:
        (folder / "shop/assets/t.sql").unlink()
    [line] = [n for n, text in enumerate(broken.text.split("\n"), 1) if "<<<" in text]
    text = broken.text.replace(" <<<", "").replace("<<<", "")
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    found = [issue for issue in validate(folder) if issue["rule"] == rule]
    assert [(i["line"], i["severity"]) for i in found] == [(line, broken.severity)], validate(
        folder
    )
    assert Path(str(found[0]["file"])).name == file.name
    assert broken.said in str(found[0]["message"])


def test_a_pipeline_without_assets(folder: Path) -> None:
    for file in (folder / "shop/assets").iterdir():
        file.unlink()
    [issue] = validate(folder)
    assert issue["rule"] == "assets-directory-exist"


def test_the_documentation_lists_every_rule() -> None:
    listed = (ROOT / "docs" / "validate.md").read_text()
    assert [rule for rule in RULES if f"`{rule}`" not in listed] == []
