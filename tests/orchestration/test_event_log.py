"""Dagster's events, stored in fewer steps: what Dagster reads is the same."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from alembic.script import ScriptDirectory
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster_shared.check import CheckError
from sqlalchemy import event
from sqlalchemy.engine import Engine

from ecommerce_dagster import _compat
from ecommerce_dagster.orchestration.event_log import EventLog
from orchestration.helpers import Shop, Tiny, eventually, run_all

DAYS = """name: tiny
schedule: daily
start_date: "2025-03-01"
"""
PARTITIONED = """materialization:
  type: table
  strategy: time_interval
  incremental_key: day
  time_granularity: date
columns: [{name: day, checks: [{name: not_null}, {name: unique}]}]
"""


@contextmanager
def commits() -> Iterator[list[str]]:
    """The files that were written to, one entry for each transaction."""
    found: list[str] = []

    def note(connection: object) -> None:
        found.append(Path(connection.engine.url.database).stem)  # type: ignore[attr-defined]

    event.listen(Engine, "commit", note)
    try:
        yield found
    finally:
        event.remove(Engine, "commit", note)


def events_folder(tiny: Tiny) -> Path:
    return tiny.folder / "state" / "dagster" / "history" / "runs"


def run_of(tiny: Tiny) -> str:
    (file,) = (f for f in events_folder(tiny).glob("*.db") if f.stem != "index")
    return file.stem


def test_dagsters_own_storage_reads_what_was_stored(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    tiny.write("pipeline/pipeline.yml", DAYS)
    tiny.sql("mart.days", "SELECT DATE '2025-03-01' AS day", PARTITIONED, table=False)

    outcome = tiny.ecommerce("run", "--start-date", "2025-03-01", "--end-date", "2025-03-05")

    assert outcome.succeeded, outcome.text
    storage = SqliteEventLogStorage(str(events_folder(tiny)))
    stored = Counter(
        entry.dagster_event.event_type
        for entry in storage.get_logs_for_run(run_of(tiny))
        if entry.dagster_event
    )
    assert stored[dg.DagsterEventType.ASSET_MATERIALIZATION] == 5
    assert stored[dg.DagsterEventType.ASSET_CHECK_EVALUATION] == 2
    assert stored[dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED] == 2
    key = dg.AssetKey(["mart", "days"])
    days = {f"2025-03-0{n}" for n in range(1, 6)}
    assert storage.get_materialized_partitions(key) == days
    check = dg.AssetCheckKey(key, "day__unique")
    last, *_ = storage.get_asset_check_execution_history(check, limit=5)
    assert last.status.value == "SUCCEEDED"


def stored_in(folder: Path) -> dict[tuple[str, str], list[tuple[object, ...]]]:
    """All rows of all tables by file and table, without the moments at which they were written."""
    found = {}
    for file in sorted(folder.glob("*.db")):
        with sqlite3.connect(file) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                columns = ", ".join(
                    f'"{n}"'
                    for n in names
                    if n not in {"id", "create_timestamp", "migration_completed"}
                )
                rows = connection.execute(f"SELECT {columns} FROM {table}").fetchall()
                found[file.stem, table] = sorted(rows, key=repr)
    return found


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[EventLogEntry]:
    """The events of a run over five days of which an asset fails, and of a full refresh."""
    tiny = Tiny(tmp_path_factory.mktemp("recorded"))
    tiny.write("pipeline/pipeline.yml", DAYS)
    tiny.sql("mart.days", "SELECT DATE '2025-03-01' AS day", PARTITIONED, table=False)
    rules = "columns: [{name: n, checks: [{name: positive}]}]"
    tiny.sql("mart.bad", "SELECT -1 AS n", rules)
    dates = ("--start-date", "2025-03-01", "--end-date", "2025-03-05")
    assert tiny.ecommerce("run", *dates).code == 1
    assert tiny.ecommerce("run", "mart.days", "--full-refresh").succeeded
    source = SqliteEventLogStorage(str(events_folder(tiny)))
    return [e for run in sorted(source.get_all_run_ids()) for e in source.get_logs_for_run(run)]


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_the_same_is_stored_as_by_dagsters_own_storage(
    recorded: list[EventLogEntry], tmp_path: Path, at_once: int
) -> None:
    events = recorded
    folders = tmp_path / "ours", tmp_path / "dagsters"
    ours, dagsters = EventLog(str(folders[0])), SqliteEventLogStorage(str(folders[1]))

    for storage in (ours, dagsters):
        for first in range(0, len(events), at_once):
            if at_once == 1:
                storage.store_event(events[first])
            else:
                storage.store_event_batch(events[first : first + at_once])
        storage.dispose()

    found, expected = map(stored_in, folders)
    assert found == expected
    assert len(found["index", "asset_keys"]) == 2
    assert len(found["index", "event_logs"]) > 10


def test_another_dagster_stores_its_events_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"base_dir": str(tmp_path)}
    assert type(EventLog.from_config_value(None, config)) is EventLog
    monkeypatch.setattr(_compat, "LAST_TRIED", _compat.FIRST_TRIED)
    assert type(EventLog.from_config_value(None, config)) is SqliteEventLogStorage


def test_what_a_run_plans_and_the_partitions_it_fills_are_one_transaction_in_each_file(
    tmp_path: Path,
) -> None:
    tiny = Tiny(tmp_path)
    tiny.write("pipeline/pipeline.yml", DAYS)
    tiny.sql("mart.days", "SELECT DATE '2025-03-01' AS day", PARTITIONED, table=False)

    with commits() as few_days:
        assert tiny.ecommerce("run", "--start-date", "2025-03-01").succeeded
    with commits() as many_days:
        dates = ("--start-date", "2025-03-01", "--end-date", "2025-06-30")
        assert tiny.ecommerce("run", *dates).succeeded

    assert len(many_days) <= len(few_days) + 2


def test_an_event_is_one_transaction_in_each_file(tmp_path: Path) -> None:
    storage = EventLog(str(tmp_path))
    storage.store_event(_evaluation("first"))

    with commits() as found:
        storage.store_event(_evaluation("second"))

    assert sorted(found) == ["a-run", "index"]


def test_a_batch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    storage = EventLog(str(tmp_path))
    storage.store_event(_evaluation("first"))

    with pytest.raises(CheckError):
        storage.store_event_batch([_evaluation("second"), "no event"])  # type: ignore[list-item]

    assert len(storage.get_logs_for_run("a-run")) == 1
    key = dg.AssetCheckKey(dg.AssetKey("a"), "second")
    assert not storage.get_asset_check_execution_history(key, limit=5)
    storage.store_event_batch([_evaluation("second"), _evaluation("third")])
    assert len(storage.get_logs_for_run("a-run")) == 3


def test_the_file_of_a_new_run_needs_no_migrations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EventLog(str(tmp_path)).store_event(_evaluation("first", run="one"))
    monkeypatch.setattr(ScriptDirectory, "from_config", lambda *_: pytest.fail("read migrations"))
    storage = EventLog(str(tmp_path))

    storage.store_event(_evaluation("second", run="two"))

    assert len(storage.get_logs_for_run("one")) == 1
    assert len(storage.get_logs_for_run("two")) == 1
    monkeypatch.undo()
    dagsters = SqliteEventLogStorage(str(tmp_path))
    assert sorted(dagsters.get_all_run_ids()) == ["one", "two"]
    dagsters.store_event(_evaluation("third", run="two"))
    assert len(storage.get_logs_for_run("two")) == 2
    assert _schema(tmp_path / "two.db") == _schema(_made_by_dagster(tmp_path / "dagsters"))
    assert [f.name for f in tmp_path.iterdir() if f.is_dir()] == ["dagsters"]


def test_the_file_of_a_new_run_is_made_also_where_it_cannot_be_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr("os.link", refuse)
    storage = EventLog(str(tmp_path))

    storage.store_event(_evaluation("first"))

    assert len(storage.get_logs_for_run("a-run")) == 1


def test_a_file_of_a_run_that_another_process_has_opened_first_gets_its_tables(
    tmp_path: Path,
) -> None:
    storage = EventLog(str(tmp_path))
    (tmp_path / "a-run.db").touch()

    storage.store_event(_evaluation("first"))

    assert len(storage.get_logs_for_run("a-run")) == 1


def test_who_watches_a_run_sees_each_event_when_it_happens(tmp_path: Path) -> None:
    """As the UI does, from another process: it notices that the run's file has changed."""
    writer, reader = EventLog(str(tmp_path)), SqliteEventLogStorage(str(tmp_path))
    writer.store_event(_evaluation("first"))
    seen: list[str] = []
    reader.watch("a-run", None, lambda entry, cursor: seen.append(cursor))

    for number in range(2, 5):
        writer.store_event(_evaluation(str(number)))
        assert eventually(lambda: len(seen) >= number, 10), seen  # noqa: B023 - called at once

    reader.dispose()


