"""Everything that `ecommerce validate` can say: which rule, which line, and every word of it.

One broken file for each message, to be read aloud: does it say what, where, and what would be right?
The last tests find places in the code that say something which is not here.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

import ecommerce_dagster
from ecommerce_dagster.bruin.problems import Problem, ProblemLog
from ecommerce_dagster.local import ROOT
from ecommerce_dagster.runtime.lint.project import lint_keys
from ecommerce_dagster.runtime.validate import validated
from ecommerce_dagster.shop.embedded_postgres import PostgresServer

CONFIG = """default_environment: default
environments:
  default:
    connections:
      duckdb: [{name: kept, path: kept.duckdb, read_only: true}, {name: duckdb-default, path: warehouse.duckdb}]
      postgres: [{name: pg, host: "${NOBODY}", username: u, password: p, database: d}]
"""
SOURCE = """name: raw.people
type: ingestr
parameters: {source_connection: pg, source_table: people, destination: duckdb}
columns:
  - {name: id, type: integer}
  - {name: name, type: string}
"""
EXTERNAL = """type: duckdb.source
columns: [{name: n, type: integer, checks: [{name: positive}]}]
"""


class Broken(NamedTuple):
    """A file in which `<<<` marks the line of what is wrong, and what is said of it."""

    text: str
    said: str
    path: str = "assets/t.sql"
    severity: str = "error"
    # Other files that it takes, what makes a file that is not text, and options of the command.
    also: Mapping[str, str] = {}
    make: Callable[[Path], object] | None = None
    options: Mapping[str, Any] = {}
    needs_server: bool = False

    @property
    def line(self) -> int:
        return next((n for n, row in enumerate(self.text.split("\n"), 1) if "<<<" in row), 1)

    def write(self, shop: Path) -> None:
        if self.path == "assets/t.asset.yml" and "name: mart.t" in self.text:
            (shop / "assets/t.sql").unlink()
        for path, text in {**self.also, self.path: self.text}.items():
            file = (shop / path).resolve()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            if path == self.path and self.make is not None:
                self.make(file)
            else:
                plain = text.replace(" <<<", "").replace("<<<", "")
                file.write_bytes(plain.encode("utf-8", "surrogateescape"))


def sql(header: str = "", query: str = "SELECT 1 AS n", how: str = "{type: table}") -> str:
    return (
        f"/* @bruin\nname: mart.t\ntype: duckdb.sql\nmaterialization: {how}\n{header}@bruin */\n"
        f"{query}\n"
    )


def column(rest: str, query: str = "SELECT 1 AS n") -> str:
    return sql(f"columns:\n  - name: n\n{rest}", query)


def warned(text: str, said: str, path: str = "assets/t.sql", **more: Any) -> Broken:
    return Broken(text, said, path, "warning", **more)


def yaml(text: str, said: str, severity: str = "error", **more: Any) -> Broken:
    return Broken(text, said, "assets/t.asset.yml", severity, **more)


def ingestr(more: str, said: str, severity: str = "error") -> Broken:
    return yaml(
        f"name: raw.t\ntype: ingestr\nparameters:\n  source_connection: pg\n{more}", said, severity
    )


def sensor(kind: str, parameters: str, said: str) -> Broken:
    return yaml(f"name: s\ntype: {kind}\nconnection: pg\nparameters: {parameters}", said)


def seed(more: str, said: str, **also: str) -> Broken:
    files = {f"assets/{name.replace('_', '.')}": text for name, text in also.items()}
    return yaml(f"name: s.s\ntype: duckdb.seed\n{more}", said, also=files)


def pipeline(text: str, said: str, severity: str = "error", **more: Any) -> Broken:
    return Broken(f"name: shop\n{text}", said, "pipeline.yml", severity, **more)


def python(header: str, said: str, code: str = "", severity: str = "error") -> Broken:
    return Broken(f'"""@bruin\nname: p\n{header}@bruin"""\n{code}', said, "assets/p.py", severity)


def config(duckdb: str, said: str, severity: str = "error", kind: str = "duckdb") -> Broken:
    head = "environments:\n  default:\n    connections:\n"
    return Broken(f"{head}      {kind}:{duckdb}", said, "../.bruin.yml", severity)


def lake(catalog: str, storage: str, said: str, severity: str = "error") -> Broken:
    text = (
        "\n        - name: duckdb-default\n          lakehouse:\n            format: ducklake\n"
        f"            catalog:{catalog}\n            storage:{storage}\n"
    )
    return config(text, said, severity)


def policy(text: str, said: str) -> Broken:
    return Broken(text, said, "../policy.yml")


def pg_named(name: str, more: str = "") -> str:
    return f"/* @bruin\nname: {name}\ntype: pg.sql\nconnection: pg\nmaterialization: {{type: table}}\n{more}@bruin */\nSELECT 1 AS n\n"


def on_server(header: str, query: str, said: str, severity: str = "error") -> Broken:
    text = f"/* @bruin\nname: mart.t\ntype: pg.sql\nconnection: pg\nmaterialization: {{type: table}}\n{header}@bruin */\n{query}\n"
    return Broken(text, said, severity=severity, needs_server=True)


PEOPLE = "SELECT name\nFROM raw.people"
LAKE = {"../.bruin.yml": lake(" {type: duckdb, path: c}", " {path: rows}", "").text}
EXECUTOR = {"../.env": "ECOMMERCE_EXECUTOR=celery\nECOMMERCE_CELERY_BROKER=amqp://broker\n"}
# Rules of Bruin by their names there, then those that it has not.
# What templates and conditions cannot do, each said by what it calls.
TEMPLATES = {
    "{{ group_by(1) }}": "missing variable 'group_by'; did you mean 'bruin.group_by'?",
    "{{ bruin.group_by(0) }}": "the template fails: group_by needs a number of columns, not 0",
    "{{ bruin.group_by('x') }}": "the template fails: n must be a whole number, not 'x'",
    "{{ bruin.safe_add() }}": "the template fails: at least one field is needed",
    "{{ bruin.safe_divide(1, none) }}": "the template fails: a column or an expression is needed, not 'None'",
    "{{ bruin.haversine_distance('a', 'b', 'c', 'd', unit='feet') }}": "the template fails: haversine_distance knows the units 'mi' and 'km', not 'feet'",
    "{{ bruin.date_spine('minit', '2025-01-01', '2025-01-02') }}": "the template fails: date_spine knows no 'minit'; known: day, week, month, quarter, year, hour, minute, second",
    "{{ 'soon' | add_days(1) }}": "the template fails: 'soon' is not a date; expected one like 2026-01-31",
    "{{ end_date | add_days(1.5) }}": "the template fails: expected a whole number, not '1.5'",
    "{{ '2026-01-31' | add_years(9999) }}": "the template fails: this leads from 2026-01-31 out of the years 1 to 9999",
    "{% include 'other.sql' %}": "the template fails: files cannot be included or imported; put macros into macros/",
    "{{ 'a' * 1000000000 }}": "the template fails: it makes too much text or takes too many steps",
    "{{ '%999999999d' | format(1) }}": "the template fails: a width in the format is too large",
    f"{'{% if 1 %}' * 200}1{'{% endif %}' * 200}": "the template is nested too deeply",
}
CONDITIONS = {
    "1": "the answer is 1; expected true or false",
    "1 and true": "1 is neither true nor false",
    "'a' > 1": "'a' is not a number",
    "1 contains 'a'": "1 is not a text",
    "all(1, true)": "1 is not a list",
    "all(1)": "all() needs a list and a condition",
    "al([1], true)": "unknown function 'al'; did you mean 'all'?",
    "asse.Name == 1": "unknown name 'asse'; did you mean 'asset'?",
    "1 $ 2": "expected the end before '$'",
    "1 ~ 2": "unexpected '~'",
    "'\\q' == ''": "the text '\\q' has a \\ that means nothing",
    "'a' matches '('": "'(' is not a regular expression: missing ), unterminated subpattern at position 0",
    "1..100000000 == 1": "a range is too long",
    "2 * 9223372036854775807 * 9223372036854775807 == 1": "a number is too large",
    "replace('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'a', join(map(1..90000, 'x'))) == ''": "a value is too long",
    "all(1..1500, all(1..1500, true))": "the condition takes too long",
    "(" * 61 + "true" + ")" * 61: "the condition is nested too deeply",
    "true or " * 3000 + "true": "a condition is longer than 10000 characters",
}
RULES: dict[str, list[Broken]] = {
    "task-name-valid": [Broken(sql().replace("mart.t", "mart t <<<"),
            "'mart t' is not an asset name; expected letters, digits, _ and -, in parts with a . between")],
    "asset-name-component-count": [Broken(sql().replace("mart.t", "a.b.mart.t <<<"),
            "the name 'a.b.mart.t' of a table has 4 parts; expected schema.table")],
    "task-name-unique": [
        Broken(sql().replace("mart.t", "raw.People <<<"),
            "'raw.People' is the same table as 'raw.people' in shop/assets/people.asset.yml:1; rename one"),
        Broken(sql().replace("mart.t", "z.a_b <<<"),
            "the asset 'z.a_b' is defined twice, first in shop/assets/z_a.sql:2; rename one", "assets/zz.sql"),
    ],
    "dependency-exists": [
        Broken(sql("depends:\n  - raw.poeple <<<\n"),
            "the dependency 'raw.poeple' does not exist; did you mean 'raw.people'?"),
        Broken(sql("depends:\n  - mode: full <<<\n"),
            "a dependency needs an 'asset', or the 'uri' of one in another pipeline"),
        Broken(sql("depends:\n  - uri: dagster:// <<<\n"),
            "'dagster://' has no key; expected one of Dagster, as dagster://ext/rates"),
    ],
    "cross-pipeline-dependencies": [warned(sql("depends:\n  - far.x <<<\n"),
            "'far.x' is of another pipeline: Dagster knows the edge, `ecommerce run` waits for nothing there, and Bruin wants its `uri:` here",
            also={"../far/pipeline.yml": "name: far\n", "../far/assets/x.asset.yml": "name: far.x\ntype: empty\n"})],
    "valid-executable-file": [
        Broken(sql(query="<<<"),
            "the file has no query below its header; a SQL asset needs one"),
        yaml("name: mart.t\ntype: duckdb.sql\nrun: gone.sql <<<",
            "the file 'gone.sql' does not exist; write its path from the folder of this file"),
        yaml("name: mart.t\ntype: duckdb.sql\nrun: ../../gone.sql <<<",
            "'../../gone.sql' is outside of the pipeline's folder; move it in"),
        yaml('name: mart.t\ntype: duckdb.sql\nrun: "a\\0b" <<<',
            "'a b' is not the path of a file; write its path from the folder of this file"),
        yaml("name: mart.t <<<\ntype: duckdb.sql",
            "a SQL asset needs a query: in a .sql file, or in one that `run:` names"),
    ],
    "valid-pipeline-schedule": [pipeline("schedule: dayly <<<",
            "'dayly' is not a valid schedule; expected hourly, daily, weekly, monthly, yearly or a cron expression")],
    "valid-pipeline-name": [
        Broken("schedule: daily <<<",
            "a pipeline needs a 'name'", "pipeline.yml"),
        Broken("name: a b <<<",
            "the pipeline's name is 'a b'; expected letters, digits, _ and -, in parts with a . between", "pipeline.yml"),
    ],
    "valid-task-type": [
        yaml("name: mart.t\ntype: duckdb.sqll <<<",
            "unknown type 'duckdb.sqll'; did you mean 'duckdb.sql'?"),
        yaml("name: mart.t <<<",
            "'type' is missing; for example `type: duckdb.sql` or `type: ingestr`"),
        yaml("name: mart.t\ntype: bq.sql <<<",
            "'mart.t' is left out: the type bq.sql is for another platform; supported: duckdb, postgres", "warning"),
        yaml("name: mart.t\ntype: bq.sql <<<",
            "4 assets are left out (mart.t, x.u, x.v and 1 more): the type bq.sql is for another platform; supported: duckdb, postgres", "warning",
            also={f"assets/{n}.asset.yml": f"name: x.{n}\ntype: bq.sql" for n in "uvw"}),
        python("connection: gcp <<<\nmaterialization: {type: table}\n",
            "'p' is left out: its connection 'gcp' is of type google_cloud_platform; supported: duckdb, postgres", "def materialize(): return []", "warning")
            ._replace(also={".bruin.yml": CONFIG + "      google_cloud_platform: [{name: gcp}]\n"}),
        yaml("name: raw.t\ntype: ingestr <<<\nparameters: {source_connection: pg, source_table: p, destination: bigquery}",
            "'raw.t' is left out: its destination is bigquery; supported: duckdb, postgres", "warning"),
        yaml("name: raw.t\ntype: ingestr\nparameters: {source_connection: pg, source_table: p}\ncolumns:\n  - name: n\n    mask: blur <<<",
            "'raw.t' is left out: the column 'n' has the mask 'blur'; known: hash, sha256, md5, redact, stars, fixed:TEXT", "warning"),
    ],
    "secret-mapping-key-exists": [python("secrets:\n  - inject_as: X <<<\n",
            "a secret needs 'key'")],
    "acyclic-pipeline": [Broken(sql("depends: [mart.t] <<<\n"),
            "the assets depend on each other in a circle: mart.t -> mart.t; remove one of these dependencies")],
    "valid-pipeline-notifications": [
        pipeline("notifications:\n  slack:\n    - connection: x <<<",
            "a notification by slack needs a 'channel'"),
        pipeline("notifications:\n  slak: [] <<<",
            "unknown notification 'slak'; did you mean 'slack'?"),
        pipeline("notifications:\n  carrier_pigeon: [] <<<",
            "'carrier_pigeon' sends no alerts; known: slack, ms_teams, discord, webhook, email", "warning"),
    ],
    "valid-asset-notifications": [Broken(sql("notifications:\n  discord:\n    - {} <<<\n"),
            "a notification by discord needs a 'connection'")],
    "materialization-config": [
        Broken(sql(how="\n  type: table\n  strategy: mergee <<<"),
            "unknown strategy 'mergee'; did you mean 'merge'?"),
        Broken(sql(how="\n  type: table\n  strategy: merge <<<"),
            "the strategy 'merge' needs a column with `primary_key: true`"),
        Broken(sql(how="\n  type: table\n  strategy: delete+insert <<<"),
            "the strategy 'delete+insert' needs an 'incremental_key' (a column)"),
        Broken(sql(how="\n  type: view\n  strategy: append <<<"),
            "a strategy ('append') needs `type: table`, this is 'view'"),
        Broken(sql(how="\n  type: table\n  incremental_key: n\n  strategy: time_interval <<<"),
            "the strategy 'time_interval' needs `time_granularity: date` or `timestamp`"),
        Broken(sql("columns: [{name: n, type: integer, primary_key: true}]\n", how="\n  type: table\n  incremental_key: n\n  strategy: scd2_by_time <<<"),
            "the incremental_key 'n' is declared as integer; the strategy 'scd2_by_time' needs a date or a timestamp"),
        Broken(sql("columns: [{name: n, primary_key: true}]\n", how="\n  type: table\n  incremental_key: n\n  strategy: datavault_satellite <<<"),
            "the strategy 'datavault_satellite' needs a column with `primary_key: true` beside the incremental_key"),
        Broken(sql("columns: [{name: n, type: integer}]\n", how="\n  type: table\n  strategy: ddl <<<"),
            "the strategy 'ddl' makes a table from `columns`; it takes no query, remove it"),
        Broken(sql(query="", how="\n  type: table\n  strategy: ddl <<<"),
            "the strategy 'ddl' needs `columns` with types"),
        Broken(sql("columns: [{name: n}]\n", "", "\n  type: table\n  strategy: ddl <<<"),
            "the strategy 'ddl' needs a type for the column 'n'"),
        Broken(sql("columns: [{name: n, type: intger}]\n", "", "\n  type: table\n  strategy: ddl <<<"),
            "the column 'n' has the type 'intger', which DuckDB does not know; write one that it has, as VARCHAR"),
        Broken(sql("columns: [{name: n, primary_key: true}]\n", how="\n  type: table\n  strategy: merge\n  incremental_predicate: target.m > 1 <<<"),
            "the table cannot be loaded: Referenced table \"target\" not found! Candidate tables: \"source\" (at target.m)"),
    ],
    "valid-table-sensor-table": [sensor("pg.sensor.table", "{x: 1} <<<",
            "a pg.sensor.table asset needs `parameters: table`")],
    "valid-query-sensor": [sensor("duckdb.sensor.query", "{x: 1} <<<",
            "a duckdb.sensor.query asset needs `parameters: query`")],
    "valid-sensor-timeout": [sensor("duckdb.sensor.query", "\n  query: SELECT 1\n  timeout: soon <<<",
            "'soon' is not a duration; write 30s, 5m or 1h30m")],
    "valid-ingestr": [
        ingestr("  source_table: people\n  incremental_strategy: mrege <<<",
            "unknown incremental_strategy 'mrege'; did you mean 'merge'?"),
        yaml("name: raw.t\ntype: ingestr\nparameters: <<<\n  source_connection: pg",
            "an ingestr asset needs `parameters: source_table`"),
        ingestr("  source_table: people\n  incremental_strategy: merge <<<",
            "the strategy 'merge' needs a column with `primary_key: true`"),
        ingestr("  source_table: people\n  incremental_strategy: delete+insert <<<",
            "the strategy 'delete+insert' needs `parameters: incremental_key`"),
        ingestr("  source_table: 'query: ' <<<",
            "source_table needs a query after `query:`"),
        ingestr("  source_table: people\n  sql_limit: few <<<",
            "sql_limit is 'few'; expected a number of rows"),
        ingestr("  source_table: people\n  incremental_strategy: append <<<\nmaterialization: {type: view}",
            "an ingestr asset makes a table, not a view; write `type: table`"),
        ingestr("  source_table: people\n  incremental_key: a <<<\nmaterialization: {type: table, incremental_key: b}",
            "incremental_key is 'a' and `materialization` says 'b'; keep one"),
        ingestr("  source_table: people\nmeta:\n  overlap: long <<<",
            "the overlap 'long' is not a duration; write 30s, 5m or 1h30m"),
        ingestr("  source_table: people\nmeta:\n  compare_keys: never <<<",
            "compare_keys is 'never'; expected on or off"),
        ingestr("  source_table: people\n  schema_contract: frozen <<<",
            "unknown schema_contract 'frozen'; expected discard_row, discard_value, evolve, freeze"),
    ],
    "unknown-parameters": [
        ingestr("  source_table: people\n  masks: a:hash <<<",
            "unknown parameter 'masks'; did you mean 'mask'?"),
        ingestr("  source_table: people\n  colour: red <<<",
            "unknown parameter 'colour' is ignored; docs/bruin.md has those that do something", "warning"),
    ],
    "not-done-here": [
        ingestr("  source_table: people\n  stream: true <<<",
            "'stream' is not done here: each run loads what is new and ends; a schedule or the sensor starts the next one, so remove it", "warning"),
        ingestr("  source_table: people\n  schema_contract: discard_row <<<",
            "schema_contract 'discard_row' is not done here: no value is dropped, new columns are added and a value that does not fit stops the load; write evolve or freeze", "warning"),
        Broken(sql("columns:\n  - name: n\n    checks:\n      - name: not_null\n        retries: 2 <<<\n"),
            "`retries` of the check 'not_null' do nothing: it is asked of rows that do not change until it is answered; remove it", severity="warning"),
        Broken(sql("connection: kept <<<\n"),
            "the connection 'kept' is read_only: 'mart.t' and all other tables in it cannot be written; remove read_only, or write them to another one", severity="warning"),
        Broken("name: shop # <<<\n", "BRUIN_SECRETS_BACKEND is 'vault', and no backend is asked here; write the secrets as ${NAME} in .bruin.yml and set them in the environment", "pipeline.yml", "warning", also={"../.env": "BRUIN_SECRETS_BACKEND=vault\n"}),
    ],
    "valid-naming": [
        ingestr("  source_table: people\n  schema_naming: snake <<<",
            "unknown schema_naming 'snake'; did you mean 'snake_case'?"),
        yaml("name: raw.s\ntype: duckdb.seed\nparameters:\n  path: s.csv <<<",
            "the columns 'userId' and 'user_id' would both be called 'user_id'; rename one with `source_column`, or keep their names with `schema_naming: direct`", also={"assets/s.csv": "userId,user_id\n1,2\n"}),
    ],
    "watched-source": [
        ingestr("  source_table: query:SELECT '{{ start_date }}' AS day <<<",
            "the sensor does not watch the source of 'raw.t': its parameters are others for each interval; write :interval_start and :interval_end in a query instead", "warning"),
        ingestr("  source_table: query:SELECT {{ 1 / 0 }} AS n <<<",
            "the sensor does not watch the source of 'raw.t': a template in its parameters cannot be rendered (the template fails: division by zero); correct the template", "warning"),
    ],
    "valid-pipeline-start-date": [
        pipeline("schedule: daily\nstart_date: 2025-02-30 <<<",
            "the start_date '2025-02-30' is not a date; write 2026-01-31"),
        pipeline("start_date: 01/02/2025 <<<",
            "the start_date '01/02/2025' is not a date; write 2026-01-31"),
        pipeline("schedule: daily\nstart_date: 0001-01-01T00:00+02:00 <<<",
            "the start_date '0001-01-01T00:00+02:00' is not a date; write 2026-01-31"),
    ],
    "valid-asset-start-date": [Broken(sql("start_date: yesterday <<<\n"),
            "the start_date 'yesterday' is not a date; write 2026-01-31")],
    "valid-entity-references": [
        Broken(sql("columns:\n  - extends: Custmer.Email <<<\n"),
            "the glossary has no entity 'Custmer'; did you mean 'Customer'?"),
        Broken(sql("columns:\n  - extends: Customer.Emial <<<\n"),
            "the entity 'Customer' has no attribute 'Emial'; did you mean 'Email'?"),
        Broken(sql("columns:\n  - extends: Customer <<<\n"),
            "'extends: Customer' must name an attribute, as in Customer.Email"),
        Broken(sql("columns:\n  - extends: Customer.Email <<<\n"),
            "the glossary has no entity 'Customer'; there is no glossary.yml with entities above the pipeline", also={"../glossary.yml": ""}),
    ],
    "valid-parent-domains": [
        Broken("domains:\n  a:\n    parent_domain: b <<<\n",
            "the parent domain 'b' does not exist; known: a", "../glossary.yml")
    ],
    "duplicate-column-names": [Broken(sql("columns:\n  - name: n\n  - name: N <<<\n"),
            "the column 'N' stands here and in line 6; remove one")],
    "valid-column-metadata": [Broken(sql("columns:\n  - type: integer <<<\n"),
            "a column needs a 'name', or 'extends' with a glossary attribute")],
    "blocking-relationships-check-references-downstream": [
        warned(sql(
            "columns:\n  - name: n\n    foreign_key: {table: mart.below, column: n}\n    checks:\n"
            "      - name: relationships <<<\n"
        ),
            "the check asks 'mart.below', which is made of this table and waits for it; add `blocking: false`")
    ],
    "relationships-check-depends": [
        warned(sql(
            "columns:\n  - name: n\n    foreign_key: {table: raw.people, column: n}\n    checks:\n"
            "      - name: relationships <<<\n"
        ),
            "the check asks 'raw.people', which is not in 'depends': it may be built after this table, and the check is not run again when rows of it are gone; add it")
    ],
    "duplicate-tags": [warned(sql("tags:\n  - a\n  - a <<<\n"),
            "the tag 'a' stands twice; remove one")],
    "custom-check-query-exists": [Broken(sql("custom_checks:\n  - name: c\n    query: '' <<<\n"),
            "the custom check 'c' has no query; write one in `query:`")],
    "assets-directory-exist": [warned("name: alone <<<",
            "this pipeline has no assets; they are expected in a folder assets/ beside it", "../alone/pipeline.yml")],
    "assets-python-validation": [
        python("image: ghcr.io/me/etl:3.13 <<<\n",
            "the image 'ghcr.io/me/etl:3.13' names no version of Python: its file runs in this one; write it as in `image: python:3.12`", severity="warning"),
        python("image: python:3.99 <<<\n",
            "Python 3.99 is not installed here, and uv cannot bring it; change image: python:3.99", severity="warning"),
        python("",
            "this is not valid Python: invalid syntax", "if: <<<\n"),
        python("materialization:\n  type: view <<<\n",
            "a Python asset makes a table, not a view; write `type: table`"),
        python("materialization:\n  type: table\n  strategy: merg <<<\n",
            "a Python asset cannot use the strategy 'merg'; did you mean 'merge'?", "def materialize():\n    return []\n"),
        python("materialization: {type: table}\n",
            "with `materialization: {type: table}` a Python asset needs `def materialize()`, which returns the rows", "x = 1 <<<\n"),
        python("materialization: {type: table}\n",
            "materialize() is not awaited; remove `async`", "async def materialize(): <<<\n    return []\n"),
        python("materialization: {type: table}\n",
            "materialize() is called without arguments; remove day, or give it a default", "def materialize(day): <<<\n    return []\n"),
        python("",
            "materialize() is never called: add `materialization: {type: table}` to the header", "def materialize(): <<<\n    return []\n", "warning"),
        yaml("name: p <<<\ntype: python",
            "a Python asset needs code: a .py file with a header, or `run: file.py`"),
        yaml("name: p\ntype: python\nrun: gone.py <<<",
            "the file 'gone.py' does not exist; write its path from the folder of this file"),
    ],
    "script-hooks-unsupported": [
        python("hooks: {pre: [{query: SELECT 1}]} <<<\n",
            "hooks are for SQL assets and do not run for the type python; remove them"),
        ingestr("  source_table: p\nhooks: {pre: [{query: SELECT 1}]} <<<",
            "hooks are for SQL assets and do not run for the type ingestr; remove them", "warning"),
    ],
    "default-hooks-applicable-types": [
        pipeline(
            "default:\n  hooks:\n    pre:\n      - query: SELECT 1\n"
            "        applicable_type: [python] <<<\n",
            "'python' has no hooks; expected a type of SQL assets, as duckdb.sql"
        )
    ],
    "asset-hooks-applicable-type-ignored": [
        warned(sql("hooks:\n  pre:\n    - query: SELECT 1\n      applicable_type: [duckdb.sql] <<<\n"),
            "`applicable_type` counts in `default` of pipeline.yml only; remove it here")
    ],
    "valid-asset-tier": [Broken(sql("tier: 7 <<<\n"),
            "'tier' of an asset is 7; expected at most 5")],
    "valid-timeout": [
        Broken(sql("timeout: soon <<<\n"),
            "'soon' is not a duration; write 30s, 5m or 1h30m"),
        Broken(sql("timeout: 500ms <<<\n"),
            "the timeout '500ms' is shorter than a second; write 1s or more"),
    ],
    "plain-yaml-files": [warned("name: x <<<",
            "this is not an asset; a YAML asset is called NAME.asset.yml", "assets/x.yml")],
    "valid-variables": [
        pipeline("variables:\n  v: {type: string} <<<",
            "the variable 'v' needs a default: `{type: ..., default: ...}`"),
        pipeline("variables:\n  v:\n    type: integer\n    default: x <<<",
            "the default of the variable 'v' is 'x'; expected integer", "warning"),
        pipeline("variables:\n  v: {type: intgr, default: 1} <<<",
            "the type 'intgr' of the variable 'v' is not checked; did you mean 'integer'?", "warning"),
        pipeline("variables:\n  v: {minimum: few, default: 1} <<<",
            "the schema of the variable 'v' is not a JSON schema, so that it is not checked; minimum: 'few' is not of type 'number'", "warning"),
        pipeline("variables: {v: {default: 1}}\nvariants:\n  de:\n    w: 1 <<<",
            "the variant 'de' sets no such variable \"w\"; known: v"),
        pipeline("variables: {v: {type: integer, default: 1}}\nvariants:\n  de:\n    v: x <<<",
            "the variant 'de' sets the variable 'v', which is 'x'; expected integer", options={"variant": "de"}),
        pipeline("variants:\n  de: 1 <<<",
            "the variant 'de' must be a mapping of variables to values"),
        pipeline("variants: {de: {}} <<<",
            "no such variant \"dee\"; did you mean 'de'?", options={"variant": "dee"}),
        pipeline("variables: {v: {type: integer, default: 1}} <<<",
            "no such variable \"w\"; known: v", options={"variables": {"w": 1}}),
        pipeline("variables: {v: {type: integer, default: 1}} <<<",
            "the value given for the variable 'v' is 'x'; expected integer", options={"variables": {"v": "x"}}),
    ],
    "valid-pipeline-concurrency": [pipeline("concurrency: 0 <<<",
            "'concurrency' of a pipeline is 0; expected at least 1"), pipeline("concurrency: x <<<",
            "'concurrency' of a pipeline is 'x'; expected at least 1")],
    "valid-pipeline-max-active-steps": [pipeline("max_active_steps: -1 <<<",
            "'max_active_steps' of a pipeline is -1; expected at least 1")],
    "unknown-pipeline-fields": [
        pipeline("scheduel: daily <<<",
            "unknown key 'scheduel' in a pipeline; did you mean 'schedule'?"),
        pipeline("colour: red <<<",
            "unknown key 'colour' in a pipeline is ignored; known: catchup, default, default_connections, domains, macros, meta, name, owner, retries, schedule, start_date, tags, variables, variants", "warning"),
    ],
    "unknown-asset-fields": [
        Broken(sql("dependss: [] <<<\n"),
            "unknown key 'dependss' in an asset; did you mean 'depends'?"),
        warned(sql("strategy: merge <<<\n"),
            "unknown key 'strategy' in an asset is ignored; it belongs in 'materialization'"),
        warned(sql("primary_key: n <<<\n"),
            "unknown key 'primary_key' in an asset is ignored; it belongs in one of the 'columns'"),
        warned(sql("colour: red <<<\n"),
            "unknown key 'colour' in an asset is ignored; known: columns, connection, connections, custom_checks, depends, description, domains, enabled, extends, full_refresh_restricted, hooks, image, interval_modifiers, materialization, meta, metadata, name, owner, parameters, refresh_restricted, rerun_cooldown, retries, run, secrets, start_date, tags, tier, timeout, type, unit_tests and 1 more"),
    ],
    "cross-pipeline-uri-dependencies": [warned(sql("depends:\n  - uri: shop2 <<<\n"),
            "'shop2' belongs to another pipeline: nothing here waits for it; name an 'asset' of this one to wait")],
    "valid-time-interval": [
        Broken(sql("interval_modifiers:\n  start: -2x <<<\n"),
            "'-2x' is not an interval modifier; write -2h, 1d or -1M (ns ms s m h d M)"),
        Broken(sql("interval_modifiers: {start: '{{ 12 + 1 }}h', end: -11h} <<<\n"),
            "nothing is left of a day: the interval ends before it starts; make `end` later"),
        Broken(sql("interval_modifiers:\n  end: '{{ 1 }}x' <<<\n"),
            "'end': '1x' is not an interval modifier; write -2h, 1d or -1M (ns ms s m h d M)"),
        Broken(sql("interval_modifiers:\n  start: '{{ nobody }}h' <<<\n"),
            "'start': missing variable 'nobody'; known: bruin, commit_hash, end_date, end_date_nodash, end_datetime, end_timestamp, execution_date, execution_date_nodash, execution_datetime, execution_timestamp, full_refresh, pipeline, run_id, schema_prefix, start_date, start_date_nodash, start_datetime, start_timestamp, this, var"),
        Broken(sql("interval_modifiers: {start: 13h, end: -11h} <<<\n"),
            "nothing is left of a day: the interval ends before it starts; make `end` later"),
    ],
    "used-tables": [warned(sql(query=f"{PEOPLE} <<<"),
            "the table 'raw.people' is used and is not in `depends`; add it")],
    "assets-seed-validation": [
        yaml("name: s.s\ntype: duckdb.seed\nparameters:\n  path: made.csv <<<",
            "the file 'made.csv' does not exist yet; 'p' must write it before this asset runs", "warning",
            also={"assets/p.py": '"""@bruin\nname: p\n@bruin"""\nopen("made.csv", "w")\n'}),
        seed("parameters:\n  path: gone.csv <<<",
            "the file 'gone.csv' does not exist; known: below.sql, people.asset.yml, t.asset.yml, t.sql, z_a.sql"),
        seed("parameters:\n  path: a.csv <<<",
            "a.csv is empty; its first line must name the columns", a_csv=""),
        seed("parameters: {x: 1} <<<",
            "a seed needs `parameters: path`, the file beside this one to load"),
        seed("parameters:\n  path: s3://bucket/a.csv <<<",
            "a seed cannot be read from s3://; use https://, or an ingestr asset"),
        seed("parameters:\n  path: . <<<",
            "'.' is a folder; name one file in it"),
        seed("parameters:\n  path: ../../../a.csv <<<",
            "'../../../a.csv' is outside of the project (FOLDER); move the file into it"),
        seed('parameters:\n  path: "a\\0b" <<<',
            "'a b' is not the path of a file; write its path from the folder of this asset"),
        seed("parameters:\n  path: a.csv\nmaterialization: {type: table} <<<",
            "a seed is always replaced whole; remove `materialization`", a_csv="n\n1\n"),
        seed("parameters:\n  path: a.txt <<<",
            "the name of the file does not say its format; add `file_type:` (csv, json, jsonl, ndjson, parquet)", a_txt="n\n1\n"),
        seed("parameters:\n  path: a.txt\n  file_type: xls <<<",
            "unknown file_type 'xls'; known: csv, json, jsonl, ndjson, parquet", a_txt="n\n1\n"),
        seed("parameters:\n  path: a.avro <<<",
            "a seed cannot be Avro here; save the file as Parquet", a_avro=""),
        seed("parameters: {path: a.csv}\ncolumns:\n  - name: m <<<",
            "a.csv has no column m; it has n (with `enforce_schema: false` the file alone decides)", a_csv="n\n1\n"),
    ],
    "custom-check-query-dry-run": [
        Broken(sql("custom_checks:\n  - name: c\n    query: SELECT count(*) FROM mart.t WHERE m <<<\n"),
            "the custom check 'c' does not bind: Referenced column \"m\" not found in FROM clause! Candidate bindings: \"n\""),
        Broken(sql("custom_checks:\n  - name: c\n    query: SELECT 1, 2 <<<\n"),
            "the custom check 'c' must return one column; its query returns 2"),
        on_server("custom_checks:\n  - name: c\n    query: SELECT 1, 2 <<<\n", "SELECT 1 AS n",
            "the custom check 'c' must return one column; its query returns 2"),
    ],
    "hook-query-dry-run": [
        Broken(sql("hooks:\n  post:\n    - query: DELETE FROM mart.t WHERE m <<<\n"),
            "a hook does not bind: Referenced column \"m\" not found in FROM clause! Candidate bindings: \"n\"")
    ],
    "keeps-transaction": [
        Broken(sql("columns:\n  - {name: n, checks: [{name: not_null}]}\nhooks:\n  post:\n    - query: CHECKPOINT <<<\n"),
            "CHECKPOINT cannot be part of the transaction in which a table is built and checked. Leave it out, or write `meta: {publish: always}`: the table is then public before its checks"),
        warned(sql("columns:\n  - {name: n, checks: [{name: not_null}]}\nhooks:\n  post:\n    - query: COPY mart.t TO 't.csv' <<<\n"),
            "COPY writes a file before the checks of the table, and it stays when one of them fails; do it in an asset that depends on this one"),
        Broken(sql("hooks:\n  post:\n    - query: VACUUM <<<\n").replace("duckdb.sql", "pg.sql\nconnection: pg"),
            "VACUUM cannot be part of the transaction in which a table is built and checked; do it outside of the pipeline"),
    ],
    # What Bruin lets pass.
    "query-binds": [
        Broken(sql(query="SELECT 1 AS n,\n  upperr('a') <<<"),
            "the query does not bind: Scalar Function with name upperr does not exist! Did you mean \"upper\"?"),
        Broken(sql(query="SELECT 1 AS n\nFORM x <<<"),
            "the query does not parse: syntax error at or near \"FORM\""),
        Broken(sql(query="SELECT m <<<\nFROM mart.t2", header="depends: [mart.t2]\n"),
            "the query does not bind: Referenced column \"m\" not found in FROM clause! Candidate bindings: \"n\"", also={"assets/t2.sql": sql().replace("mart.t", "mart.t2")}),
        Broken(sql(query="SELECT 1\nFROM mart.nowhere <<<"),
            "the query does not bind: the table 'mart.nowhere' is made by no asset, hook or script of this pipeline; did you mean 'mart.below'?"),
        warned(sql(query="SELECT 1\nFROM theirs.nowhere <<<"),
            "the query does not bind: the table 'theirs.nowhere' is made by no asset, hook or script of this pipeline; if other code makes it, describe it in an asset of type duckdb.source"),
        on_server("", "SELECT lenght('a') AS n <<<",
            "the query does not bind: function lenght(unknown) does not exist"),
        on_server("", "SELECT 1 AS n\nFROM mart.nowhere <<<",
            "the query does not bind: the table 'mart.nowhere' is not in the database; create it, or add an asset that makes it"),
        on_server("", "SELECT 1 AS n\nFROM theirs.nowhere <<<",
            "the query does not bind: the table 'theirs.nowhere' is not in the database; create it, or add an asset that makes it", "warning"),
    ],
    "unused-depends": [warned(sql("depends:\n  - raw.people <<<\n"),
            "nothing in this file uses 'raw.people'; remove it from `depends`, or write `mode: symbolic` to show it only")],
    "declared-columns-exist": [
        warned(sql("columns:\n  - name: n\n  - name: m <<<\n"),
            "the query does not return the column 'm'; it returns n"),
        Broken(sql("columns:\n  - name: m <<<\n    checks: [{name: unique}]\n"),
            "the query does not return the column 'm'; it returns n"),
    ],
    "declared-type-matches": [
        warned(column("    type: date <<<\n"),
            "the column 'n' is declared as date, and the query returns it as INTEGER; a value that is no date stops the load, so cast it, or declare another type"),
        warned(column("    type: intger <<<\n"),
            "DuckDB has no type 'intger'; the column 'n' gets the type that its values have"),
    ],
    "type-is-stored": [
        Broken(column("    type: bit <<<\n", "SELECT '101' AS n"),
            "the column n is BIT: a DuckLake has no BIT; cast it to VARCHAR", also=LAKE),
        Broken(sql("", "SELECT TIME_NS '12:00:00' AS n <<<"),
            "the column n is TIME_NS: a DuckLake has no TIME_NS; cast it to TIME", also=LAKE),
    ],
    "check-fits-column": [
        Broken(column("    meta: {anomalies: average} <<<\n", "SELECT 'a' AS n"),
            "the anomaly 'average' needs numbers; 'n' is VARCHAR"),
        Broken(column("    checks:\n      - name: positive <<<\n", "SELECT 'a' AS n"),
            "the check 'positive' of 'n' cannot be answered: it compares VARCHAR with 0; give the column the type of a number, or compare it with a text"),
        Broken(column("    checks:\n      - {name: min, value: few} <<<\n"),
            "the check 'min' of 'n' cannot be answered: it compares INTEGER with 'few'; write a number"),
        Broken(column("    checks:\n      - {name: min, value: few} <<<\n", "SELECT DATE '2024-01-01' AS n"),
            "the check 'min' of 'n' compares DATE with 'few'; write a value of that type"),
        Broken(column(
            "    checks: [{name: relationships}]\n    foreign_key:\n      table: raw.people\n      column: idd <<<\n"
        ).replace("@bruin */", "depends: [raw.people]\n@bruin */"),
            "the table 'raw.people' has no column 'idd'; did you mean 'id'?", also={"assets/people.asset.yml": "name: raw.people\ntype: duckdb.seed\nparameters: {path: p.csv}", "assets/p.csv": "id\n1\n"}),
        on_server("columns:\n  - name: n\n    checks:\n      - name: positive <<<\n", "SELECT 'a'::text AS n",
            "the check 'positive' of 'n' cannot be answered: it compares text with 0; give the column the type of a number, or compare it with a text"),
    ],
    "time-interval-uses-interval": [
        warned(sql(
            query="SELECT DATE '2025-01-01' AS n <<<",
            how="{type: table, strategy: time_interval, incremental_key: n, time_granularity: date}",
        ),
            "the query uses no start_* and end_* variable: each run replaces its own interval and inserts all rows again; add `WHERE key BETWEEN '{{ start_timestamp }}' AND '{{ end_timestamp }}'`")
    ],
    "unused-variables": [pipeline("variables:\n  v: {default: 1} <<<",
            "no template uses the variable 'v'; remove it", "warning")],
    "source-table-exists": [
        yaml("name: raw.t\ntype: ingestr\nparameters:\n  source_connection: pg\n  source_table: pepole <<<",
            "SERVER: pepole: relation \"public.pepole\" does not exist", "warning", needs_server=True)
    ],
    "valid-checks": [
        Broken(column("    checks:\n      - name: not_nul <<<\n"),
            "unknown check 'not_nul'; did you mean 'not_null'?"),
        Broken(column("    checks:\n      - name: min <<<\n"),
            "the check 'min' of 'n' needs `value:`"),
        Broken(column("    checks:\n      - {name: unique, value: 1} <<<\n"),
            "the check 'unique' of 'n' takes no value; remove `value:`"),
        Broken(column("    checks:\n      - {name: range, value: 1} <<<\n"),
            "the check 'range' of 'n' takes `max:` or `min:`; remove `value:`"),
        Broken(column("    checks:\n      - {name: min, value: [1, 2]} <<<\n"),
            "the check 'min' of 'n' needs one value, not a list"),
        Broken(column("    checks:\n      - {name: accepted_values, value: []} <<<\n"),
            "the check 'accepted_values' of 'n' needs at least one value"),
        Broken(column("    checks:\n      - {name: max, value: .nan} <<<\n"),
            "the check 'max' of 'n' has the bound nan, which no value is beyond; write a number"),
        Broken(column("    checks:\n      - {name: min, value: -.inf} <<<\n"),
            "the check 'min' of 'n' has the bound -inf, which no value is beyond; remove it"),
        Broken(column("    checks:\n      - name: relationships <<<\n"),
            "the check 'relationships' of 'n' needs `foreign_key: {table, column}` on the column"),
    ],
    "unknown-column-check-fields": [
        Broken(column("    checks:\n      - name: unique\n        blokcing: false <<<\n"),
            "unknown key 'blokcing' in a column check; did you mean 'blocking'?"),
    ],
    "duplicate-checks": [
        warned(column("    checks:\n      - name: unique\n      - name: unique <<<\n"),
            "the check 'unique' stands here and in line 8; remove one"),
        Broken(sql("custom_checks:\n  - {name: a, query: SELECT 0}\n  - {name: a, query: SELECT 0} <<<\n"),
            "the custom check 'a' stands here and in line 6; remove one"),
        Broken(sql("columns:\n  - {name: a-b, checks: [{name: unique}]}\n  - {name: a_b, checks: [{name: unique}]} <<<\n", 'SELECT 1 AS "a-b", 2 AS a_b'),
            "the checks 'a-b: unique' and 'a_b: unique' have the same name in Dagster; rename one"),
    ],
    "duplicate-dependencies": [
        warned(sql("depends:\n  - raw.people\n  - raw.people <<<\n", PEOPLE),
            "the dependency 'raw.people' stands here and in line 6; remove one")
    ],
    "asset-key-unique": [
        Broken("/* @bruin\nname: z.a-b <<<\ntype: duckdb.sql\n@bruin */\nSELECT 1",
            "'z.a-b' has the asset key z/a_b, as 'z.a_b' in shop/assets/z_a.sql; rename one", "assets/zz.sql"),
        yaml(f"name: z.two\n{EXTERNAL}meta: {{dagster_asset_key: ext/rates}} <<<\n",
            "'z.two' has checks of ext/rates, as 'z.one' in shop/assets/one.asset.yml; keep them in one file",
            also={"assets/one.asset.yml": f"name: z.one\n{EXTERNAL}meta: {{dagster_asset_key: ext/rates}}\n"}),
    ],
    "connection-key-unique": [
        config("\n        - {name: duckdb-default, path: x}\n        - {name: duckdb_default, path: y} <<<",
            "the connections 'duckdb-default' and 'duckdb_default' are both the resource duckdb_default; rename one"),
    ],
    "valid-connection": [
        Broken("default_environment: dev\nenvironments:\n  default: {connections: {duckdb: [{name: w, path: 'md:shop'}]}}\n"
            "  dev:\n    fallback_environment: default <<<\n    connections: {duckdb: [{name: w, path: dev.duckdb}]}\n",
            "tables of 'w' that are missing are not read from 'default', as one of the two is no DuckDB file; use a schema_prefix in the same database",
            "../.bruin.yml", "warning"),
        pipeline("notifications: <<<\n  webhook: [{connection: hok}]",
            "'webhook hok' gets no messages: there is no connection 'hok' in .bruin.yml (environment 'default'); known: duckdb-default, kept, pg", "warning"),
        pipeline("notifications: <<<\n  slack: ['#data']",
            "'slack #data' gets no messages: there is no connection of type slack in .bruin.yml (environment 'default'); add one", "warning"),
        pipeline("notifications: <<<\n  slack: ['#data']",
            "'slack #data' gets no messages: there are 2 connections of type slack in .bruin.yml (environment 'default'): a, b; name one by `connection:`", "warning",
            also={".bruin.yml": CONFIG + "      slack: [{name: a}, {name: b}]\n"}),
        warned(sql("connection: duckdb-defalt <<<\n"),
            "the connection 'duckdb-defalt' is not in .bruin.yml (environment 'default'); did you mean 'duckdb-default'?"),
        Broken(sql("connection: pg <<<\n"),
            "the connection 'pg' is of type postgres; expected duckdb"),
        python("secrets:\n  - key: duckdb-defalt <<<\n",
            "the connection 'duckdb-defalt' is not in .bruin.yml (environment 'default'); did you mean 'duckdb-default'?", severity="warning"),
        config("\n        - {name: duckdb-default, path: x, pathh: x} <<<",
            "unknown key 'pathh' in the connection 'duckdb-default'; did you mean 'path'?"),
        config("\n        - {name: duckdb-default, path: x, colour: red} <<<",
            "unknown key 'colour' in the connection 'duckdb-default' is ignored; known: lakehouse, max_concurrent_assets, name, path, read_only", "warning"),
        config("\n        - {path: x} <<<",
            "each connection below 'duckdb' needs a 'name'"),
        config("\n        - name: duckdb-default <<<",
            "the connection 'duckdb-default' needs 'path'"),
        config(" x <<<",
            "'duckdb' must be a list of connections (`- name: ...` lines)"),
        config("\n        - {name: duckdb-default, path: x}\n        - {name: duckdb-default, path: y} <<<",
            "the connection 'duckdb-default' stands here and in line 5; rename one"),
        config(" [] <<<",
            "unknown platform 'postgress'; did you mean 'postgres'?", kind="postgress"),
        lake(" x <<<", " {path: rows}",
            "the connection 'duckdb-default' has a catalog that must be a mapping (`key: value` lines)"),
        lake("\n              type: [] <<<\n              path: c", " {path: rows}",
            "the connection 'duckdb-default' has a catalog.type in its lakehouse that must be a plain value"),
        lake("\n              type: mysql <<<", " {path: rows}",
            "the connection 'duckdb-default' has the catalog.type 'mysql' in its lakehouse; known: duckdb, postgres, sqlite"),
        lake(" {path: c} <<<", " {path: rows}",
            "the connection 'duckdb-default' has no catalog.type in its lakehouse; known: postgres, duckdb, sqlite"),
        lake(" {type: duckdb} <<<", " {path: rows}",
            "the connection 'duckdb-default' needs catalog.path in its lakehouse"),
        lake(" {type: duckdb, path: c}", "\n              type: s3\n              path: rows <<<",
            "the connection 'duckdb-default' has a lakehouse in s3 whose path must begin with s3://"),
        lake(" {type: duckdb, path: c}", "\n              path: s3://rows\n              auth: {access_key: a} <<<",
            "the connection 'duckdb-default' needs both storage.auth.access_key and storage.auth.secret_key in its lakehouse"),
        lake(" {type: duckdb, path: c}", "\n              path: rows\n              url_style: pth <<<",
            "the connection 'duckdb-default' has the storage.url_style 'pth' in its lakehouse; did you mean 'path'?"),
        lake(" {type: duckdb, path: c}", " {path: rows, pth: x} <<<",
            "unknown key 'pth' in the lakehouse of the connection 'duckdb-default'; did you mean 'path'?"),
        lake(" {type: duckdb, path: c}", " {path: rows, colour: x} <<<",
            "unknown key 'colour' in the lakehouse of the connection 'duckdb-default' is ignored; known: auth, endpoint, path, region, type, url_style", "warning"),
    ],
    "valid-database": [
        Broken(pg_named("mart." + "u" * 64 + " <<<"),
            "the table '" + "u" * 64 + "' has a name of 64 bytes, and PostgreSQL keeps 63; give it a shorter one"),
        Broken(pg_named("s" * 64 + ".t <<<"),
            "the schema '" + "s" * 64 + "' has a name of 64 bytes, and PostgreSQL keeps 63; give it a shorter one"),
        Broken(pg_named("mart.t", "columns:\n  - name: " + "c" * 64 + " <<<\n"),
            "the column '" + "c" * 64 + "' has a name of 64 bytes, and PostgreSQL keeps 63; give it a shorter one"),
        Broken(sql().replace("mart.t", "lake.mart.t <<<"),
            "the name 'lake.mart.t' says the database 'lake', and the connection's is called 'warehouse'; write 'mart.t', or attach 'lake' in a `pre` hook"),
        Broken(sql().replace("mart.t", "Warehouse.t <<<"),
            "the schema 'Warehouse' is called like the database file, and DuckDB cannot tell them apart; give the file another name in .bruin.yml"),
    ],
    "valid-environment": [
        Broken("default_environment: x <<<\nenvironments: {y: }",
            "there is no environment 'x'; known: y", "../.bruin.yml"),
        Broken("environments: {y: } <<<",
            "there is no environment 'x'; known: y", "../.bruin.yml", options={"environment": "x"}),
        Broken("default_environment: y\nenvironments: {z: , y: {fallback_environment: x}} <<<",
            "there is no other environment 'x'; known: z", "../.bruin.yml"),
    ],
    "valid-executor": [
        Broken("name: shop <<<",
            "ECOMMERCE_EXECUTOR is 'selery'; did you mean 'celery'?", "pipeline.yml", also={"../.env": "ECOMMERCE_EXECUTOR=selery\n"}),
        Broken("name: shop <<<",
            "ECOMMERCE_PARTITIONS_PER_RUN is 'few'; expected a number from 1 on", "pipeline.yml", also={"../.env": EXECUTOR["../.env"] + "ECOMMERCE_PARTITIONS_PER_RUN=few\n"}),
        Broken(CONFIG.replace("duckdb}]", "duckdb}] <<<"),
            "the tables of the connection 'duckdb-default' are in a file, which workers on other machines cannot share; make it a lakehouse whose catalogue is in postgres, or set ECOMMERCE_EXECUTOR to in_process", "../.bruin.yml", also=EXECUTOR),
        Broken(CONFIG.replace("duckdb}]", "duckdb}] <<<"),
            "the tables of the connection 'duckdb-default' are in a file, which one process at a time can write: with ECOMMERCE_EXECUTOR=multiprocess steps wait for each other; in_process is faster", "../.bruin.yml", "warning", also={"../.env": "ECOMMERCE_EXECUTOR=multiprocess\n"}),
    ],
    "valid-enabled": [
        Broken(sql("enabled: perhaps <<<\n"),
            "'enabled' is 'perhaps'; expected true or false"),
        Broken(sql("enabled: '{{ var.x }}' <<<\n"),
            "'enabled': missing variable 'x'; none is known"),
    ],
    "valid-anomalies": [
        Broken(sql("meta:\n  anomalies: volum <<<\n"),
            "unknown anomaly 'volum'; did you mean 'volume'?"),
        Broken(column("    meta: {anomalies: mean} <<<\n"),
            "unknown anomaly 'mean'; did you mean 'average'?"),
        Broken(column("    meta: {anomalies: row_count} <<<\n"),
            "unknown anomaly 'row_count'; 'volume' belongs in `meta` of the asset"),
        Broken(sql("meta:\n  blocking_anomalies: nulls <<<\n"),
            "unknown anomaly 'nulls'; 'null_percent' belongs in `meta` of a column"),
        Broken(sql("meta:\n  anomalies: [volume] <<<\n"),
            "'anomalies' must be text, as in `anomalies: volume, freshness`: Bruin reads nothing else"),
        Broken(sql("meta:\n  anomalies: volume\n  blocking_anomalies: volume <<<\n"),
            "'volume' stands in both `anomalies` and `blocking_anomalies`; remove one"),
        Broken(sql("meta:\n  anomalies: freshness <<<\n"),
            "the anomaly 'freshness' of an asset needs an incremental_key; write it in `meta` of a column of time"),
        Broken(column("    type: varchar\n    meta: {anomalies: average} <<<\n", "SELECT 'a' AS n"),
            "the anomaly 'average' needs numbers; 'n' is varchar"),
        Broken(column("    type: integer\n    meta: {anomalies: freshness} <<<\n"),
            "the anomaly 'freshness' needs a column of time; 'n' is integer"),
        Broken(column("    mask: hash\n    meta: {anomalies: average} <<<\n"),
            "the anomaly 'average' would show what the mask of 'n' hides; remove it"),
        Broken("entities:\n  Row:\n    attributes:\n      N: {type: integer, meta: {anomalies: freshness}} <<<\n",
            "the anomaly 'freshness' needs a column of time; 'n' is integer", "../glossary.yml",
            also={"assets/t.sql": column("    extends: Row.N\n")}),
        warned(sql("meta:\n  anomalys: volume <<<\n"),
            "'anomalys' in `meta` has no meaning here; did you mean 'anomalies'?"),
    ],
    "valid-freshness": [
        Broken(sql("meta:\n  freshness: soon <<<\n"),
            "freshness: 'soon' is not a duration; write 30s, 5m or 1h30m"),
        Broken(sql("meta:\n  freshness: 5s <<<\n"),
            "freshness: '5s' is too short; the shortest is 1m"),
    ],
    "valid-automation": [Broken(sql("meta:\n  automation: lazy <<<\n"),
            "the automation 'lazy' is unknown; expected eager")],
    "valid-meta": [Broken(sql("meta:\n  checks_by_partition: perhaps <<<\n"),
            "'checks_by_partition' must be true or false"),
        Broken(sql("meta:\n  preview: perhaps <<<\n"),
            "'preview' must be true or false"),
        Broken(sql("meta:\n  synonyms: {a: b} <<<\n"), "'synonyms' must be a list of words"),
        Broken(sql("columns:\n  - name: n\n    meta:\n      synonyms: 7 <<<\n"),
            "'synonyms' must be a list of words"),
        Broken("entities:\n  A:\n    attributes:\n      B:\n        meta:\n          synonyms: [1] <<<\n",
            "'synonyms' must be a list of words", "../glossary.yml"),
        pipeline("meta:\n  dagster_url: 'javascript:alert(1)' <<<",
            "'dagster_url' must begin with http:// or https://"),
        yaml(f"name: mart.t\n{EXTERNAL}meta:\n  dagster_asset_key: / <<<\n",
            "'dagster_asset_key' is empty; expected a key of Dagster, as ext/rates"),
        Broken(sql("meta:\n  dagster_asset_key: ext/rates <<<\n"),
            "'dagster_asset_key' says which asset of other code makes a table, and this file makes its own; only a source has it, as `type: duckdb.source`"),
    ],
    "valid-template": [
        yaml("name: p\ntype: python\nrun: p.py\nparameters:\n  deep:\n    - x: '{{ strat_date }}' <<<",
            "missing variable 'strat_date'; did you mean 'start_date'?", also={"assets/p.py": "pass"}),
        Broken(sql(query="SELECT '{{ strat_date }}' AS n <<<"),
            "missing variable 'strat_date'; did you mean 'start_date'?"),
        Broken(sql(query="SELECT 1 AS n\n{% if x %} <<<"),
            "the template does not parse: Unexpected end of template. Jinja was looking for the following tags: 'elif' or 'else' or 'endif'. The innermost block that needs to be closed is 'if'."),
        Broken(sql().replace("mart.t", "mart.{{ var.x }} <<<"),
            "'name': missing variable 'x'; none is known"),
        *(Broken(sql(query=f"SELECT {template} <<<"), said) for template, said in TEMPLATES.items()),
        Broken("{% macro a() %} <<<",
            "the template does not parse: Unexpected end of template. Jinja was looking for the following tags: 'endmacro'. The innermost block that needs to be closed is 'macro'.", "macros/a.sql"),
    ],
    "valid-yaml": [
        Broken(sql("owner: [a <<<\n"),
            "this is not valid YAML: did not find expected ',' or ']'"),
        Broken(sql("owner: a: b <<<\n"),
            "this is not valid YAML: mapping values are not allowed in this context; quote a text that contains ': '"),
        Broken(sql("tags:\n\t- a <<<\n"),
            "this is not valid YAML: a tab stands in the indentation; use spaces"),
        Broken(sql("owner: \x01 <<<\n"),
            "this is not valid YAML: the character U+0001 is not allowed; remove it"),
        Broken(sql("owner: a\nowner: b <<<\n"),
            "the key 'owner' stands here and in line 5; remove one"),
        Broken(sql("owner: !me a <<<\n"),
            "tags (`!name`) are not supported; quote a text that starts with !"),
        Broken(sql("owner: *me <<<\n"),
            "no `&name` stands before this alias; quote a text that starts with *"),
        Broken(sql("tags: &a [*a] <<<\n"),
            "an alias (`*name`) refers to what contains it; remove it"),
        Broken(sql("<<: 1 <<<\n"),
            "`<<` needs a mapping, as in `<<: *name`"),
        Broken(sql("? [a]: b <<<\n"),
            "a key must be plain text; quote a value that starts with { or ["),
        Broken("name: shop\n--- <<<\nname: shop\n",
            "a second document begins here; remove the line `---`", "pipeline.yml"),
        Broken("- name <<<",
            "expected `key: value` lines (a YAML mapping)", "pipeline.yml"),
        Broken(f"name: shop\nmeta: {'[' * 51} <<<",
            "nested more than 50 levels deep; expected what people write by hand", "pipeline.yml"),
    ],
    "asset-header": [
        warned(sql("-- a comment <<<\n"), "`--` begins no comment in YAML; write `#`"),
        Broken("/* @bruin <<<\nname: mart.t\n",
            "the header that starts here does not end; add a line `@bruin */`"),
        warned(sql(query="SELECT 1 AS n\n/* @bruin <<<\n@bruin */"),
            "a second header is ignored; the first stands in line 1, remove one"),
        warned("-- what this is\n/* @bruin <<<\nname: mart.t\n@bruin */",
            "the header must be the first thing in the file, so this is not an asset"),
        warned("/* @bruin name: mart.t <<<\n@bruin */",
            "`@bruin` must end its line, with the keys on lines below: this is not an asset"),
        warned("SELECT 1\n-- @bruin.name: mart.t <<<",
            "`@bruin.` lines must stand above the code, so this is not an asset"),
        warned("SELECT 1 <<<",
            "no `/* @bruin` header, so this is not an asset; add one, or move the file elsewhere"),
        warned("-- @bruin.name: mart.t\nSELECT 1\n-- @bruin.type: duckdb.sql <<<",
            "this line is ignored; `@bruin.` lines must stand above the code"),
        Broken("-- @bruin.name: mart.t\n-- @bruin.name: mart.u <<<\nSELECT 1",
            "the key 'name' stands here and in line 1; remove one"),
        Broken("-- @bruin.materialization: table\n-- @bruin.materialization.type: table <<<\nSELECT 1",
            "'materialization' has a value in line 1, so it can have no keys; remove one"),
        Broken("-- @bruin.columns.n: integer <<<\nSELECT 1",
            "write `@bruin.columns.n.KEY: value`, as in columns.n.type"),
    ],
    "readable-file": [
        Broken("/* @bruin\nname: a\n@bruin */\n-- \udcff <<<",
            "this is not UTF-8 text; save the file as UTF-8"),
        Broken("/* @bruin\nname: a\n@bruin */\n-- \0 <<<",
            "a NUL character stands here; save the file as UTF-8 text"),
        Broken("",
            "this is not a plain file; remove it or rename it", make=os.mkfifo),
        Broken("",
            "this file cannot be read: Too many levels of symbolic links", make=lambda file: file.symlink_to(file)),
        Broken("",
            "this file is larger than 10 MB; rows belong into a seed", make=lambda file: file.write_bytes(b"#" * 10_000_001)),
    ],
    "valid-pipeline": [
        Broken("",
            "this file does not exist; a pipeline is a folder with a pipeline.yml and assets/", "pipeline.yml", make=lambda file: None),
        pipeline("meta:\n  glossary_checks: perhaps <<<",
            "'glossary_checks' must be true or false"),
        pipeline("retries: few <<<",
            "'retries' of a pipeline is 'few'; expected a whole number"),
        pipeline("catchup: perhaps <<<",
            "'catchup' of a pipeline is 'perhaps'; expected 'false', 'true', 'active' or 'all'"),
    ],
    "duplicate-entities": [
        warned("entities:\n  Customer: {} <<<",
            "'Customer' stands in both glossary files; this one counts, remove one", "../glossary.yaml"),
    ],
    # Wrong kinds of values, in any part of any file.
    "valid-asset": [
        Broken(sql("tags: 5 <<<\n"),
            "'tags' of an asset is 5; expected a list (`- item` lines)"),
        Broken(sql("owner: {a: b} <<<\n"),
            "'owner' of an asset is a mapping; expected text"),
        Broken(sql("retries: -1 <<<\n"),
            "'retries' of an asset is -1; expected at least 0"),
    ],
    "valid-column": [Broken(column("    primary_key: perhaps <<<\n"),
            "'primary_key' of a column is 'perhaps'; expected true or false")],
    "valid-materialization": [Broken(sql(how="\n  type: tabel <<<"),
            "'type' of a materialization is 'tabel'; expected 'none', 'view' or 'table'")],
    "valid-custom-check": [Broken(sql("custom_checks:\n  - query: SELECT 0 <<<\n"),
            "a custom check needs 'name'")],
    "valid-policy": [
        policy("rulesets:\n  - rules: [no-such-rule] <<<",
            "unknown rule 'no-such-rule'; known: asset-has-checks, asset-has-columns, asset-has-description, asset-has-no-cross-pipeline-dependencies, asset-has-owner, asset-has-primary-key, asset-has-tags, asset-name-is-lowercase, asset-name-is-schema-dot-table, column-has-description, column-has-type, column-name-is-camel-case, column-name-is-snake-case, column-type-is-valid-for-platform, description-must-not-be-placeholder, pipeline-has-metadata-push, pipeline-has-notifications, pipeline-has-retries, pipeline-has-start-date, query-matches-columns"),
        policy("custom_rules:\n  - name: asset-has-owner <<<\n    criteria: 'true'",
            "there is a rule 'asset-has-owner' already; give this one another name"),
        policy("custom_rules:\n  - name: r\n    criteria: asset.Nme <<<\nrulesets:\n  - rules: [r]",
            "the rule 'r' cannot be answered: an asset has no 'Nme'; did you mean 'name'?"),
        policy("custom_rules:\n  - name: r\n    criteria: asset.Name == <<<",
            "the rule 'r' cannot be answered: expected a number or text or name at the end"),
        *(policy(f"custom_rules:\n  - name: r\n    criteria: {json.dumps(text)} <<<\nrulesets:\n  - rules: [r]",
            f"the rule 'r' cannot be answered: {said}") for text, said in CONDITIONS.items()),
        policy("rulesets:\n  - selector:\n      - tga: a <<<\n    rules: []",
            "unknown selector 'tga'; did you mean 'tag'?"),
        policy("rulesets:\n  - selector:\n      - tag: '(' <<<\n    rules: []",
            "'tag' is not a regular expression: missing ), unterminated subpattern at position 0"),
    ],
    "asset-has-owner": [
        Broken(sql("owner: '' <<<\n"),
            "'mart.t' has no owner", also={"../policy.yml": "rulesets:\n  - selector: [{asset: mart.t}]\n    rules: [asset-has-owner]"}),
    ],
}  # fmt: skip
CASES = [(rule, broken) for rule, files in RULES.items() for broken in files]
IDS = [f"{rule}-{n}" for n, (rule, _) in enumerate(CASES)]
# A message says what would be right: after a semicolon, or by what is expected. What others refuse
# (DuckDB, PostgreSQL, Python, the machine) they say in their own words, and policies name what is
# missing.
RIGHT = re.compile(
    r"; |expected |needs |must |add |write |knows |is needed|too (much|large|deeply)|to 9999|"
    r"(bind|parse|valid Python|regular expression|be (answered|loaded|read)): |"
    r"relation .* does not exist|has no owner"
)
PACKAGE = Path(ecommerce_dagster.__file__).parent
# Needs a user who may not read a folder, and tests may run as root; or several pipelines, which
# orchestration/test_environments.py has; or a machine without wheels (warehouse/test_extensions.py).
UNTRIED = {
    "this folder cannot be read",
    "connection.path, connection.line, 'connection-key-unique', message",
    "'pipeline-name-unique', message",
    "'missing-extension', missing",
}

Place = tuple[str, int]


class Told(NamedTuple):
    """What is said of a pipeline, and the lines of the code that say it."""

    folder: Path
    problems: list[Problem]
    places: set[Place]


@contextmanager
def places_that_speak() -> Iterator[set[Place]]:
    """Where in the code problems are reported, as long as the context lasts."""
    found: set[Place] = set()

    def noted(method: Callable[..., None]) -> Callable[..., None]:
        def note(*arguments: Any) -> None:
            frame = inspect.currentframe()
            caller = frame.f_back if frame else None
            assert caller
            found.add((caller.f_code.co_filename, caller.f_lineno))
            method(*arguments)

        return note

    with (
        mock.patch.object(ProblemLog, "error", noted(ProblemLog.error)),
        mock.patch.object(ProblemLog, "warning", noted(ProblemLog.warning)),
    ):
        yield found


def write_valid_pipeline(folder: Path) -> None:
    assets = folder / "shop" / "assets"
    assets.mkdir(parents=True)
    (folder / ".bruin.yml").write_text(CONFIG)
    (folder / "glossary.yml").write_text(
        "entities:\n  Customer:\n    attributes:\n      Email: {type: string}\n"
    )
    (folder / "shop/pipeline.yml").write_text("name: shop\n")
    (assets / "people.asset.yml").write_text(SOURCE)
    below = sql("depends: [mart.t]\n", "SELECT n FROM mart.t").replace(
        "name: mart.t", "name: mart.below"
    )
    (assets / "below.sql").write_text(below)
    (assets / "t.sql").write_text(sql())
    (assets / "z_a.sql").write_text("/* @bruin\nname: z.a_b\ntype: duckdb.sql\n@bruin */\nSELECT 1")


def problems_of(shop: Path, *, fast: bool = False, **options: Any) -> list[Problem]:
    """What `ecommerce validate` finds, by the functions that it calls."""
    log = ProblemLog()
    projects = validated(shop, log, note=lambda text: None, fast=fast, **options)
    lint_keys(projects[:1], log)
    return [*log.errors, *log.warnings]


def config_for(server: PostgresServer) -> str:
    """Its database holds no tables of ours."""
    settings = f'host: "{server.host}", port: {server.port}, username: {server.user}, password: "{server.password}", database: {server.database}'
    return re.sub(r"host: .*database: d", settings.replace("\\", "\\\\"), CONFIG)


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[int], Told]:
    """What is said of a case, by its number. Each is read once."""

    @cache
    def read(number: int) -> Told:
        rule, broken = CASES[number]
        folder = tmp_path_factory.mktemp("case").resolve()
        write_valid_pipeline(folder)
        if broken.needs_server:
            (folder / ".bruin.yml").write_text(config_for(request.getfixturevalue("server")))
        shop = folder / "shop"
        broken.write(shop)
        shop = (shop / broken.path).resolve().parent if rule == "assets-directory-exist" else shop
        with chdir(folder), places_that_speak() as places:
            # Queries are bound only where the files alone do not tell: that takes ten times longer.
            problems = problems_of(shop, fast=True, **broken.options)
            if not any(problem.rule == rule for problem in problems):
                problems = problems_of(shop, **broken.options)
        return Told(folder, problems, places)

    return read


def test_the_pipeline_that_the_files_are_tried_in_is_valid(tmp_path: Path) -> None:
    write_valid_pipeline(tmp_path)
    assert problems_of(tmp_path / "shop") == []


NUMBERS = [
    pytest.param(number, marks=[pytest.mark.postgres] if broken.needs_server else [])
    for number, (_, broken) in enumerate(CASES)
]


@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
def test_a_broken_file(told: Callable[[int], Told], number: int) -> None:
    rule, broken = CASES[number]
    folder, problems, _ = told(number)
    file = os.path.normpath(folder / "shop" / broken.path)
    found = [problem for problem in problems if (problem.rule, str(problem.path)) == (rule, file)]
    assert [(p.line, p.severity) for p in found] == [(broken.line, broken.severity)], problems
    with chdir(folder):
        place = os.path.relpath(file)
        shown = str(found[0]).replace(str(folder), "FOLDER")
        shown = re.sub(r"127\.0\.0\.1:\d+/\w+", "SERVER", shown)
    assert shown == f"{place}:{broken.line}: {broken.said}"
    assert RIGHT.search(broken.said), "what would be right?"


def test_the_documentation_lists_every_rule() -> None:
    listed = (ROOT / "docs" / "validate.md").read_text()
    assert [rule for rule in RULES if f"`{rule}`" not in listed] == []


@pytest.mark.postgres
def test_everything_that_is_said_in_the_code_is_said_here(told: Callable[[int], Told]) -> None:
    places = {place for number in range(len(CASES)) for place in told(number).places}
    silent = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}: {ast.unparse(call)}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for call in calls_that_speak(ast.parse(path.read_text()))
        if not any((str(path), line) in places for line in lines_of(call))
    ]
    assert [call for call in silent if not any(words in call for words in UNTRIED)] == []


def calls_that_speak(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls of `error` and `warning` of a log of problems, also by another name."""
    names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and speaks(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) > 1:
            by_name = isinstance(node.func, ast.Name) and node.func.id in names
            if by_name or speaks(node.func):
                yield node


def speaks(node: ast.expr) -> bool:
    if isinstance(node, ast.IfExp):
        return speaks(node.body)
    is_method = isinstance(node, ast.Attribute) and node.attr in {"error", "warning"}
    return is_method and ast.unparse(node).split(".")[-2].endswith("log")


def lines_of(call: ast.Call) -> range:
    return range(call.lineno, (call.end_lineno or call.lineno) + 1)
