"""What a Python asset is told of the assets above it, and what it tells Dagster of itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from ecommerce_dagster.orchestration import failed_loads
from ecommerce_dagster.orchestration.build import load_project
from ecommerce_dagster.orchestration.latest_states import latest_states
from orchestration.helpers import Tiny, failures, query, run_all

PYTHON = '''"""@bruin
name: report.all
type: python
depends: [main.numbers]
@bruin"""

import os
from pathlib import Path

told = Path(os.environ["ECOMMERCE_UPSTREAM"]).read_text()
Path(os.environ["ECOMMERCE_SUMMARY"]).write_text(told)
'''


def test_it_reads_the_state_of_all_above_it_and_its_summary_is_shown(
    tiny: Tiny, instance: dg.DagsterInstance
) -> None:
    check = "columns:\n  - {name: n, checks: [{name: not_null}, {name: negative, blocking: false}]}"
    tiny.sql("main.source", "SELECT 1 AS n")
    tiny.sql("main.numbers", "FROM main.source", f"depends: [main.source]\n{check}")
    tiny.sql("main.other", "SELECT 1 AS n")
    tiny.write("pipeline/assets/all.py", PYTHON)
    result = run_all(tiny.definitions(), instance)
    [event] = instance.fetch_materializations(dg.AssetKey(["report", "all"]), limit=1).records
    assert event.asset_materialization is not None
    source, numbers = json.loads(event.asset_materialization.metadata["summary"].value)
    assert result.success
    assert (source["name"], source["rows"], source["checks"]) == ("main.source", 1, [])
    assert source["built_at"].endswith("+00:00")
    assert numbers["name"] == "main.numbers"
    found = {check["label"]: check for check in numbers["checks"]}
    assert found["n: not_null"]["status"] == "passed"
    assert found["n: negative"]["status"] == "failed"
    assert found["n: negative"]["message"]
    assert not found["n: negative"]["blocking"]


def test_it_is_told_each_day_on_which_a_load_failed_or_was_late(
    tiny: Tiny, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write("pipeline/pipeline.yml", "name: tiny\nschedule: daily\nstart_date: 2025-01-01\n")
    rule = "columns: [{name: n, checks: [{name: positive}]}]"
    tiny.sql("main.source", "SELECT 1 AS n", rule)
    tiny.sql("main.numbers", "FROM main.source", "depends: [main.source]\nmeta: {freshness: 26h}")
    tiny.sql("main.steady", "SELECT 1 AS n", "meta: {freshness: off}")
    tiny.write(
        "pipeline/assets/all.py", PYTHON.replace("[main.numbers]", "[main.numbers, main.steady]")
    )
    assert run_all(tiny.definitions(), instance).success
    numbers = dg.AssetKey(["main", "numbers"])
    [built] = instance.fetch_materializations(numbers, limit=1).records
    # Two that fail on one day are one setback; what is not run because of them has none.
    for wrong in ("SELECT -1 AS n", "SELECT error('gone') AS n"):
        tiny.sql("main.source", wrong, rule)
        assert not run_all(tiny.definitions(), instance).success
    failed = datetime.now(UTC)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=3)

    monkeypatch.setattr(failed_loads, "datetime", Later)
    report = dg.AssetSelection.assets(dg.AssetKey(["report", "all"]))
    assert run_all(tiny.definitions(), instance, report).success
    [event] = instance.fetch_materializations(dg.AssetKey(["report", "all"]), limit=1).records
    assert event.asset_materialization is not None
    states = json.loads(str(event.asset_materialization.metadata["summary"].value))
    found = {state["name"]: state["setbacks"] for state in states}
    assert found["main.steady"] == []
    [once] = found["main.source"]
    assert (once["at"][:10], once["what"]) == (f"{failed:%Y-%m-%d}", "failed")
    first = datetime.fromtimestamp(built.timestamp, UTC) + timedelta(hours=26)
    days = [first.date() + timedelta(days=n) for n in range(3)]
    until = (failed + timedelta(days=3)).date()
    assert [(one["at"][:10], one["what"]) for one in found["main.numbers"]] == [
        (day.isoformat(), "late") for day in days if day <= until
    ]


def test_a_check_that_was_not_reached_keeps_its_last_result(
    tiny: Tiny, instance: dg.DagsterInstance
) -> None:
    rule = "columns: [{name: n, checks: [{name: positive}]}]"
    tiny.sql("main.first", "SELECT 1 AS n", rule)
    tiny.sql("main.second", "FROM main.first", f"depends: [main.first]\n{rule}")
    assert run_all(tiny.definitions(), instance).success
    tiny.sql("main.first", "SELECT -1 AS n", rule)
    assert not run_all(tiny.definitions(), instance).success
    project = load_project(tiny.directory)
    states = latest_states(instance, project.assets, project)
    assert [state.checks[0].status for state in states.values()] == ["failed", "passed"]
    assert states["main.first"].rows == 1
    assert states["main.first"].checks[0].at >= states["main.second"].checks[0].at
    tiny.sql("main.third", "SELECT 1 AS n", rule)
    project = load_project(tiny.directory)
    third = latest_states(instance, project.assets, project)["main.third"]
    assert (third.built_at, third.rows, third.checks[0].status) == ("", None, "unknown")


def test_it_works_in_the_checkout_wherever_the_connections_stand(
    tiny: Tiny, instance: dg.DagsterInstance, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = tmp_path_factory.mktemp("outside") / "connections.yml"
    (tiny.folder / ".bruin.yml").rename(config)
    (tiny.folder / ".git").mkdir()
    tiny.write("lib/rates.py", "RATE = 7")
    tiny.write("rows/rates.csv", "rate\n7\n")
    tiny.write(
        "pipeline/assets/made.py",
        '"""@bruin\nname: main.made\nmaterialization: {type: table}\nconnection: duckdb-default\n'
        '@bruin"""\nimport os\nfrom lib.rates import RATE\n\n'
        'def materialize():\n    return [{"folder": os.getcwd(), "rate": RATE}]\n',
    )
    tiny.write(
        "pipeline/assets/rates.asset.yml",
        "name: main.rates\ntype: duckdb.seed\nparameters: {path: ../../rows/rates.csv}\n",
    )
    result = run_all(tiny.definitions(config_file=config), instance)
    assert result.success, failures(result)
    assert query(config.parent / "warehouse.duckdb", "FROM main.made") == [(str(tiny.folder), 7)]


def test_it_finds_connections_by_their_names_and_as_it_wants_to_call_them(
    tiny: Tiny, instance: dg.DagsterInstance
) -> None:
    header = (
        "name: main.made\nconnection: duckdb-default\nmaterialization: {type: table}\n"
        "secrets: [{key: duckdb-default, inject_as: WAREHOUSE}]\n"
    )
    code = (
        "import json, os\n\ndef materialize():\n"
        '    for name, kind in json.loads(os.environ["BRUIN_CONNECTION_TYPES"]).items():\n'
        '        path = json.loads(os.environ[name])["path"]\n'
        '        yield {"name": name, "kind": kind, "path": path}\n'
    )
    tiny.write("pipeline/assets/made.py", f'"""@bruin\n{header}@bruin"""\n{code}')
    result = run_all(tiny.definitions(), instance)
    assert result.success, failures(result)
    assert tiny.query("FROM main.made ORDER BY name") == [
        ("WAREHOUSE", "duckdb", str(tiny.warehouse)),
        ("duckdb-default", "duckdb", str(tiny.warehouse)),
    ]
