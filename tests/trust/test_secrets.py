"""Passwords and secrets of runs that fail are in nothing that those leave behind."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from orchestration.helpers import Outcome, Tiny, clean_environment, invoke

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from trust.helpers import connect, database, ingest

WRONG, HIDDEN = "wrong-Passw0rd-4711", "hidden-Passw0rd-0815"
PYTHON = '''"""@bruin
name: main.failing
type: python
secrets:
  - key: elsewhere
    inject_as: SHOP
@bruin"""

import os

assert '"password": "hidden' in os.environ["SHOP"]
raise ValueError("the shop is closed")
'''
ELSEWHERE = """
        - name: elsewhere
          host: nowhere.invalid
          port: 5432
          username: postgres
          password: {}
          database: shop
"""


@pytest.fixture
def failed(tiny: Tiny, server: PostgresServer) -> Iterator[tuple[list[Outcome], set[str]]]:
    """Runs that load, are refused, reach nobody, fail a check and raise; the commands that were
    running meanwhile."""
    with database(server, "secrets") as (place, session):
        session.execute("CREATE TABLE t AS SELECT 1 AS id")
        ingest(tiny, "t")
        ingest(tiny, "unreachable", source_connection="elsewhere")
        tiny.sql(
            "main.bad", "SELECT NULL::INT AS n", "columns: [{name: n, checks: [{name: not_null}]}]"
        )
        tiny.write("pipeline/assets/failing.py", PYTHON)
        outcomes, commands, done = [], set(), threading.Event()

        def watch() -> None:
            while not done.wait(0.05):
                for path in Path("/proc").glob("[0-9]*/cmdline"):
                    try:
                        commands.add(path.read_bytes().decode(errors="replace"))
                    except OSError:
                        continue

        watching = threading.Thread(target=watch)
        watching.start()
        for password in place.password, WRONG:
            connect(tiny, replace(place, password=password))
            config = tiny.folder / ".bruin.yml"
            config.write_text(config.read_text().rstrip() + ELSEWHERE.format(HIDDEN))
            outcomes.append(tiny.ecommerce("run"))
        outcomes.append(tiny.ecommerce("docs", "--output", str(tiny.folder / "catalogue")))
        done.set()
        watching.join()
        yield outcomes, commands


def test_they_are_in_no_output_no_file_and_no_command(
    tiny: Tiny, server: PostgresServer, failed: tuple[list[Outcome], set[str]]
) -> None:
    outcomes, commands = failed
    first, second, _ = outcomes
    assert "PASS  main.t" in first.text
    for part in ("the shop is closed", "cannot be reached", "FAIL  main.bad"):
        assert part in first.text
    assert "password authentication failed" in second.text
    files = [
        path for path in tiny.folder.rglob("*") if path.is_file() and path.name != ".bruin.yml"
    ]
    kinds = {"".join(path.suffixes) for path in files}
    assert {".db", ".duckdb", ".published.duckdb", ".html"} <= kinds
    for secret in (server.password, WRONG, HIDDEN):
        assert not [outcome.text for outcome in outcomes if secret in outcome.text]
        assert not [path for path in files if secret.encode() in path.read_bytes()]
        assert not [command for command in commands if secret in command]


def test_no_state_is_open_to_other_users(tiny: Tiny, tmp_path: Path) -> None:
    """Of the folder that a command makes, as of one that was there and others may enter."""
    tiny.sql("main.a", "SELECT 1 AS n")
    for home in (tmp_path / "new" / "state", tmp_path / "there"):
        if home.name == "there":
            home.mkdir(mode=0o755)
            home.chmod(0o755)
        outcome = invoke(
            clean_environment(ECOMMERCE_HOME=str(home)), "run", "--pipeline", str(tiny.directory)
        )
        assert outcome.succeeded, outcome.text
        assert (home / "dagster").is_dir()
        assert list(_open_to_others(home)) == []
    for file in tiny.folder.glob("*.duckdb"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o755


def _open_to_others(folder: Path) -> Iterator[str]:
    """What another user can read, entering no folder that he may not; locks hold nothing."""
    for path in folder.iterdir():
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir() and mode & 0o055:
            yield from _open_to_others(path)
        elif not path.is_dir() and mode & 0o044 and path.suffix != ".lock":
            yield str(path)
