"""Which files are assets, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bruin.helpers import SQL, Files

EMPTY = "type: empty\n"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("assets/orders.asset.yml", "orders"),
        ("assets/orders.asset.yaml", "orders"),
        ("assets/orders.task.yml", "orders"),
        ("assets/orders.task.yaml", "orders"),
        ("assets/raw/orders.asset.yml", "raw.orders"),
        ("assets/raw/eu/orders.asset.yml", "raw.eu.orders"),
        ("assets/raw/asset.yml", "raw"),
        ("assets/myasset.yml", "my"),
        ("assets/raw.orders.asset.yml", "raw.orders"),
        ("tasks/raw/orders.task.yml", "raw.orders"),
    ],
)
def test_an_asset_without_a_name_is_called_like_its_file(
    files: Files, path: str, name: str
) -> None:
    assert [a.name for a in files.write(path, EMPTY).project().assets] == [name]


@pytest.mark.parametrize(
    ("path", "name"),
    [("assets/stg/orders.sql", "stg.orders"), ("assets/stg/orders.asset.sql", "stg.orders.asset")],
)
def test_a_sql_file_is_called_like_its_file(files: Files, path: str, name: str) -> None:
    assert [a.name for a in files.write(path, SQL).project().assets] == [name]


def test_a_written_name_wins(files: Files) -> None:
    assert files.write("assets/raw/x.asset.yml", EMPTY + "name: stg.y\n").asset("stg.y")


def test_folders_of_tools_are_skipped(files: Files) -> None:
    for folder in (".git", "node_modules", "venv", "__pycache__", "target"):
        files.write(f"assets/{folder}/x.asset.yml", "type: [")
    assert files.project().assets == ()


def test_a_plain_yaml_file_is_no_asset_and_the_reason_is_told(files: Files) -> None:
    files.write("assets/a.asset.yml", EMPTY)
    files.write("assets/orders.yml", EMPTY).write("assets/notes.md", "x").write("assets/d.csv", "x")
    assert files.warnings() == [
        "assets/orders.yml:1: this is not an asset; a YAML asset is called NAME.asset.yml"
    ]


@pytest.mark.parametrize("name", ["a b", "a..b", ".a", "a.", "a/b", "größe", "a;drop", "a.b\n"])
def test_a_name_that_cannot_be_is_an_error(files: Files, name: str) -> None:
    files.write("assets/x.asset.yml", EMPTY + f"name: {name!r}".replace("\\n", "\\n") + "\n")
    if name.endswith("\n"):
        files.write("assets/x.asset.yml", EMPTY + 'name: "a.b\\n"\n')
    assert files.errors() == [
        f"assets/x.asset.yml:2: '{name}' is not an asset name; expected letters, digits, _ and -, "
        "in parts with a . between".replace("\n", " ")
    ]


@pytest.mark.parametrize("name", ["a", "a.b", "a.b.c", "my-other_asset", "1.2", "A.B"])
def test_a_name_that_can_be_is_taken(files: Files, name: str) -> None:
    assert files.write("assets/x.asset.yml", EMPTY + f"name: '{name}'\n").asset(name)


def test_two_assets_of_one_name_are_an_error(files: Files) -> None:
    files.write("assets/eu/x.asset.yml", "name: raw.x\n" + EMPTY)
    files.write("assets/us/x.asset.yml", EMPTY + "name: raw.x\n")
    assert files.errors() == [
        "assets/us/x.asset.yml:2: the asset 'raw.x' is defined twice, "
        "first in assets/eu/x.asset.yml:1; rename one"
    ]


def test_names_that_differ_in_case_are_one_table(files: Files) -> None:
    files.write("assets/1.asset.yml", EMPTY + "name: raw.orders\n")
    files.write("assets/2.asset.yml", EMPTY + "name: raw.Orders\n")
    assert files.errors() == [
        "assets/2.asset.yml:2: 'raw.Orders' is the same table as 'raw.orders' "
        "in assets/1.asset.yml:2; rename one"
    ]


def test_an_asset_without_a_type_is_an_error(files: Files) -> None:
    files.write("assets/a.asset.yml", "owner: me\n").write("assets/b.asset.yml", "")
    files.write("assets/c.sql", "/* @bruin\n@bruin */\nSELECT 1")
    hint = "'type' is missing; for example `type: duckdb.sql` or `type: ingestr`"
    assert files.errors() == [
        f"assets/a.asset.yml:1: {hint}",
        f"assets/b.asset.yml:1: {hint}",
        f"assets/c.sql:2: {hint}",
    ]


def test_a_python_file_needs_no_type(files: Files) -> None:
    files.write("pipeline.yml", "name: shop\ndefault: {type: duckdb.sql}\n")
    files.write("assets/a.py", '""" @bruin\ntype:\n@bruin """\n')
    assert files.asset().type == "python"


class TestRun:
    """`run: the file with the code`"""

    def test_the_code_comes_from_that_file(self, files: Files) -> None:
        files.write("assets/a.asset.yml", "type: duckdb.sql\nrun: ../sql/a.sql\n")
        files.write("sql/a.sql", "\n\nSELECT 1\n")
        asset = files.asset()
        assert (asset.body, asset.body_line, asset.body_path.name) == ("SELECT 1", 3, "a.sql")

    def test_the_file_of_an_asset_needs_no_header(self, files: Files) -> None:
        files.write("assets/a.asset.yml", "type: duckdb.sql\nrun: ./sql/a.sql\n")
        files.write("assets/sql/a.sql", "SELECT 1").write("assets/sql/b.sql", "SELECT 2")
        assert files.warnings() == [
            "assets/sql/b.sql:1: no `/* @bruin` header, so this is not an asset; "
            "add one, or move the file elsewhere"
        ]

    def test_an_error_in_the_code_names_that_file(self, files: Files) -> None:
        files.write("assets/a.asset.yml", "type: duckdb.sql\nrun: a.txt\n")
        files.write("assets/a.txt", "\nSELECT\n{{ }}\n")
        assert files.errors() == [
            "assets/a.txt:3: the template does not parse: Expected an expression, "
            "got 'end of print statement'"
        ]

    @pytest.mark.parametrize(
        ("run", "error"),
        [
            (
                "gone.sql",
                "the file 'gone.sql' does not exist; write its path from the folder of this file",
            ),
            (".", "the file '.' does not exist; write its path from the folder of this file"),
            ("../../x.sql", "'../../x.sql' is outside of the pipeline's folder; move it in"),
            ("/etc/hostname", "'/etc/hostname' is outside of the pipeline's folder; move it in"),
            (
                '"a\\0b"',
                "'a b' is not the path of a file; write its path from the folder of this file",
            ),
            (
                "loop",
                "'loop' is not the path of a file; write its path from the folder of this file",
            ),
        ],
    )
    def test_a_file_that_cannot_be_is_an_error(self, files: Files, run: str, error: str) -> None:
        files.write("assets/a.asset.yml", f"type: duckdb.sql\nrun: {run}\n")
        (files.root / "assets/loop").symlink_to("loop")
        (found,) = files.errors()
        assert found in {
            f"assets/a.asset.yml:2: {error}",
            "assets/a.asset.yml:2: the file 'loop' does not exist; write its path from the folder of this file",
        }


def test_a_pipe_among_the_assets_is_not_waited_for(files: Files) -> None:
    files.write("assets/a.asset.yml", EMPTY)
    os.mkfifo(files.root / "assets/pipe.sql")
    (files.root / "assets/zero.sql").symlink_to("/dev/zero")
    (files.root / "assets/gone.sql").symlink_to("nowhere")
    assert files.errors() == [
        "assets/gone.sql:1: this file cannot be read: No such file or directory",
        "assets/pipe.sql:1: this is not a plain file; remove it or rename it",
        "assets/zero.sql:1: this is not a plain file; remove it or rename it",
    ]


def test_a_folder_without_pipeline_yml_is_an_error(files: Files) -> None:
    (files.root / "pipeline.yml").unlink()
    assert files.errors() == [
        "pipeline.yml:1: this file does not exist; a pipeline is a folder with a pipeline.yml and assets/"
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("owner: me", "1: a pipeline needs a 'name'"),
        ("", "1: a pipeline needs a 'name'"),
        ("owner: me\nname: my shop", "2: the pipeline's name is 'my shop'; expected letters, "
                                     "digits, _ and -, in parts with a . between"),
        ("name: a\nshcedule: daily", "2: unknown key 'shcedule' in a pipeline; "
                                     "did you mean 'schedule'?"),
    ],
)  # fmt: skip
def test_a_pipeline_needs_a_usable_name(files: Files, text: str, error: str) -> None:
    files.write("assets/a.asset.yml", EMPTY)
    assert files.write("pipeline.yml", text).errors() == [f"pipeline.yml:{error}"]


def test_pipeline_yaml_is_as_good_as_pipeline_yml(files: Files) -> None:
    (files.root / "pipeline.yml").rename(files.root / "pipeline.yaml")
    assert files.project().pipeline.name == "shop"


VARIANTS = """
name: "shop-{{ var.country }}"
variables: {country: {type: string, default: at}}
variants: {eu: {country: de}}
"""


def test_a_variant_sets_variables_and_names_may_use_them(files: Files) -> None:
    files.write("assets/a.asset.yml", "name: 'raw.{{ var.country }}'\ntype: empty\n")
    files.write("assets/b.asset.yml", "type: empty\ndepends: ['raw.{{ var.country }}']\n")
    files.write("pipeline.yml", VARIANTS)

    default, variant = files.project(), files.project(variant="eu")

    assert (default.pipeline.name, set(default.by_name)) == ("shop-at", {"raw.at", "b"})
    assert (variant.pipeline.name, set(variant.by_name)) == ("shop-de", {"raw.de", "b"})


def test_an_unknown_variant_is_an_error_that_names_the_nearest(files: Files) -> None:
    files.write("assets/a.asset.yml", EMPTY)
    files.write("pipeline.yml", VARIANTS)

    assert files.errors(variant="eux") == [
        "pipeline.yml:4: no such variant \"eux\"; did you mean 'eu'?"
    ]


def test_a_problem_shows_its_whole_path_when_it_is_elsewhere(
    files: Files, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    (files.root / "pipeline.yml").write_text("")
    assert files.errors() == [f"{files.root / 'pipeline.yml'}:1: a pipeline needs a 'name'"]


def test_a_current_folder_that_is_gone_does_no_harm(files: Files, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    (files.root / "pipeline.yml").write_text("")
    assert files.errors() == [f"{files.root / 'pipeline.yml'}:1: a pipeline needs a 'name'"]
