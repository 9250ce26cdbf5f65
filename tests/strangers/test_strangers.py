"""Pipelines as other people write them give what their authors say."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from orchestration.helpers import clean_environment, invoke

from ecommerce_dagster.shop.embedded_postgres import PostgresServer

from .case import CASES, Command, Place, Said, differences, load

_numbers = itertools.count(1)


@pytest.fixture
def in_process(tmp_path: Path) -> Command:
    """`ecommerce ...` without starting a process."""
    environment = clean_environment(ECOMMERCE_HOME=str(tmp_path / "state"))

    def command(*arguments: str) -> Said:
        outcome = invoke(environment, *arguments)
        return Said(outcome.code, outcome.stdout, outcome.stderr)

    return command


@pytest.fixture
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    in_process: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    """Where a case is played: an empty folder, or one with a database of PostgreSQL as well."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    if not load(request.getfixturevalue("path")).get("postgres"):
        return Place(folder, in_process)
    server: PostgresServer = request.getfixturevalue("server")
    own = replace(server, database=f"stranger_{next(_numbers)}")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{own.database}"')
    return Place(folder, in_process, own)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_stated_results_come_out(path: Path, place: Place) -> None:
    found = list(differences(load(path), place))
    assert not found, "\n".join(found)