def events_in(file: Path) -> Counter[str | None]:
    """The events of one run, by type; None are lines of the log."""
    with sqlite3.connect(file) as connection:
        query = "SELECT dagster_event_type, count(*) FROM event_logs GROUP BY 1"
        return Counter(dict(connection.execute(query).fetchall()))


def test_dagster_gets_two_lines_of_each_asset_and_no_event_that_it_need_not(day: Shop) -> None:
    folder = day.home / "dagster" / "history" / "runs"
    files = (path for path in folder.glob("*.db") if path.stem != "index")
    # Other tests may have checked the tables since: the run that built them has the most events.
    found = max((events_in(path) for path in files), key=Counter.total)

    assets, checks = found["STEP_SUCCESS"], found["ASSET_CHECK_EVALUATION"]
    assert (assets, checks) == (27, 188)
    assert found["ASSET_MATERIALIZATION_PLANNED"] == assets
    assert found["ASSET_CHECK_EVALUATION_PLANNED"] == checks
    assert found["STEP_OUTPUT"] == assets + checks
    partitions, report = 4, 10  # of one day; what a Python asset prints at most
    assert found["ASSET_MATERIALIZATION"] <= assets + partitions
    assert found[None] <= 2 * assets + report
    known = {None, "STEP_START", "STEP_SUCCESS", "STEP_OUTPUT", "ASSET_MATERIALIZATION"}
    known |= {"ASSET_MATERIALIZATION_PLANNED"}
    known |= {"ASSET_CHECK_EVALUATION", "ASSET_CHECK_EVALUATION_PLANNED"}
    assert sum(count for kind, count in found.items() if kind not in known) <= 8  # of the run


