"""`ecommerce format`: which files it rewrites, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from orchestration.helpers import Outcome, Tiny, clean_environment, invoke

from ecommerce_dagster import local
from ecommerce_dagster.bruin.starter import write_pipeline

MESSY = "/* @bruin\ntype: duckdb.sql\nname: a # x\n@bruin */\n\nSELECT  1\n"
TIDY = "/* @bruin\nname: a # x\ntype: duckdb.sql\n@bruin */\n\nSELECT  1\n"
BROKEN = "/* @bruin\nname: [\n@bruin */\nSELECT 1\n"


def run_format(*arguments: object) -> Outcome:
    return invoke(clean_environment(), "format", *map(str, arguments))


def test_the_shops_own_files_and_those_of_a_new_pipeline_are_canonical(tmp_path: Path) -> None:
    write_pipeline(tmp_path / "sales", tmp_path)
    for pipeline in (local.PIPELINE, tmp_path / "sales"):
        outcome = run_format("--check", pipeline)
        assert (outcome.code, outcome.stdout) == (0, "")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (MESSY.encode(), TIDY.encode()),
        (MESSY.replace("\n", "\r\n").encode(), TIDY.replace("\n", "\r\n").encode()),
        (b"\xef\xbb\xbf" + MESSY.encode(), b"\xef\xbb\xbf" + TIDY.encode()),
    ],
)
def test_a_file_is_rewritten_once(tiny: Tiny, written: bytes, read: bytes) -> None:
    file = tiny.directory / "assets" / "a.sql"
    file.write_bytes(written)
    outcome = run_format(tiny.directory)
    assert outcome.succeeded
    assert outcome.stdout == f"formatted {file}\n"
    assert file.read_bytes() == read
    again = run_format(tiny.directory)
    assert (again.code, again.stdout) == (0, "")


def test_check_names_what_would_change_and_changes_nothing(tiny: Tiny) -> None:
    messy = tiny.write("pipeline/assets/x/a.sql", MESSY)
    tiny.write("pipeline/assets/b.sql", TIDY.replace("name: a", "name: b"))
    tiny.write("pipeline/assets/lib.py", "x = 1\n")
    outcome = run_format(tiny.directory, "--check")
    assert (outcome.code, outcome.stdout) == (1, f"would format {messy}\n")
    assert messy.read_text() == MESSY
    run_format(tiny.directory)
    assert run_format(tiny.directory, "--check").code == 0


def test_a_file_that_cannot_be_read_does_not_keep_the_others_from_it(tiny: Tiny) -> None:
    broken = tiny.write("pipeline/assets/b.sql", BROKEN)
    messy = tiny.write("pipeline/assets/c.sql", MESSY)
    outcome = run_format(tiny.directory)
    assert outcome.code == 1
    assert f"error: {broken}:2: this is not valid YAML" in outcome.stderr
    assert (broken.read_text(), messy.read_text()) == (BROKEN, TIDY)


def test_files_and_folders_and_several_pipelines_can_be_named(tiny: Tiny) -> None:
    files = [
        tiny.write(path, MESSY)
        for path in ("pipeline/assets/a.sql", "pipeline/assets/x/a.sql", "other/assets/a.sql")
    ]
    tiny.write("other/pipeline.yml", "name: other\n")
    first, second, third = files

    def named(*arguments: object) -> set[str]:
        return set(run_format("--check", *arguments).stdout.split()) - {"would", "format"}

    assert named(first) == {str(first)}
    assert named(tiny.directory / "assets" / "x") == {str(second)}
    assert named(tiny.directory / "pipeline.yml") == {str(first), str(second)}
    assert named(tiny.folder) == {str(file) for file in files}
    assert named(first, third, third) == {str(first), str(third)}


def test_a_folder_that_belongs_to_no_pipeline_is_an_error(tiny: Tiny) -> None:
    folder = tiny.folder / "nothing"
    folder.mkdir()
    outcome = run_format(folder)
    assert outcome.code == 2
    assert f"there is no pipeline.yml in, below or above {folder}" in outcome.stderr
