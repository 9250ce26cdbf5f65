"""`ecommerce status`: what failed last, what is stale and what is running."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from orchestration.helpers import Outcome, Tiny, clean_environment, ended, eventually, script

from ecommerce_dagster._compat import SqliteEventLogStorage
from ecommerce_dagster.orchestration import status as module

WAITS = '''"""@bruin
name: main.waits
type: python
@bruin"""
import time
from pathlib import Path
Path("{folder}/begun").touch()
while not Path("{folder}/go").exists():
    time.sleep(0.05)
'''


@pytest.fixture
def tiny(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """raw -> mart, where a user is who is not in the checkout of this package."""
    monkeypatch.chdir(tiny.folder)
    tiny.sql("main.raw", "SELECT 1 AS n", "columns: [{name: n, checks: [{name: positive}]}]")
    tiny.sql("main.mart", "SELECT n FROM main.raw", "depends: [main.raw]")
    return tiny


def status(tiny: Tiny) -> dict[str, Any]:
    found = tiny.ecommerce("status", "--output", "json")
    assert (found.code, found.stderr) == (0, "")
    return dict(json.loads(found.stdout))


def stale(tiny: Tiny) -> dict[str, list[str]]:
    return {one["asset"]: one["reasons"] for one in status(tiny)["stale"]}


class TestWhatIsStale:
    def test_before_the_first_run_all_is_and_to_look_makes_nothing(self, tiny: Tiny) -> None:
        assert stale(tiny) == {"main.raw": ["never built"], "main.mart": ["never built"]}
        assert not (tiny.folder / "state").exists()
        text = tiny.ecommerce("status", "--exit-code")
        assert text.code == 1
        assert text.stdout.splitlines() == [
            "tiny: 2 assets, 0 failed, 2 stale, 0 runs not ended",
            "",
            "Stale",
            "  main.raw     never built",
            "  main.mart    never built",
        ]

    def test_an_instance_without_runs_is_as_none(self, tiny: Tiny) -> None:
        tiny.ecommerce("run", "main.nowhere")
        (tiny.folder / "state" / "dagster").mkdir(parents=True, exist_ok=True)
        assert stale(tiny).keys() == {"main.raw", "main.mart"}

    def test_after_a_run_nothing_is_until_a_file_changes_or_what_it_reads_is_built(
        self, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert tiny.ecommerce("run").succeeded
        well = tiny.ecommerce("status", "--exit-code")
        assert (well.code, well.stdout) == (
            0,
            "tiny: 2 assets, 0 failed, 0 stale, 0 runs not ended\n",
        )
        tiny.sql("main.mart", "SELECT n + 1 AS n FROM main.raw", "depends: [main.raw]")
        assert stale(tiny) == {"main.mart": ["its definition has changed since"]}
        assert tiny.ecommerce("run", "main.mart").succeeded
        assert stale(tiny) == {}

        # Moments are exact to the second.
        eventually(lambda: tiny.ecommerce("run", "main.raw").succeeded and stale(tiny))
        assert stale(tiny) == {"main.mart": ["older than main.raw"]}
        assert tiny.ecommerce("run", "main.mart").succeeded

        class Later(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.now(tz) + timedelta(hours=30)

        tiny.write("pipeline/pipeline.yml", "name: tiny\nschedule: daily\nstart_date: 2025-01-01\n")
        monkeypatch.setattr(module, "datetime", Later)
        assert stale(tiny) == {"main.mart": ["built 30 h ago, 26 h are allowed"]}


class TestHistory:
    """`--history`: how each check ended over time."""

    RULES = (
        "materialization: {type: table, strategy: delete+insert, incremental_key: day}\n"
        "columns:\n  - {name: n, checks: [{name: positive}, {name: max, value: 99}]}\n"
        "custom_checks:\n  - {name: four, query: SELECT count(*) FROM main.raw, value: 4}\n"
    )

    def run(self, tiny: Tiny, *numbers: int) -> None:
        days = ", ".join(f"({n}, DATE '2025-03-0{i}')" for i, n in enumerate(numbers, start=4))
        query = f"SELECT * FROM (VALUES {days}) AS v(n, day)"
        tiny.sql("main.raw", query, self.RULES, table=False)
        tiny.ecommerce("run", "main.raw")

    def test_since_when_and_how_many_rows(self, tiny: Tiny) -> None:
        assert tiny.ecommerce("status", "--history").stdout.splitlines() == [
            "main.raw",
            "  n: positive  never ran",
        ]
        self.run(tiny, 1, 2, 3, 4)
        self.run(tiny, 1, 0, 3, 4, 5)
        self.run(tiny, 1, -1, -2, 4, -3)
        found = tiny.ecommerce("status", "--history", "main.raw", "--exit-code")
        assert found.code == 1
        assert [
            re.sub(r"\d\d:\d\d:\d\d UTC", "at", line) for line in found.stdout.splitlines()
        ] == [
            "main.raw",
            "  n: positive  failing since at  bad rows 0 1 3 (60.0% of all)",
            "               3 of 5 rows (1 of 2025-03-05, 1 of 2025-03-06, 1 of 2025-03-08) break the"
            " rule: Each n is above 0.",
            "  n: max       passing since at  bad rows 0 0 0",
            "  four         failing since at  bad rows passed failed failed",
            "               custom check 'four' returned 5; expected 4",
        ]
        printed = tiny.ecommerce("status", "--history", "--limit", "2", "-o", "json")
        raw, mart = json.loads(printed.stdout)["assets"]
        assert mart == {"asset": "main.mart", "checks": []}
        positive, most, _ = raw["checks"]
        assert [r["bad_rows"] for r in positive["results"]] == [1, 3]
        assert [r["bad_share"] for r in positive["results"]] == [0.2, 0.6]
        by_day = {"2025-03-05": 1, "2025-03-06": 1, "2025-03-08": 1}
        assert positive["results"][1]["failed_partitions"] == by_day
        assert (positive["status"], positive["since_or_earlier"]) == ("failing", True)
        assert positive["since"] == positive["results"][0]["at"]
        assert (most["status"], positive["line"]) == ("passing", 6)

        self.run(tiny, 1, 2, 3, 4)
        well = tiny.ecommerce("status", "--history", "main.raw", "--limit", "3", "--exit-code")
        assert (well.code, "passing since" in well.stdout) == (0, True)
        assert "bad rows 1 3 0" in well.stdout

    def test_an_asset_without_checks_and_one_that_is_unknown(self, tiny: Tiny) -> None:
        none = tiny.ecommerce("status", "--history", "main.mart")
        assert none.stdout.splitlines() == ["main.mart", "  has no checks"]
        unknown = tiny.ecommerce("status", "--history", "main.rew")
        assert "there is no asset 'main.rew'; did you mean 'main.raw'?" in unknown.stderr

    def test_the_event_log_is_read_once_however_many_checks_there_are(
        self, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.run(tiny, 1, 2, 3, 4)
        asked = []
        connect = SqliteEventLogStorage.index_connection

        def counted(self: Any) -> Any:
            asked.append(1)
            return connect(self)

        monkeypatch.setattr(SqliteEventLogStorage, "index_connection", counted)
        assert "n: max" in tiny.ecommerce("status", "--history").stdout
        assert len(asked) == 1


class TestWhatFailed:
    @pytest.fixture
    def broken(self, tiny: Tiny) -> Tiny:
        assert tiny.ecommerce("run").succeeded
        tiny.sql("main.raw", "SELECT -1 AS n", "columns: [{name: n, checks: [{name: positive}]}]")
        tiny.sql("main.error", "SELECT error('no such day') AS n")
        tiny.sql(
            "main.warns", "SELECT 1 AS n",
            "custom_checks: [{name: has none, query: SELECT count(*) FROM main.warns, blocking: false}]",
        )  # fmt: skip
        assert tiny.ecommerce("run").code == 1
        return tiny

    def test_checks_and_assets_with_file_and_line_until_they_succeed(self, broken: Tiny) -> None:
        found = {(one["asset"], one["check"]): one for one in status(broken)["failed"]}
        assert found.keys() == {
            ("main.raw", "n: positive"), ("main.error", ""), ("main.warns", "has none"),
        }  # fmt: skip
        check, error = found["main.raw", "n: positive"], found["main.error", ""]
        assert (check["file"], check["line"]) == ("pipeline/assets/main.raw.sql", 6)
        assert "no such day" in error["message"]
        assert (error["file"], error["line"]) == ("pipeline/assets/main.error.sql", 2)
        assert not found["main.warns", "has none"]["blocking"]
        assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(check["at"])

        text = broken.ecommerce("status").stdout
        assert text.startswith("tiny: 4 assets, 3 failed, 2 stale, 0 runs not ended\n\nFailed\n")
        assert re.search(
            r"  main.raw +\d\d:\d\d:\d\d UTC  n: positive: .*\n +pipeline/assets/main.raw.sql:6\n",
            text,
        )
        assert "has none (does not block): " in text

        broken.sql("main.raw", "SELECT 1 AS n", "columns: [{name: n, checks: [{name: positive}]}]")
        broken.sql("main.error", "SELECT 1 AS n")
        assert broken.ecommerce("run").code == 1
        assert [one["check"] for one in status(broken)["failed"]] == ["has none"]


class TestWhatIsRunning:
    @pytest.fixture
    def waiting(self, tiny: Tiny) -> subprocess.Popen[str]:
        tiny.write("pipeline/assets/waits.py", WAITS.format(folder=tiny.folder))
        process = start(tiny, "main.waits")
        assert eventually((tiny.folder / "begun").exists, 120)
        return process

    def test_it_is_named_with_its_process_and_so_it_is_to_a_run_that_waits(
        self, tiny: Tiny, waiting: subprocess.Popen[str]
    ) -> None:
        [run] = status(tiny)["running"]
        assert (run["state"], run["process"]) == ("running", waiting.pid)
        named = rf"run {run['run_id'][:8]} since \d\d:\d\d:\d\d UTC \(process {waiting.pid}, ecommerce run.*\)"
        text = tiny.ecommerce("status").stdout
        assert re.search(
            rf"\n  run {run['run_id'][:8]}  since .*  ecommerce run.*, process {waiting.pid}\n",
            text,
        )
        with FileLock(f"{tiny.warehouse}.lock"):
            second = start(tiny, "main.raw")
            assert second.stdout is not None
            line = second.stdout.readline()
        assert re.search(
            rf"waiting for another run to finish with \S+/warehouse.duckdb: {named}$", line.strip()
        )
        assert ended(second).succeeded
        (tiny.folder / "go").touch()
        assert ended(waiting).succeeded
        assert status(tiny)["running"] == []

    def test_a_run_that_was_killed_is_said_to_be_gone(
        self, tiny: Tiny, waiting: subprocess.Popen[str]
    ) -> None:
        os.kill(waiting.pid, signal.SIGKILL)
        waiting.wait()
        (tiny.folder / "go").touch()
        [run] = status(tiny)["running"]
        assert (run["state"], run["process"]) == ("gone", waiting.pid)
        assert "its process is gone; `ecommerce run --continue`" in tiny.ecommerce("status").stdout


def start(tiny: Tiny, *assets: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [script("ecommerce"), "run", *assets, "--pipeline", str(tiny.directory)],
        env=clean_environment(ECOMMERCE_HOME=str(tiny.folder / "state")),
        cwd=tiny.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_the_shops_pipeline_is_well_after_its_run(day: Any) -> None:
    outcome: Outcome = day.invoke("status", "--exit-code")
    assert (outcome.code, outcome.stdout) == (
        0, "orders_performance: 27 assets, 0 failed, 0 stale, 0 runs not ended\n",
    )  # fmt: skip
    assert Path(day.home).exists()
