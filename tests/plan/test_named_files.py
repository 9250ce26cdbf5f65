"""The other files that a Python asset consists of: those that its code names, and theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecommerce_dagster.orchestration.build import load_project
from ecommerce_dagster.runtime.plan import definitions

CONFIG = "environments: {default: {connections: {duckdb: [{name: duckdb-default, path: w.db}]}}}"
HEADER = '"""@bruin\nname: py.a\n@bruin"""\n'


def files_of(folder: Path, code: str, others: dict[str, str]) -> set[str]:
    texts = {
        "pipeline.yml": "name: p\n",
        ".bruin.yml": CONFIG,
        "assets/a.py": HEADER + code,
        **others,
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    project = load_project(folder)
    return set(definitions.files_of(project.by_name["py.a"], project))


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import helper", "helper.py"),
        ("from shared.Tables import x", "shared/tables.py"),
        ("import shared", "shared/__init__.py"),
        ("open('the data of 2025.csv')", "the data of 2025.csv"),
        ("open('größen.csv')", "größen.csv"),
        ("run(['sh', 'load-all.py'])", "load-all.py"),
        ("open('Makefile')", "Makefile"),
    ],
)
def test_what_code_names_belongs_to_it(tmp_path: Path, code: str, name: str) -> None:
    assert files_of(tmp_path, code, {name: "", "other.py": "", "other.csv": ""}) == {name}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("helpers = 1", "helper.py"),
        ("open('2025.csv')", "the data of 2025.csv"),
        ("makefile = 1", "Makefile"),
        ("load(all)", "load-all.py"),
    ],
)
def test_a_part_of_a_name_is_not_the_name(tmp_path: Path, code: str, name: str) -> None:
    assert files_of(tmp_path, code, {name: ""}) == set()


def test_code_of_many_files_is_not_compared_with_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, asked = 100, []
    is_named = definitions._is_named

    def counting(path: Path, text: str) -> bool:
        asked.append(path)
        return is_named(path, text)

    monkeypatch.setattr(definitions, "_is_named", counting)
    chain = {f"m{n}.py": f"import m{n + 1}" for n in range(count)}

    assert files_of(tmp_path, "import m0", chain) == chain.keys()
    assert len(asked) == count
