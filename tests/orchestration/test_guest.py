"""What loading a pipeline leaves as it was in the process of somebody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestration.helpers import ROOT, clean_environment

# What others import is theirs: it comes first.
STATE = """
import celery, dagster, dagster_celery, dagster_duckdb, dagster_postgres, duckdb, psycopg
import sqlalchemy, sqlglot
import gc, logging, sys, warnings

def state():
    loggers = {name: logger.level for name, logger in logging.root.manager.loggerDict.items()
               if isinstance(logger, logging.Logger) and logger.level}
    switches = gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), gc.get_debug()
    return {"root": logging.root.level, **loggers}, switches, list(warnings.filters)

before = state()
"""
BUILD = """
from ecommerce_dagster import build_defs
build_defs(sys.argv[1])
"""
FOLLOW = """
from ecommerce_dagster.sql.lineage.query import query_lineage
from ecommerce_dagster.sql.used_tables import used_tables
query_lineage("VACUUM VERBOSE t", [])
used_tables(duckdb.connect(), "VACUUM VERBOSE t")
"""
UNCHANGED = """
for now, then in zip(state(), before):
    assert now == then, (now, then)
"""


def run(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env=clean_environment(**variables),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_loading_a_pipeline_changes_no_switch_of_the_process() -> None:
    run(STATE + BUILD + UNCHANGED, "asset_specs", DUCKDB_PATH="unused.duckdb", POSTGRES_HOST="::1")


def test_nor_does_loading_one_whose_steps_are_tasks_of_celery(tmp_path: Path) -> None:
    connection = "{name: pg, host: '::1', database: d, username: u, password: p}"
    (tmp_path / ".bruin.yml").write_text(
        "default_environment: default\nenvironments:\n  default:\n"
        f"    connections:\n      postgres: [{connection}]\n"
    )
    (tmp_path / "pipeline.yml").write_text("name: p\ndefault_connections: {postgres: pg}\n")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "t.sql").write_text(
        "/* @bruin\nname: a.t\ntype: pg.sql\nmaterialization: {type: table}\n@bruin */\nSELECT 1 AS n\n"
    )
    broker = "amqp://127.0.0.1:1//"
    run(
        STATE + BUILD + UNCHANGED,
        str(tmp_path),
        ECOMMERCE_EXECUTOR="celery_steps",
        ECOMMERCE_CELERY_BROKER=broker,
    )


def test_sql_that_the_parser_does_not_know_is_no_line_in_the_log_of_others() -> None:
    assert run(STATE + FOLLOW + UNCHANGED).stderr == ""
    others = "\nsqlglot.parse('VACUUM VERBOSE t')\n"
    assert "contains unsupported syntax" in run(STATE + FOLLOW + others).stderr