def _schema(file: Path) -> tuple[str, list[tuple[str, ...]]]:
    with sqlite3.connect(file) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        tables = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")
        return mode, [*tables, *connection.execute("SELECT * FROM alembic_version")]


def _made_by_dagster(folder: Path) -> Path:
    SqliteEventLogStorage(str(folder)).store_event(_evaluation("first"))
    return folder / "a-run.db"


def _evaluation(name: str, run: str = "a-run") -> EventLogEntry:
    evaluation = dg.AssetCheckEvaluation(
        check_name=name, asset_key=dg.AssetKey("a"), passed=True, metadata={}
    )
    return EventLogEntry(
        error_info=None,
        level=20,
        user_message="",
        run_id=run,
        timestamp=1.0,
        dagster_event=dg.DagsterEvent(
            dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
            "job",
            event_specific_data=evaluation,
        ),
    )


@pytest.mark.parametrize("place", [shutil.copytree, shutil.move], ids=["copied", "moved"])
def test_the_events_of_a_copied_or_moved_state_are_its_own(
    place: Callable[[Path, Path], object], tmp_path: Path
) -> None:
    tiny, key = Tiny(tmp_path / "first"), dg.AssetKey(["main", "a"])
    tiny.sql("main.a", "SELECT 1 AS n")
    assert tiny.ecommerce("run").succeeded
    home = Path("state", "dagster")
    place(tiny.folder, tmp_path / "second")
    with dg.DagsterInstance.from_config(str(tmp_path / "second" / home)) as instance:
        (run,) = instance.get_runs()
        assert instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        instance.report_runless_asset_event(dg.AssetMaterialization(key))
        assert run_all(Tiny(tmp_path / "second").definitions(), instance).success
        assert len(instance.fetch_materializations(key, limit=5).records) == 3
    if place is shutil.copytree:
        with dg.DagsterInstance.from_config(str(tiny.folder / home)) as instance:
            assert len(instance.fetch_materializations(key, limit=5).records) == 1
