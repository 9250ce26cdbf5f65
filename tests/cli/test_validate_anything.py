"""Whatever stands in the files, `ecommerce validate` ends with a list of problems, and soon.

FUZZ=100 tries a hundred times as many files; the numbers of pytest's ids are the seeds.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bruin.helpers import text_of
from bruin.test_whole_pipelines import STRANGER
from warehouse.test_binding_valid import QUERIES, VALID, written
from warehouse.trials import Files

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.runtime.validate import validated

FACTOR = int(os.environ.get("FUZZ", "1"))
PER_TEST = 25
# Longer than anything takes, and shorter than for ever.
SECONDS = 30
PIECES = [
    "\n", "\t", "  ", ": ", "- ", "*a", "&a ", "!x ", "[", "]", "{", "}", "{{", "}}", "{% ", "%}",
    "{#", "'", "\"", "`", "#", "---\n", "\x00", "null", "true", "0", "-1", "1e999", ".nan",
    "99999999999999999999", "@bruin */", "/* @bruin\n", "-- @bruin.name: x\n", "--", "*/", "/*",
    ";", ",", "(", ")", ".", "*", "::", "$$", "SELECT ", "FROM ", "WHERE ", "raw.orders ",
    "WITH x AS (", "PIVOT ", "UNION ", "DROP TABLE ", "CREATE TABLE a AS ",
    "ATTACH ':memory:' AS x;", "LOAD json;", "range(1000000000) ", "generate_series(1, 1e12) ",
    "{{ this }}", "{{ var.x }}", "{% for a in range(9999) %}", "{% endfor %}", "duckdb.sql",
    "pg.sql", "ingestr", "name: ", "type: ", "depends: ", "columns: ", "checks: ", "hooks: ",
    "materialization: ", "parameters: ", "rules: ", "criteria: ", "all(asset.Columns, ",
    "query: ", "merge", "scd2_by_column", "time_interval", "ddl", "view", "table",
]  # fmt: skip
POLICY = """
custom_rules:
  - name: named
    description: assets have names
    criteria: 'len(asset.Name) > 2 and all(asset.Columns, {.Name != "" or .Type matches "^a"})'
  - {name: own, criteria: "pipeline.Name startsWith 's' ? true : var.x == nil", target: pipeline}
rulesets:
  - name: all
    selector: [{path: .*}, {tag: .*}]
    rules: [named, own, asset-has-owner, query-matches-columns, pipeline-has-retries]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's pipeline with every key, and one with much SQL."""
    folder = tmp_path_factory.mktemp("anything")
    for path, text in STRANGER.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        # Nobody listens there, and no name has to be looked up.
        file.write_text(text_of(text).replace("host: h, port: 5432", "host: 127.0.0.1, port: 1"))
    (folder / "policy.yml").write_text(POLICY)
    files = Files(folder / "sql")
    for number, (query, header) in enumerate(VALID.values()):
        files.sql(query, header, name=f"mart.a{number}")
    for number, query in enumerate(written(QUERIES)[::12]):
        files.sql(query, name=f"mart.q{number}")
    return folder


def changed(text: str, chance: random.Random) -> str:
    """A text cut off, or with pieces put in, taken out or doubled."""
    if chance.random() < 0.2:
        return text[: chance.randrange(len(text) + 1)]
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(text) + 1)
        end = start + chance.choice([0, 0, 1, 2, 8, 40])
        piece = chance.choice([chance.choice(PIECES), "", text[start:end] * 2])
        text = text[:start] + piece + text[end:]
    return text


def files_of(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*.*")) if file.suffix in {".sql", ".yml", ".py"})


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(FACTOR))
def test_broken_files_are_validated_too(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    files = list(files_of(folder))
    for number in range(PER_TEST):
        file = chance.choice(files)
        before = file.read_text()
        file.write_bytes(changed(before, chance).encode())
        begin = time.monotonic()
        log = ProblemLog()
        try:
            pipeline = "sql" if file.is_relative_to(folder / "sql") else "shop"
            validated(folder / pipeline, log, note=str)
        except BaseException:
            print(f"seed {seed}, file {number}: {file}\n{file.read_text()}")
            raise
        finally:
            file.write_text(before)
        assert time.monotonic() - begin < SECONDS
        for problem in log.problems:
            assert problem.line >= 1
            assert "Traceback" not in str(problem)
            assert "\n" not in str(problem)
