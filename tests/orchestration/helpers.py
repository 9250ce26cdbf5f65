"""A shop of its own for a test: a database, a folder of state, and the commands a user has."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import duckdb
import psycopg
from click.testing import CliRunner

from ecommerce_dagster import build_defs, local
from ecommerce_dagster.shop.commands import main

ROOT = local.ROOT
DAY = "2025-03-05"
ONE_DAY = ("--starting-at", DAY, "--ending-at", f"{DAY}T23:59:59.999999")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
# In a transaction: its rows are in the counters of PostgreSQL when COMMIT returns. Else they get
# there some time after, at the latest when the session has ended, which nobody is told.
COUNT_AT_ONCE = "SELECT pg_stat_force_next_flush()"
# Settings of the machine that a test must not see. What names a database is emptied instead of
# removed, so that a developer's `.env` does not bring it back.
_FOREIGN = re.compile(r"^(POSTGRES_|PG|DUCKDB_|DAGSTER_|ECOMMERCE_|COLUMNS$|FORCE_COLOR$|TZ$)")


# What shops keep for the next run, like the scripts of pages, which take 2 s to put together.
_CACHE = tempfile.TemporaryDirectory(prefix="ecommerce-cache-")


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr

    @property
    def succeeded(self) -> bool:
        return self.code == 0


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment of this process without anything that names another shop."""
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    return {**kept, "POSTGRES_DSN": "", "POSTGRES_HOST": "", "COLUMNS": "200", **variables}


def script(name: str) -> str:
    """The path of a command of this virtual environment; other commands as they are."""
    path = Path(sys.executable).with_name(name)
    return str(path) if path.exists() else name


