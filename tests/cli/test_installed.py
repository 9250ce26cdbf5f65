"""The package as its wheel installs it: no checkout around it, and a project of somebody else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import duckdb
import pytest
from orchestration.forks import Forks
from orchestration.helpers import (
    ROOT,
    Outcome,
    clean_environment,
    config_with_source,
    eventually,
    free_port,
    graphql,
    is_up,
)

from ecommerce_dagster.shop.embedded_postgres import PostgresServer

pytestmark = pytest.mark.slow

CONFIG = """\
default_environment: default
environments:
  default:
    connections:
      duckdb:
        - name: duckdb-default
          path: ${DUCKDB_PATH}
"""
TABLE = """\
/* @bruin
name: mart.numbers
type: duckdb.sql
materialization: {type: table}
columns:
  - {name: n, type: integer, description: A number., checks: [{name: not_null}]}
@bruin */

SELECT 1 AS n
"""
REPORT = '''\
"""@bruin
name: report.numbers
type: python
@bruin"""

from ecommerce_dagster.local import report_file

report_file("report.numbers").write_text("<title>Numbers</title>")
'''
# What its files are read for, with the exit code and a text of the answer.
COMMANDS = [
    ("validate", 0, "sales: 2 assets and 1 check are valid"),
    ("run", 0, "mart.numbers"),
    ("run --continue", 2, "the last run finished"),
    ("query --table mart.numbers", 0, "1"),
    ("diff mart.numbers mart.numbers", 0, "mart.numbers: equal: 1 row"),
    ("plan", 0, "changed since the last builds"),
    ("try mart.numbers", 0, "mart.numbers: equal: 1 row"),
    ("doctor", 0, "FOLDER"),
    ("metrics", 0, "ecommerce_health_level"),
    ("show", 0, "mart.numbers"),
    ("lineage mart.numbers", 0, "mart.numbers"),
    ("render mart.numbers", 0, "SELECT 1 AS n"),
    ("report", 0, "FOLDER/.ecommerce/reports/numbers.html"),
    ("docs", 0, "FOLDER/.ecommerce/docs/index.html"),
    ("unit-test", 0, "0 unit tests"),
    ("format", 0, "2 left as they are"),
    ("new asset mart.more", 0, "mart.more.sql"),
    ("connections list", 0, "duckdb-default"),
    ("connections test", 0, "duckdb-default: "),
    ("warehouse snapshots", 2, "duckdb-default"),
    ("with-postgres -- env", 0, "DUCKDB_PATH=FOLDER/.ecommerce/warehouse.duckdb"),
    ("alerts test", 1, "no alerts are sent: pipeline.yml has no `notifications`"),
    ("completion bash", 0, "_ECOMMERCE_COMPLETE=bash_complete"),
    ("status", 0, "0 failed"),
    ("demo", 1, "the demonstration is in the repository of ecommerce-dagster"),
]


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel in it; everything else comes from that of the tests."""

    folder: Path

    @property
    def packages(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def environment(self, **variables: str) -> dict[str, str]:
        clean = clean_environment(PYTHONDONTWRITEBYTECODE="1", **variables)
        return {k: v for k, v in clean.items() if v or not k.startswith("POSTGRES_")}

    def start(self, project: Path, *command: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            cwd=project,
            env=self.environment(**variables),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    @cached_property
    def forks(self) -> Forks:
        return Forks(str(self.folder / "bin" / "python"), self.environment())

    def run(self, project: Path, *command: str, **variables: str) -> Outcome:
        """A command to its end."""
        script = str(self.folder / "bin" / command[0])
        environment = self.environment(**variables)
        outcome = Outcome(*self.forks.run([script, *command[1:]], project, environment))
        assert "Traceback" not in outcome.text, outcome.text
        assert "site-packages" not in outcome.text, outcome.text
        return outcome

    def ecommerce(self, project: Path, *arguments: str, **variables: str) -> Outcome:
        return self.run(project, "ecommerce", *arguments, **variables)


def build_wheel(folder: Path) -> Installation:
    """The wheel, built and installed without what it asks for."""
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "build", "--quiet", "--wheel", "-o", str(folder), str(ROOT)], check=True)
    subprocess.run([uv, "venv", "--quiet", "-p", sys.executable, str(folder / "venv")], check=True)
    installed = Installation(folder / "venv")
    python = str(installed.folder / "bin" / "python")
    wheel = str(next(folder.glob("*.whl")))
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--no-deps", "--python", python, wheel], check=True
    )
    return installed


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installed = build_wheel(tmp_path_factory.mktemp("installation"))
    # Its own packages come first. The .pth files of the other environment are not followed.
    (installed.packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = installed.folder / "bin" / "python"
    dagster = installed.folder / "bin" / "dagster"
    dagster.write_text(f"#!{python}\nfrom dagster._cli import main\nmain()\n")
    dagster.chmod(0o755)
    before = contents(installed.folder)
    for path in installed.folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    yield installed
    installed.forks.close()
    for path in installed.folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)
    assert contents(installed.folder) == before


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder. For root it is never read-only."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one pipeline in it, in no repository and without a pyproject.toml."""
    folder = tmp_path / "sales"
    (folder / "assets").mkdir(parents=True)
    (folder / "pipeline.yml").write_text("name: sales\n")
    (folder / ".bruin.yml").write_text(CONFIG)
    (folder / "assets" / "numbers.sql").write_text(TABLE)
    (folder / "assets" / "page.py").write_text(REPORT)
    return folder


