"""Whole pipelines: this repository's own, a stranger's that uses every key, and a large one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruin.helpers import Files
from ecommerce_dagster.bruin.problems import Problem, ProblemLog, ProjectError
from ecommerce_dagster.bruin.project import read_project

STRANGER = {
    ".bruin.yml": """
        default_environment: default
        environments:
          default:
            connections:
              postgres:
                - {name: pg-default, username: u, password: p, host: h, port: 5432, database: d,
                   schema: public, pool_max_conns: 5, ssl_mode: allow}
              duckdb:
                - {name: duckdb-default, path: duckdb.db, max_concurrent_assets: 1}
              slack:
                - {name: slack-default, api_key: x}
    """,
    "glossary.yml": """
        domains:
          customers:
            name: Customers
            description: Who buys.
            owners: [a@b.c]
            tags: [x]
            contact: [{type: email, address: a@b.c}]
          vip: {description: The best., parent_domain: customers}
        entities:
          Customer:
            name: Customer
            description: Who buys.
            domains: [customers]
            attributes:
              ID: {name: id, type: integer, description: Who., checks: [{name: not_null}]}
              Email: {type: string, description: Where.}
    """,
    "shop/pipeline.yml": """
        id: shop
        name: shop
        schedule: "@daily"
        start_date: 2024-01-01
        catchup: false
        retries: 2
        concurrency: 1
        owner: a@b.c
        tags: [daily]
        domains: [customers]
        meta: {team: data}
        default_connections: {duckdb: duckdb-default, postgres: pg-default}
        notifications: {slack: [{channel: "#data"}]}
        variables:
          all_time: {type: int, default: 0, description: Everything.}
          users: {type: array, items: {type: string}, default: [a, b]}
        default:
          type: duckdb.sql
          owner: default@b.c
          hooks: {pre: [{query: "SET threads = 4"}]}
    """,
    "shop/macros/tools.sql": "-- helpers\n{% macro cents(c) %}({{ c }} / 100){% endmacro %}\n",
    "shop/assets/raw/raw.customers.asset.yml": """
        name: raw.customers
        type: ingestr
        uri: postgres://customers
        description: |
          Everyone.
          Really.
        tags: [raw]
        connection: duckdb-default
        parameters:
          source_connection: pg-default
          source_table: public.customers
          destination: duckdb
          incremental_strategy: merge
          incremental_key: updated_at
          options: {page_size: 1000, list: [1, two]}
        columns:
          - {name: id, type: integer, primary_key: true, checks: [{name: not_null}]}
          - {name: updated_at, type: timestamp, mask: hash, source_column: changed}
    """,
    "shop/assets/stg/customers.sql": """
        /* @bruin
        uri: neptune.stg.customers
        description: Clean.
        tier: 1
        extends: [Customer]
        depends:
          - raw.customers
          - asset: seeds.countries
            mode: symbolic
            columns: [{name: code, usage: join}]
        start_date: "2024-01-01"
        interval_modifiers: {start: -2h, end: 1d}
        materialization:
          type: table
          strategy: time_interval
          incremental_key: updated_at
          time_granularity: timestamp
          partition_by: updated_at
          cluster_by: [id]
        refresh_restricted: true
        timeout: 30s
        retries: 1
        rerun_cooldown: 60
        columns:
          - extends: Customer.ID
            primary_key: true
            nullable: false
          - name: spent
            type: decimal
            precision: 10
            scale: 2
            default: 0
            update_on_merge: true
            merge_sql: source.spent
            upstreams: [{column: amount, table: raw.orders}]
            tags: [money]
            domains: [customers]
            meta: {pii: "no"}
            owner: a@b.c
            checks:
              - {name: min, value: 0, blocking: false, description: Never less.}
              - {name: max, value: 1000000}
              - {name: accepted_values, value: [1, 2]}
              - {name: pattern, value: "^[0-9]+$"}
          - name: country
            foreign_key: {table: seeds.countries, column: code}
            checks: [{name: relationships}]
        custom_checks:
          - name: few
            description: Not too many.
            query: |
              SELECT count(*) FROM {{ this }}
              WHERE updated_at > '{{ end_date }}'
            value: 0
          - {name: rows, query: "SELECT 1 FROM {{ this }}", count: 3, blocking: false}
        unit_tests:
          - name: one
            inputs: [{asset: raw.customers, rows: [{id: 1}]}]
            expected: {rows: [{id: 1}]}
        hooks:
          post: [{query: "ANALYZE"}]
        @bruin */

        SELECT id, email, {{ cents('spent') }} AS spent, country, updated_at
        FROM raw.customers WHERE true
        {% if not full_refresh and var.all_time == 0 %}
          AND updated_at BETWEEN '{{ start_timestamp }}' AND '{{ end_timestamp }}'
          AND created < '{{ start_date | add_days(-7) | date_format("%Y/%m/%d") }}'
        {% endif %}
        {% for user in var.users %}
          AND name <> '{{ user }}'
        {% endfor %}
    """,
    "shop/assets/seeds/countries.asset.yml": """
        name: seeds.countries
        type: duckdb.seed
        parameters: {path: countries.csv, enforce_schema: true}
        columns: [{name: code, type: varchar, checks: [{name: unique}]}]
    """,
    "shop/assets/wait.asset.yml": """
        type: duckdb.sensor.query
        parameters: {query: "SELECT count(*) FROM x WHERE d = '{{ end_date }}'", poke_interval: 60}
    """,
    "shop/assets/report.py": '''
        """ @bruin
        name: mart.report
        type: python
        image: python:3.11
        instance: b1.nano
        depends: stg.customers
        secrets:
          - {key: pg-default, inject_as: PG}
          - key: duckdb-default
        materialization: {type: table, strategy: create+replace}
        connection: duckdb-default
        @bruin """


        def materialize():
            return [{"a": "{{"}]
    ''',
    "shop/assets/helpers.py": "VALUE = 1\n",
    "shop/assets/legacy.sql": """
        -- @bruin.name: mart.legacy
        -- @bruin.depends: stg.customers, mart.report
        -- @bruin.columns.id.checks: not_null
        SELECT 1 AS id
    """,
    "shop/tasks/old.task.yml": "name: old.task\ntype: empty\ndepends: [mart.legacy]\n",
    "shop/assets/off.sql": "/* @bruin\nenabled: false\n@bruin */\nSELECT 1\n",
}


@pytest.fixture
def stranger(files: Files) -> Files:
    (files.root / "pipeline.yml").unlink()
    for path, text in STRANGER.items():
        files.write(path, text)
    files.root = files.root / "shop"
    return files


def test_our_own_pipeline_has_nothing_to_complain_about() -> None:
    root, log = Path(__file__).parents[2], ProblemLog()
    project = read_project(root / "asset_specs", log)
    assert project is not None
    assert [str(problem) for problem in log.problems] == []
    files = [file.suffix for file in (root / "asset_specs/assets").rglob("*.*")]
    assert len(project.assets) == sum(suffix in {".sql", ".yml", ".py"} for suffix in files)


def test_a_strangers_pipeline_loads_unchanged(stranger: Files) -> None:
    project = stranger.project()
    assert [asset.name for asset in project.assets] == [
        "wait", "raw.customers", "seeds.countries", "stg.customers", "mart.report", "mart.legacy",
        "old.task",
    ]  # fmt: skip
    assert stranger.warnings() == []


def test_its_assets_hold_what_the_files_say(stranger: Files) -> None:
    project = stranger.project()
    customers = project.by_name["stg.customers"]
    assert [column.name for column in customers.columns] == ["id", "spent", "country", "Email"]
    assert customers.owner == "default@b.c"
    assert [hook.query for hook in customers.hooks.pre] == ["SET threads = 4"]
    assert project.by_name["raw.customers"].hooks.pre == ()
    assert project.by_name["raw.customers"].description == "Everyone.\nReally.\n"
    assert customers.is_refresh_restricted
    assert customers.body.splitlines()[0].startswith("SELECT id, email")
    lines = customers.path.read_text().splitlines()
    assert lines[customers.body_line - 1] == customers.body.splitlines()[0]
    assert project.disabled == {"off"}
    assert project.root == stranger.root.parent


def test_a_chain_of_hundreds_of_files_is_in_order(files: Files) -> None:
    sql = (files.root / "template").write_text
    sql("")
    for number in range(300):
        files.write(
            f"assets/a{number}.sql",
            f"""
            /* @bruin
            type: duckdb.sql
            depends: [{f"a{number - 1}" if number else ""}]
            columns:
              - {{name: id, type: integer, checks: [{{name: not_null}}, {{name: unique}}]}}
              - {{name: v, type: integer, checks: [{{name: min, value: {number}}}]}}
            @bruin */
            SELECT {number} FROM a{number - 1} WHERE d = '{{{{ start_date }}}}'
            """,
        )
    project = files.project()
    assert [asset.name for asset in project.assets] == [f"a{number}" for number in range(300)]


def test_an_error_holds_every_problem_in_the_order_of_the_files() -> None:
    log = ProblemLog()
    log.error(Path("b.sql"), 1, "rule", "last")
    log.error(Path("a.sql"), 10, "rule", "second")
    log.warning(Path("a.sql"), 1, "rule", "only a warning")
    log.error(Path("a.sql"), 2, "rule", "first")
    log.error(Path("a.sql"), 2, "rule", "first")
    with pytest.raises(ProjectError) as caught:
        log.raise_errors()
    assert str(caught.value) == "a.sql:2: first\na.sql:10: second\nb.sql:1: last"
    assert caught.value.problems[0] == Problem(Path("a.sql"), 2, "first", "rule", "error")


def test_only_warnings_raise_nothing() -> None:
    log = ProblemLog()
    log.warning(Path("a.sql"), 1, "rule", "odd")
    log.raise_errors()
