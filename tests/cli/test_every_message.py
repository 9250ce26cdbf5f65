"""Every sentence that the code raises is read in one of three tests: what `validate` says in
test_every_error.py, what a run fails with in test_every_failure.py, and what commands refuse in
test_every_refusal.py."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import data_generator
import ecommerce_dagster
from cli import test_every_error, test_every_failure, test_every_refusal

SAID = [
    *(broken.said for _, broken in test_every_error.CASES),
    *(failing.said for _, failing in test_every_failure.CASES),
    *(refused.said for refused in test_every_refusal.REFUSED),
    *test_every_refusal.UNIT_TESTS.values(),
]
PACKAGES = [Path(str(package.__file__)).parent for package in (ecommerce_dagster, data_generator)]
# What takes another process, another machine or a fault to hear, and the test that makes it.
ELSEWHERE = {
    " cannot be opened without a token; write `token: ${MOTHERDUCK_TOKEN}`": "orchestration/test_motherduck.py",
    "MotherDuck: ": "orchestration/test_motherduck.py",
    "has no attribute": "test_architecture.py",
    "before it starts": "bruin/test_interval.py",
    "choose another one with --port": "cli/test_dev.py",
    "`ecommerce run --continue` does the rest.": "cli/test_kill.py",
    "amqp://user:password@host:5672//": "orchestration/test_executors.py",
    "which needs ": "orchestration/test_executors.py",
    "would end with": "orchestration/test_executors.py",
    "failed because": "deploy/test_tasks.py",
    "give one pipeline another name": "orchestration/test_copies.py",
    "must be windows of time": "orchestration/test_partitions.py",
    "have different partitions": "orchestration/test_partitions.py",
    "which are called like": "orchestration/test_partitions.py",
    "replaces no connection": "orchestration/test_definitions.py",
    "needs one with": "orchestration/test_definitions.py",
    "the query does not read": "orchestration/test_testing.py",
    "is in no pipeline": "orchestration/test_testing.py",
    "is no asset of the pipeline": "orchestration/test_testing.py",
    "seconds without any row": "cli/test_render.py",
    "PostgreSQL: ": "orchestration/test_postgres_assets.py",
    "to have it as a key": "contract/test_unchanged.py",
    "it is not known whether": "postgres_warehouse/test_lost_commits.py",
    "has not ended the transaction": "postgres_warehouse/test_lost_commits.py",
    "neither the query nor the file": "postgres_warehouse/test_preview.py",
    "cannot get other columns while the view": "postgres_warehouse/test_dependents.py",
    ".lock cannot be written": "trust/test_faults.py",
    "is already open in this thread": "warehouse/test_database.py",
    "extension cannot be loaded": "trust/test_supply_chain.py",
    "has an effect that lasts": "orchestration/test_postgres_assets.py",
    "can be written as parquet": "cli/test_query.py",
    "can be tried": "cli/test_try.py",
    "Interrupted. Nothing is left of it.": "cli/test_try.py",
    "cannot be read beside the warehouse": "cli/test_fallback.py",
    "no tables were kept": "cli/test_promote.py",
    "--tried is for tables that are built whole": "cli/test_promote.py",
    "only tables with all of their rows can be kept": "cli/test_promote.py",
    "has a key to take a sample by": "cli/test_try_part.py",
    "no table has the column": "cli/test_try_part.py",
    "is loaded or rebuilt by the days of": "cli/test_try_part.py",
    "exclude each other": "cli/test_try_part.py",
    "is the key of --sample": "cli/test_try_part.py",
    "is no part of the rows": "cli/test_try_part.py",
    "name two tables, or an environment": "cli/test_diff.py",
    "with, or add @yesterday": "cli/test_diff.py",
    "there is no column": "cli/test_diff.py",
    "; expected duckdb or postgres": "cli/test_diff.py",
    ": there is no table": "cli/test_diff.py",
    "only a DuckLake keeps former rows": "cli/test_diff.py",
    "is neither the number of a snapshot": "cli/test_diff.py",
    "no snapshot is that old": "cli/test_diff.py",
    "is not for a terminal": "cli/test_query.py",
    "this command reads the tables of the warehouse": "warehouse/test_query.py",
    "although no check was asked": "warehouse/test_publish.py",
    "others wrote to the DuckLake at the same time": "warehouse/test_ducklake.py",
    "cannot be kept": "trust/test_faults.py",
    "is a file; move it": "cli/test_dagster_home.py",
    "of what is loaded are not those of": "ingestion/test_names.py",
    "cannot be read as SQLite": "ingestion_files/test_sources.py",
    "cannot be read as MySQL": "ingestion_files/test_sources.py",
    "has no tables to ask": "ingestion_files/test_sources.py",
    "add `file_type:`": "ingestion_files/test_sources.py",
    "does not exist; correct its path": "ingestion_files/test_sources.py",
    "ingestr could not read the source": "ingestion_files/test_sources.py",
    "pip install ingestr": "ingestion_files/test_sources.py",
    "was rewritten while": "ingestion/test_snapshot.py",
    "was changed; run it again": "ingestion/test_snapshot.py",
    "which is not installed here": "ingestion_files/test_python_asset.py",
    "is not valid TOML": "ingestion_files/test_python_asset.py",
    "requires-python is": "ingestion_files/test_python_asset.py",
    "is not installed here, and uv cannot": "ingestion_files/test_python_asset.py",
    "It is asked for by": "ingestion_files/test_python_asset.py",
    "name another place with XDG_CACHE_HOME": "ingestion_files/test_python_asset.py",
    "holds values of": "ingestion_files/test_python_asset.py",
    "this asset has no SELECT to test": "cli/test_unit_test.py",
    "rows from Python need pyarrow": "ingestion_files/test_python_asset.py",
    "the demonstration is in the repository": "cli/test_installed.py",
    "for reasons outside of the files": "orchestration/test_failed_runs.py",
    "there is no connection": "orchestration/test_alerts.py",
    "name one by `connection:`": "cli/test_every_error.py",
    "its connection ": "orchestration/test_alerts.py",
    "alerts need apprise": "cli/test_extras.py",
    "metrics need prometheus-client": "cli/test_extras.py",
    "cannot hold the metrics": "cli/test_doctor.py",
    "not both": "cli/test_doctor.py",
    "cannot be opened: ": "cli/test_doctor.py",
    "cannot be read: ": "cli/test_doctor.py",
    "need dagster-webserver": "cli/test_extras.py",
    "needs faker": "cli/test_extras.py",
    "need vl-convert": "cli/test_extras.py",
    "need dagster-postgres": "cli/test_extras.py",
    "extension is not installed here": "cli/test_extras.py",
    "is for another DuckDB than": "warehouse/test_extensions.py",
    "POSTGRES_BIN": "test_embedded_postgres.py",
    "PostgreSQL did not start": "test_embedded_postgres.py",
    "initdb failed:": "test_embedded_postgres.py",
    "restore it": "test_embedded_postgres.py",
    "not followed for": "orchestration/test_watching.py",
    "there is no commit ": "plan/test_plan.py",
    "this repository has no commit yet": "plan/test_plan.py",
    "have no commit in common": "plan/test_plan.py",
    "git is not installed": "plan/test_plan.py",
    "the pipeline in ": "plan/test_plan.py",
    "nothing was changed, Postgres says": "test_data_generator.py",
    "cannot connect to Postgres": "test_data_generator.py",
}
# Nobody could make these happen in a test: a server that hangs, another system, a machine without a free port,
# another user's files, a refusal in which PostgreSQL names no value, a schema too deep for Python.
UNHEARD = {
    "An earlier PostgreSQL does not end.",
    "git \0 fails: \0",
    "This needs Linux or macOS.",
    "PostgreSQL, started by another process, does not answer.",
    "There is no free port on 127.0.0.1.",
    "belongs to another user",
    "does not fit its type \0: \0",
    "it is nested too deeply",
}
# What no user sees: who catches it says something else, or does it in another way.
CAUGHT = {
    "this is not YAML",
    "this YAML cannot be written again",
    "in a transaction that is not its own",
    "it compares \0 with \0; \0",
    "is not an item of a cron expression",
    "either all weekdays are the nth of a month",
    "is larger than \0",
    "is smaller than \0",
    "a run that is not executed opens no database",
}


def messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The line and the text, with \\0 for what is filled in, of what is raised with a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            text = re.sub(r"^(\0:)+ ", "", text_of(node.exc.args[0]))  # the file and the line
            if len(re.sub(r"\W", "", text)) > 7:
                yield node.lineno, text


def text_of(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(text_of(value) for value in values)
        case ast.FormattedValue():
            return "\0"
    return ""


def test_every_message_is_read_in_a_test() -> None:
    unread = [
        f"{file.relative_to(package.parent)}:{line}: {text}"
        for package in PACKAGES
        for file in sorted(package.rglob("*.py"))
        for line, text in messages(ast.parse(file.read_text()))
        if not is_said(text)
    ]
    known = {*ELSEWHERE, *UNHEARD, *CAUGHT}
    assert [message for message in unread if not any(words in message for words in known)] == []


def is_said(text: str) -> bool:
    pattern = re.compile(".*".join(map(re.escape, text.split("\0"))), re.DOTALL)
    return any(pattern.search(said) for said in SAID)


def test_what_is_heard_elsewhere_is_there() -> None:
    tests = Path(__file__).parents[1]
    assert [w for w, file in ELSEWHERE.items() if w not in (tests / file).read_text()] == []
