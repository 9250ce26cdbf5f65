"""`benchmarks/strangers.py` says of a folder of repositories what of them works here."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from orchestration.helpers import ROOT

SURVEY = ROOT / "benchmarks" / "strangers.py"
TABLE = "materialization: {type: table}\n@bruin */\n"
CONFIG = """
environments:
  default:
    connections:
      duckdb: [{name: duckdb-default, path: w.duckdb}]
      postgres: [{name: pg, host: 127.0.0.1, port: 9, database: d, username: u, password: s3cr3t}]
      stripe: [{name: pay, api_key: s3cr3t}]
"""
FILES = {
    "whole/.bruin.yml": CONFIG,
    "whole/pipeline.yml": "name: whole",
    "whole/assets/a.py": '"""@bruin\nname: raw.a\n@bruin"""\nopen("ran", "w")\n',
    "whole/assets/b.sql": f"/* @bruin\nname: stg.b\ntype: duckdb.sql\n{TABLE}SELECT 1 AS n",
    "in_part/etl/pipeline.yml": "name: in_part",
    "in_part/.bruin.yml": CONFIG,
    "in_part/etl/assets/a.sql": f"/* @bruin\nname: dw.a\ntype: bq.sql\n{TABLE}SELECT 1 AS n",
    "in_part/etl/assets/b.sql": f"/* @bruin\nname: stg.b\ntype: duckdb.sql\n{TABLE}SELECT 1 AS n",
    "in_part/etl/assets/c.asset.yml": (
        "name: raw.c\ntype: ingestr\nparameters:\n"
        "  {source_connection: pg, source_table: c, destination: duckdb}"
    ),
    "in_part/etl/assets/d.sql": f"/* @bruin\nname: stg.d\ntype: duckdb.sql\n{TABLE}SELECT x FROM",
    "refused/pipeline.yml": "name: refused\nvariables: {s3cr3t: 1",
    "without_pipeline/README.md": "",
}


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def survey(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert runpy.run_path(str(SURVEY))["main"](arguments) == 0
    said = capsys.readouterr()
    assert "s3cr3t" not in said.out + said.err
    assert "Traceback" not in said.out + said.err
    return said.out


def test_the_table_has_a_line_for_each_pipeline_and_reason(
    repositories: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = survey(capsys, str(repositories)).splitlines()
    columns = [line.split() for line in lines]
    assert columns[0] == ["pipeline", "loads", "validates", "assets", "run"]
    assert ["in_part/etl", "yes", "no", "4", "2"] in columns
    assert ["refused", "no", "no", "0", "0"] in columns
    assert ["whole", "yes", "yes", "2", "2"] in columns
    assert any("left out: the type bq.sql is for another" in line for line in lines)
    assert any("does not parse" in line and "(assets/d.sql:" in line for line in lines)
    assert "repositories: 4, pipelines: 3, load: 2, validate: 1, assets: 6, running: 4" in lines
    assert not list(repositories.rglob("ran"))


def test_json_has_the_same(repositories: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(survey(capsys, "--json", str(repositories)))
    assert found["totals"] == {
        "repositories": 4, "pipelines": 3, "load": 2, "validate": 1, "assets": 6, "running": 4,
    }  # fmt: skip
    rows = {row["repository"]: row for row in found["pipelines"]}
    assert [r["kind"] for r in rows["in_part"]["reasons"]] == ["invalid", "left out"]
    assert rows["refused"]["reasons"][0]["example"].startswith("pipeline.yml:")
    assert rows["without_pipeline"]["reasons"][0]["text"] == "no pipeline.yml in it"
    assert {r["kind"] for r in found["reasons"]} == {"invalid", "left out", "refused"}


def test_a_folder_may_be_a_repository_itself(
    repositories: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "repositories: 1, pipelines: 1" in survey(capsys, str(repositories / "whole"))


def test_a_bug_of_ours_is_a_row(
    repositories: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **more: object) -> None:
        raise KeyError("s3cr3t")

    monkeypatch.setattr("ecommerce_dagster.runtime.validate.validated", broken)
    assert "crash: KeyError in test_survey.py" in survey(capsys, str(repositories))
