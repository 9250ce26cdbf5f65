"""What a Python asset is told of the assets above it, and what it tells Dagster of itself."""

from __future__ import annotations

import json

import dagster as dg

from orchestration.helpers import Tiny, run_all

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