def invoke(environment: Mapping[str, str], *arguments: str) -> Outcome:
    """`ecommerce ...` in this process, which saves importing Dagster once more."""
    with mock.patch.dict(os.environ, environment, clear=True):
        result = CliRunner().invoke(main, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception  # a user would see a traceback
    return Outcome(result.exit_code, result.stdout, result.stderr)


def on_a_terminal(environment: Mapping[str, str], *arguments: str) -> str:
    """What `ecommerce ...` prints on a terminal."""
    own, its = pty.openpty()
    with subprocess.Popen(
        [script("ecommerce"), *arguments], env=environment, stdin=its, stdout=its, stderr=its
    ):
        os.close(its)
        text = b""
        # At its end Linux answers with an error in place of no bytes.
        with suppress(OSError):
            while more := os.read(own, 10_000):
                text += more
    os.close(own)
    return text.decode()


def findings(validated: Outcome) -> list[str]:
    """What `ecommerce validate` printed for people, each as file:line: severity: message [rule]."""
    file, found = "", []
    for line in validated.stdout.splitlines():
        if match := re.fullmatch(r" +(\d+)  (error|warning) +(\S.*?)  (\[[a-z-]+\])", line):
            found.append(f"{file}:{match[1]}: {match[2]}: {match[3]} {match[4]}")
        else:
            file = line
    return found


class Shop:
    """A source database and a folder of local state, with the commands that work on them."""

    def __init__(self, home: Path, environment: Mapping[str, str], dsn: str = "") -> None:
        self.home, self.dsn = home, dsn
        self.folder = ROOT  # where commands are started
        self.user_home = home / "user"
        self.user_home.mkdir(parents=True, exist_ok=True)
        self.environment = clean_environment(
            ECOMMERCE_HOME=str(home),
            HOME=str(self.user_home),
            XDG_CACHE_HOME=_CACHE.name,
            **environment,
        )
        self.warehouse = home / "warehouse.duckdb"
        self.first_run: Outcome | None = None

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        """A command in the background, in a process group of its own."""
        return subprocess.Popen(
            [script(command[0]), *command[1:]],
            env={**self.environment, **variables},
            cwd=self.folder,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, *command: str, **variables: str) -> Outcome:
        """A command to its end."""
        return ended(self.start(*command, **variables))

    def ecommerce(self, *arguments: str, **variables: str) -> Outcome:
        return self.run("ecommerce", *arguments, **variables)

    def generate(self, *arguments: str) -> Outcome:
        outcome = self.run("generate-data", *arguments)
        assert outcome.succeeded, outcome.text
        return outcome

    def invoke(self, *arguments: str, **variables: str) -> Outcome:
        return invoke({**self.environment, **variables}, *arguments)

    def source(self, *statements: str) -> list[tuple[Any, ...]]:
        """The rows of the last statement, asked of Postgres."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the warehouse."""
        return query(self.warehouse, sql)

    def tables(self) -> dict[str, tuple[int, int]]:
        """Each table of the warehouse with its number of rows and a hash of what they hold."""
        return tables(self.warehouse)

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The Dagster instance that the commands record into."""
        with dg.DagsterInstance.from_config(str(self.home / "dagster")) as instance:
            yield instance

    def runs(self, **tags: str) -> list[dg.DagsterRun]:
        """The runs with these tags, the latest first."""
        with self.instance() as instance:
            return list(instance.get_runs(dg.RunsFilter(tags=tags)))

    def is_idle(self) -> bool:
        """Whether there were runs, and all have ended."""
        runs = self.runs()
        return bool(runs) and all(run.is_finished for run in runs)

    def events(self, kind: dg.DagsterEventType, run_id: str | None = None) -> list[Any]:
        """The events of a kind that a run (the latest one) left in the instance."""
        with self.instance() as instance:
            run_id = run_id or instance.get_runs(limit=1)[0].run_id
            entries = instance.all_logs(run_id, of_type=kind)
        return [entry.dagster_event for entry in entries]

    def partitions(self, asset: str) -> set[str]:
        """The partitions of an asset that the instance knows as materialized."""
        with self.instance() as instance:
            return instance.get_materialized_partitions(dg.AssetKey(asset.split(".")))


NewShop = Callable[..., Shop]


def query(warehouse: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(sql).fetchall()


def tables(warehouse: Path) -> dict[str, tuple[int, int]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return tables_of(connection)


def tables_of(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    names = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT temporary "
        "AND database_name = current_database() ORDER BY ALL"
    ).fetchall()
    found = {}
    for schema, table in names:
        row = connection.execute(
            f'SELECT count(*), coalesce(sum(hash(t)::HUGEINT), 0) FROM "{schema}"."{table}" t'
        ).fetchone()
        assert row is not None
        found[f"{schema}.{table}"] = (row[0], int(row[1]))
    return found


def ended(process: subprocess.Popen[str]) -> Outcome:
    """How a command ends that was started before."""
    try:
        stdout, stderr = process.communicate(timeout=200)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Outcome(process.returncode, stdout, stderr)


# A small pipeline in a folder of its own, for what needs no shop.

_CONFIG = """
default_environment: default
environments:
  default:
    connections:
      duckdb:
        - name: duckdb-default
          path: warehouse.duckdb
"""


# The same tables in a DuckLake, which is quick to make with a file as its catalogue.
LAKE_CONFIG = _CONFIG.replace(
    "          path: warehouse.duckdb\n",
    "          lakehouse:\n"
    "            format: ducklake\n"
    "            catalog: {type: duckdb, path: lake.db}\n"
    "            storage: {path: data}\n",
)


def config_with_source(
    host: str, port: int, password: str, user: str = "postgres", database: str = "shop"
) -> str:
    """The same .bruin.yml with a database to load from, the connection `pg`."""
    fields = {"host": host, "port": port, "username": user, "password": password}
    lines = "".join(f"          {k}: {v}\n" for k, v in {**fields, "database": database}.items())
    return f"{_CONFIG}      postgres:\n        - name: pg\n{lines}"


class Tiny:
    """A pipeline written by a test, and a warehouse beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = folder / "pipeline"
        self.warehouse = folder / "warehouse.duckdb"
        self.write("pipeline/pipeline.yml", "name: tiny\n")
        self.write(".bruin.yml", _CONFIG)
        (self.directory / "assets").mkdir(exist_ok=True)

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def sql(self, name: str, query: str, header: str = "", *, table: bool = True) -> Path:
        """A SQL asset: a table of what `query` returns."""
        how = "materialization:\n  type: table\n" if table else ""
        return self.write(
            f"pipeline/assets/{name}.sql",
            f"/* @bruin\nname: {name}\ntype: duckdb.sql\n{how}{header.strip()}\n@bruin */\n\n"
            f"{query.strip()}\n",
        )

    def rates(self) -> None:
        """A checked source that other code makes, and a table that reads it."""
        self.write(
            "pipeline/assets/rates.asset.yml",
            "name: ext.rates\ntype: duckdb.source\nmeta: {dagster_asset_key: finance/rates}\n"
            "columns: [{name: rate, type: double, checks: [{name: positive}]}]\n",
        )
        self.sql("mart.t", "SELECT rate FROM ext.rates", "depends: [ext.rates]")

    def definitions(self, **options: Any) -> dg.Definitions:
        return build_defs(self.directory, **options)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return query(self.warehouse, sql)

    def ecommerce(self, command: str, *arguments: str, **variables: str) -> Outcome:
        """`ecommerce COMMAND --pipeline ...` with its Dagster instance below this folder."""
        environment = clean_environment(ECOMMERCE_HOME=str(self.folder / "state"), **variables)
        return invoke(environment, command, *arguments, "--pipeline", str(self.directory))


def run_all(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    selection: Any = None,
    **options: Any,
) -> dg.ExecuteInProcessResult:
    """What Dagster does for 'Materialize' and 'Execute': one run of a selection."""
    return dg.materialize(
        list(definitions.assets or []),
        resources=definitions.resources,
        instance=instance,
        selection=selection,
        raise_on_error=False,
        run_config=QUIET,
        **options,
    )


def checks_recorded(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """The check results of a run: `stg/orders:order_id__not_null` and what it found."""
    return {
        f"{e.asset_key.to_user_string()}:{e.check_name}": e
        for e in result.get_asset_check_evaluations()
    }


def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
    """The assets that a run reports as built."""
    return [e.materialization.asset_key.to_user_string() for e in _materializations(result)]


def _materializations(result: dg.ExecuteInProcessResult) -> list[Any]:
    return [
        event.step_materialization_data
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
    ]


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """The steps of a run that failed, with the message that the UI shows."""
    found = {}
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            found[str(event.step_key)] = error.message if error else ""
    return found


# Processes and other things of the machine.


def processes_of(*traces: str | Path) -> dict[int, str]:
    """The processes that have one of these texts in their command line or their environment."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            told = (entry / "cmdline").read_bytes() + b"\n" + (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and any(str(trace).encode() in told for trace in traces):
            found[int(entry.name)] = told.replace(b"\0", b" ").decode(errors="replace")[:200]
    return found


def eventually(condition: Callable[[], Any], seconds: float = 20, pause: float = 0.1) -> bool:
    """Whether a condition becomes true in time; it is asked again after a pause, a longer one where
    asking takes long: what is waited for needs the processor."""
    deadline = time.monotonic() + seconds
    while (began := time.monotonic()) < deadline:
        if condition():
            return True
        time.sleep(max(pause, min(1, 3 * (time.monotonic() - began))))
    return bool(condition())


@contextmanager
def dev(
    shop: Shop, port: int, *, ignore_interrupts: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """`ecommerce dev`, up and serving. What is left of it at the end is killed."""
    log = shop.home / f"dev-{port}.log"
    command = [script("ecommerce"), "dev", "--port", str(port)]
    if ignore_interrupts:  # as a shell does for what it starts in the background
        command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=shop.environment,
            cwd=shop.folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        assert eventually(lambda: is_up(port) or process.poll() is not None, 180), log.read_text()
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()
        for pid in processes_of(shop.home):
            subprocess.run(["kill", "-9", str(pid)], check=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5) as answer:
            return "dagster_webserver_version" in json.load(answer)
    except OSError:
        return False


def kill_during_run(
    shop: Shop, after: str | None, assets: Sequence[str], seconds: float = 0.0
) -> None:
    """kill -9 a run `seconds` after it has reported an asset, or after its start."""
    process = shop.start("ecommerce", "run", *assets)
    assert process.stdout is not None
    try:
        while after is not None and (line := process.stdout.readline()):
            if line.startswith("PASS") and after in line:
                break
        time.sleep(seconds)
    finally:
        process.kill()
        process.communicate()


def graphql(port: int, query: str) -> Any:
    """What the UI's server answers to a query."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["data"]


# What the button 'Execute' beside a check sends.
CHECK_ONLY_RUN = """
    mutation { launchRun(executionParams: {
        mode: "default", runConfigData: "{}",
        selector: {
            repositoryLocationName: "ecommerce_dagster.definitions",
            repositoryName: "__repository__",
            jobName: "__ASSET_JOB",
            assetSelection: [],
            assetCheckSelection: [
                {assetKey: {path: ["stg", "customers"]}, name: "email__not_null"}
            ]
        }
    }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""


def copy_state(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.lock"), dirs_exist_ok=True)
