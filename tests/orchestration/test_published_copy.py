"""Readers get a copy of the warehouse, replaced in one step when a run ends."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import stat
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from ecommerce_dagster.warehouses.duckdb.published_copy import publish_copy
from orchestration.helpers import Tiny, query, run_all, tables

NOT_NULL = "columns: [{name: n, checks: [{name: not_null}]}]"


@pytest.fixture
def pipeline(tiny: Tiny) -> Tiny:
    tiny.sql("main.a", "SELECT 1 AS n", NOT_NULL)
    tiny.sql("main.b", "SELECT 1 AS n")
    return tiny


def copy_of(pipeline: Tiny) -> Path:
    return pipeline.folder / "warehouse.published.duckdb"


def run(pipeline: Tiny, instance: dg.DagsterInstance, *assets: str) -> bool:
    selection = [dg.AssetKey(name.split(".")) for name in assets] or None
    return run_all(pipeline.definitions(), instance, selection).success


def test_a_run_leaves_a_copy_that_is_equal(pipeline: Tiny, instance: dg.DagsterInstance) -> None:
    assert run(pipeline, instance)

    assert tables(copy_of(pipeline)) == tables(pipeline.warehouse)


def test_a_run_that_fails_publishes_what_it_committed(
    pipeline: Tiny, instance: dg.DagsterInstance
) -> None:
    run(pipeline, instance)
    pipeline.sql("main.a", "SELECT NULL::INT AS n", NOT_NULL)
    pipeline.sql("main.b", "SELECT 2 AS n")

    assert not run(pipeline, instance)

    assert query(copy_of(pipeline), "FROM main.a") == [(1,)]
    assert query(copy_of(pipeline), "FROM main.b") == [(2,)]


def test_a_run_that_changes_nothing_copies_nothing(
    pipeline: Tiny, instance: dg.DagsterInstance
) -> None:
    run(pipeline, instance)
    inode = copy_of(pipeline).stat().st_ino
    pipeline.sql("main.a", "SELECT NULL::INT AS n", NOT_NULL)

    assert not run(pipeline, instance, "main.a")

    assert copy_of(pipeline).stat().st_ino == inode


def test_a_reader_keeps_the_copy_that_he_has_open(
    pipeline: Tiny, instance: dg.DagsterInstance
) -> None:
    run(pipeline, instance)
    copy = copy_of(pipeline)
    with duckdb.connect(str(copy), read_only=True) as reader, copy.open("rb") as file:
        content = file.read()
        pipeline.sql("main.b", "SELECT 2 AS n")
        assert run(pipeline, instance)
        assert reader.execute("FROM main.b").fetchall() == [(1,)]
        # Blocks that he has not read yet are as they were, too.
        file.seek(0)
        assert file.read() == content
    assert query(copy, "FROM main.b") == [(2,)]


def test_a_query_reads_the_copy_while_another_program_has_the_warehouse(
    pipeline: Tiny, instance: dg.DagsterInstance
) -> None:
    run(pipeline, instance)
    with duckdb.connect(str(pipeline.warehouse)) as writer:
        writer.execute("UPDATE main.b SET n = 2")
        writer.execute("CHECKPOINT")
        outcome = pipeline.ecommerce("query", "FROM main.b", "--output", "csv")

    assert outcome.stdout.split() == ["n", "1"]
    assert "the warehouse has changed since" in outcome.stderr


def test_a_disk_that_is_full_costs_readers_the_news_and_the_run_nothing(
    pipeline: Tiny, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pipeline, instance)
    pipeline.sql("main.b", "SELECT 2 AS n")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run(pipeline, instance)

    assert pipeline.query("FROM main.b") == [(2,)]
    assert query(copy_of(pipeline), "FROM main.b") == [(1,)]
    assert not list(pipeline.folder.glob("*.new"))


def test_a_run_whose_copy_is_not_replaced_says_what_readers_see(
    pipeline: Tiny, instance: dg.DagsterInstance
) -> None:
    """The tables are right, and readers do not see them: no exit code of 0 says that."""
    assert pipeline.ecommerce("run", "main.b").succeeded
    copy = copy_of(pipeline)
    kept = copy.rename(copy.with_name("kept"))
    copy.mkdir()
    (copy / "in.use").touch()
    pipeline.sql("main.b", "SELECT 2 AS n")

    outcome = pipeline.ecommerce("run", "main.b", "--output", "json")

    assert outcome.code == 1
    said = json.loads(outcome.stdout)
    assert (said["success"], said["assets"]["main.b"]["status"]) == (False, "success")
    [problem] = said["problems"]
    assert problem == (
        f"the copy for readers {copy} cannot be written (Is a directory); until a run replaces it, "
        "they have none"
    )
    assert problem in " ".join(outcome.stderr.split())
    assert pipeline.query("FROM main.b") == [(2,)]

    shutil.rmtree(copy)
    kept.rename(copy)
    outcome = pipeline.ecommerce("run", "main.b", "--output", "json")
    assert (outcome.code, json.loads(outcome.stdout)["problems"]) == (0, [])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
def test_a_copy_that_cannot_be_written_is_in_the_log_of_the_run(
    pipeline: Tiny,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    run(pipeline, instance)
    pipeline.sql("main.b", "SELECT 2 AS n")

    def broken(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", broken)
    result = run_all(pipeline.definitions(), instance)

    logged = [e for e in instance.all_logs(result.run_id) if e.level == logging.ERROR]
    [message] = [entry.user_message for entry in logged]
    assert (
        f"cannot be written ({os.strerror(number)}); until a run replaces it, they see" in message
    )
    assert re.search(r"the tables of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", message)


def test_others_read_the_copy_only_when_its_owner_lets_them(
    pipeline: Tiny, instance: dg.DagsterInstance
) -> None:
    def modes() -> tuple[str, str]:
        files = (pipeline.warehouse, copy_of(pipeline))
        mine, readers = (f"{stat.S_IMODE(file.stat().st_mode):o}" for file in files)
        return mine, readers

    pipeline.write("warehouse.published.duckdb.new", "left by a killed process")
    assert run(pipeline, instance)
    assert modes() == ("600", "600")

    copy_of(pipeline).chmod(0o640)
    pipeline.sql("main.b", "SELECT 2 AS n")
    assert run(pipeline, instance)
    assert modes() == ("600", "640")
    assert query(copy_of(pipeline), "FROM main.b") == [(2,)]

    pipeline.warehouse.chmod(0o664)
    assert run(pipeline, instance)
    assert modes()[0] == "664"


def test_what_a_killed_copy_left_is_overwritten(
    pipeline: Tiny, instance: dg.DagsterInstance
) -> None:
    pipeline.write("warehouse.published.duckdb.new", "half a f" * 1_000_000)

    assert run(pipeline, instance)

    assert tables(copy_of(pipeline)) == tables(pipeline.warehouse)
    assert not list(pipeline.folder.glob("*.new"))


def test_what_a_killed_process_committed_is_in_the_next_copy(
    pipeline: Tiny, instance: dg.DagsterInstance
) -> None:
    run(pipeline, instance)
    pid = os.fork()
    if pid == 0:
        connection = duckdb.connect(str(pipeline.warehouse))
        connection.execute("UPDATE main.b SET n = 3")
        os._exit(0)  # the change is in the log beside the file only
    os.waitpid(pid, 0)
    assert pipeline.warehouse.with_name("warehouse.duckdb.wal").exists()

    assert publish_copy(str(pipeline.warehouse))

    assert query(copy_of(pipeline), "FROM main.b") == [(3,)]


def test_without_copies_a_query_reads_the_warehouse(
    pipeline: Tiny, instance: dg.DagsterInstance
) -> None:
    run(pipeline, instance)
    pipeline.sql("main.b", "SELECT 2 AS n")
    off = {"ECOMMERCE_PUBLISHED_COPY": "off"}

    assert pipeline.ecommerce("run", "main.b", **off).succeeded

    assert query(copy_of(pipeline), "FROM main.b") == [(1,)]
    outcome = pipeline.ecommerce("query", "FROM main.b", "--output", "csv", **off)
    assert outcome.stdout.split() == ["n", "2"]
