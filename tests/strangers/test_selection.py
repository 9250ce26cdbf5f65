"""What each way of choosing assets stands for, of the pipeline of `cases/selection.yaml`.

That case shows with runs that each option of the command comes to a selection.
"""

from __future__ import annotations

import pytest

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project, read_project
from ecommerce_dagster.cli.selection import Selection, select

from .case import CASES, load


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("chosen")
    [case] = [path for path in CASES if path.stem == "selection"]
    for name, text in load(case)["files"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    found = read_project(folder, ProblemLog())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(), "r.a r.b m.c m.d"),
        (Selection(["r.a", "r.b"]), "r.a r.b"),
        (Selection(["m.c"], downstream=True), "m.c m.d"),
        (Selection(excluded_tags=["raw", "daily"]), "m.d"),
        (Selection(tag="mart", excluded_tags=["daily"]), "m.d"),
        (Selection(selector="tag:raw"), "r.a r.b"),
        (Selection(selector="tag:raw,tag:daily"), "r.a"),
        (Selection(selector="r.b m.c"), "r.b m.c"),
        (Selection(selector="+m.c"), "r.a m.c"),
        (Selection(selector="1+m.d"), "r.b m.c m.d"),
        (Selection(selector="r.a+1"), "r.a m.c"),
        (Selection(selector="r.b+"), "r.b m.d"),
        (Selection(selector="+m.c+"), "r.a m.c m.d"),
        (Selection(selector="@r.a"), "r.a r.b m.c m.d"),
        (Selection(selector="path:assets/mart"), "m.c m.d"),
        (Selection(selector="file:b.sql"), "r.b"),
        (Selection(selector="fqn:m.*"), "m.c m.d"),
    ],
    ids=lambda part: part.replace(" ", "_") if isinstance(part, str) else "",
)
def test_it_names_these_assets(project: Project, selection: Selection, names: str) -> None:
    assert sorted(select(project, selection)) == sorted(names.split())
