"""Passwords and secrets of runs that fail are in nothing that those leave behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from orchestration.helpers import Outcome, Tiny

from ecommerce_dagster.embedded_postgres import PostgresServer
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