def made(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_command_works_in_the_project_of_somebody_else(
    installation: Installation, project: Path
) -> None:
    before = made(project)
    for command, code, text in COMMANDS:
        outcome = installation.ecommerce(project, *command.split())
        assert outcome.code == code, f"{command}: {outcome.text}"
        expected = text.replace("FOLDER", str(project))
        assert expected in outcome.text, f"{command}: {outcome.text}"
    assert made(project) == before | {".ecommerce"}
    assert made(project.parent) == {"sales"}
    state = project / ".ecommerce"
    assert {"dagster", "docs", "reports", "warehouse.duckdb", "postgres"} <= made(state)
    assert (state / ".gitignore").read_text() == "*\n"


def test_the_list_of_commands_is_whole(installation: Installation, tmp_path: Path) -> None:
    listed = installation.ecommerce(tmp_path, "--help").stdout.partition("\nRun:")[2]
    names = set(re.findall(r"^  ([a-z-]+)  ", listed, re.MULTILINE))
    assert names == {command.split()[0] for command, _, _ in COMMANDS} | {"dev"}


@pytest.mark.parametrize("mark", ["pyproject.toml", ".git", ".bruin.yml"])
def test_the_state_lies_at_the_root_of_the_project_and_so_does_env(
    installation: Installation, project: Path, mark: str
) -> None:
    root = project.parent
    (project / ".bruin.yml").rename(root / "connections.yml")
    marked = root / mark
    if mark == ".bruin.yml":
        marked.write_text(CONFIG)
    elif mark == ".git":
        marked.mkdir()
    else:
        marked.touch()
    (root / ".env").write_text("DUCKDB_PATH=named.duckdb\n")
    (root / "src").mkdir()
    how = ("--config-file", str(root / "connections.yml"))
    inside = installation.ecommerce(root / "src", "run", *how)
    assert inside.succeeded, inside.text
    elsewhere = installation.ecommerce(root.parent, "run", "--pipeline", str(project), *how)
    assert elsewhere.succeeded, elsewhere.text
    assert (root / ".ecommerce" / "dagster").is_dir()
    assert (root / "named.duckdb").is_file()
    assert [*root.rglob(".ecommerce")] == [root / ".ecommerce"]
    assert not (root.parent / ".ecommerce").exists()


@pytest.mark.parametrize(
    "command",
    [
        *("validate", "run", "query --table t", "show", "docs", "report", "unit-test", "format"),
        *("lineage t", "render t", "new asset a.b", "connections list", "connections test"),
        *("warehouse snapshots", "warehouse maintain", "dev"),
    ],
)
def test_without_a_pipeline_her_folder_is_named(
    installation: Installation, tmp_path: Path, command: str
) -> None:
    outcome = installation.ecommerce(tmp_path, *command.split())
    assert outcome.code in {1, 2}
    # `validate` writes its findings below the name of the file.
    found = re.search(r"pipeline\.yml(:1: |\n  1  error +)this file", outcome.text)
    assert found or str(tmp_path) in outcome.text
    assert made(tmp_path) == set()


def test_a_source_in_postgres_is_loaded(
    installation: Installation, project: Path, server: PostgresServer
) -> None:
    config = config_with_source(server.host, server.port, server.password)
    (project / ".bruin.yml").write_text(config)
    (project / "assets" / "loaded.asset.yml").write_text(
        "name: raw.databases\ntype: ingestr\nparameters:\n  source_connection: pg\n"
        "  source_table: pg_catalog.pg_database\n  destination: duckdb\n"
    )
    outcome = installation.ecommerce(project, "run", "raw.databases")
    assert outcome.succeeded, outcome.text
    with duckdb.connect(str(project / "warehouse.duckdb")) as warehouse:
        names = warehouse.execute("SELECT datname FROM raw.databases").fetchall()
    assert ("template1",) in names


def test_dagsters_pages_show_the_pipeline_that_is_here(
    installation: Installation, project: Path
) -> None:
    port = free_port()
    process = installation.start(project, "ecommerce", "dev", "--port", str(port))
    try:
        assert eventually(lambda: is_up(port), 120)
        found = graphql(port, "{assetNodes {assetKey {path}}}")["assetNodes"]
        names = {".".join(node["assetKey"]["path"]) for node in found}
        assert names == {"mart.numbers", "report.numbers"}
    finally:
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert made(project.parent) == {"sales"}
