"""What one asset says about another: forms, circles, and names that do not exist."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bruin.helpers import Files
from ecommerce_dagster import BruinTranslator
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import read_project

EMPTY = "type: empty\n"


def chain(files: Files, **depends: str) -> Files:
    """An asset for each name, with what it depends on as YAML."""
    for name, text in depends.items():
        files.write(f"assets/{name}.asset.yml", f"{EMPTY}depends: {text}\n")
    return files


@pytest.mark.parametrize(
    "text",
    [
        "b",
        "[b]",
        "{asset: b}",
        "[{asset: b}]",
        "\n  - b",
        "\n  - asset: b\n    mode: full\n    columns: [{name: id, usage: join}]",
    ],
)
def test_a_dependency_is_a_name_a_list_or_a_mapping(files: Files, text: str) -> None:
    chain(files, a=text, b="[]")
    assert [(d.asset, d.mode) for d in files.asset().depends] == [("b", "full")]


def test_each_dependency_remembers_its_line(files: Files) -> None:
    files.write(
        "assets/a.asset.yml",
        """
        type: empty
        depends:
          - one

          - asset: two
          - mode: symbolic
            asset: three
          - uri: s3://bucket/four
        """,
    )
    assert files.errors() == [
        "assets/a.asset.yml:3: the dependency 'one' does not exist; known: a",
        "assets/a.asset.yml:5: the dependency 'two' does not exist; known: a",
        "assets/a.asset.yml:7: the dependency 'three' does not exist; known: a",
    ]


def test_a_missing_dependency_is_an_error_with_the_nearest_name(files: Files) -> None:
    chain(files, raw_orders="[]", stg_orders="[raw_order]", mart="Raw_Orders")
    assert files.errors() == [
        "assets/mart.asset.yml:2: the dependency 'Raw_Orders' does not exist; "
        "did you mean 'raw_orders'?",
        "assets/stg_orders.asset.yml:2: the dependency 'raw_order' does not exist; "
        "did you mean 'raw_orders'?",
    ]


def test_a_dependency_without_a_name_is_an_error(files: Files) -> None:
    chain(files, a="[{mode: full}]", b="[5]")
    assert files.errors() == [
        "assets/a.asset.yml:2: a dependency needs an 'asset', or the 'uri' of one in another "
        "pipeline",
        "assets/b.asset.yml:2: 'depends[0]' of an asset is 5; "
        "expected a mapping (`key: value` lines)",
    ]


def test_a_uri_belongs_to_another_pipeline_and_is_not_waited_for(files: Files) -> None:
    chain(files, a="[{uri: s3://x}]")
    assert files.warnings() == [
        "assets/a.asset.yml:2: 's3://x' belongs to another pipeline: nothing here waits for it; name an 'asset' of this one to wait"
    ]


def test_a_uri_of_this_pipeline_is_a_dependency_like_any_other(files: Files) -> None:
    files.write("assets/b.asset.yml", f"{EMPTY}uri: s3://b\n")
    chain(files, a="[{uri: s3://b}]")
    assert files.warnings() == []
    assert [d.asset for d in files.project().by_name["a"].depends] == ["b"]


@pytest.mark.parametrize("git", [True, False])
def test_a_uri_of_another_pipeline_of_the_checkout_names_its_asset(
    tmp_path: Path, git: bool
) -> None:
    asset = tmp_path / "far/deep/assets/x.asset.yml" if git else tmp_path / "far/assets/x.asset.yml"
    asset.parent.mkdir(parents=True)
    asset.write_text("name: far.x\ntype: empty\nuri: s3://x\ndescription: not s3://y\n")
    (asset.parents[1] / "pipeline.yml").write_text("name: far\n")
    if git:
        (tmp_path / ".git").mkdir()
    near = Files(tmp_path / "near")
    chain(near, a="[{uri: s3://x}]", b="[{uri: s3://y}]")
    log = ProblemLog()
    project = read_project(tmp_path / "near", log)
    assert project is not None
    assert project.by_name["a"].depends[0].owner == "far.x"
    assert [problem.message.split(":")[0] for problem in log.problems] == ["'s3"]
    spec = BruinTranslator().get_asset_spec(project.by_name["a"], project)
    assert [dep.asset_key.path for dep in spec.deps] == [["far", "x"]]


def test_files_of_another_pipeline_that_cannot_be_read_do_no_harm(tmp_path: Path) -> None:
    assets = tmp_path / "far" / "assets"
    assets.mkdir(parents=True)
    (assets.parent / "pipeline.yml").write_text("name: far\n")
    (assets / "gone.sql").symlink_to(tmp_path / "nowhere.sql")
    os.mkfifo(assets / "pipe.sql")
    (assets / "x.asset.yml").write_text("name: far.x\ntype: empty\nuri: s3://x\n")
    near = Files(tmp_path / "near")
    chain(near, a="[{uri: s3://x}]")
    log = ProblemLog()
    project = read_project(tmp_path / "near", log)
    assert project is not None
    assert project.by_name["a"].depends[0].owner == "far.x"
    assert [problem for problem in log.problems if "far" in str(problem.path)] == []


def test_a_repeated_dependency_counts_once_and_the_stronger_mode_wins(files: Files) -> None:
    chain(files, a="[{asset: b, mode: symbolic}, b, b]", b="[]")
    assert [(d.asset, d.mode) for d in files.asset().depends] == [("b", "full")]
    assert files.warnings() == [
        "assets/a.asset.yml:2: the dependency 'b' stands here and in line 2; remove one"
    ]


def test_assets_come_after_what_they_depend_on(files: Files) -> None:
    chain(files, a="[b, c]", b="[c]", c="[d]", d="[]")
    assert [asset.name for asset in files.project().assets] == ["d", "c", "b", "a"]


def test_a_symbolic_dependency_orders_nothing(files: Files) -> None:
    chain(files, a="[{asset: b, mode: symbolic}]", b="[a]")
    assert [asset.name for asset in files.project().assets] == ["a", "b"]


def test_every_circle_is_reported(files: Files) -> None:
    chain(files, a="[b]", b="[c]", c="[a, d]", d="[]", x="[y]", y="[x, a]", self="[self]")
    assert files.errors() == [
        "assets/a.asset.yml:2: the assets depend on each other in a circle: a -> b -> c -> a; remove one of these dependencies",
        "assets/self.asset.yml:2: the assets depend on each other in a circle: self -> self; remove one of these dependencies",
        "assets/x.asset.yml:2: the assets depend on each other in a circle: x -> y -> x; remove one of these dependencies",
    ]


def test_what_depends_on_a_file_that_cannot_be_read_is_not_blamed(files: Files) -> None:
    files.write("assets/raw/orders.asset.yml", "type: [")
    files.write("assets/raw/raw.items.asset.yml", "name: raw.items\ntype: [")
    files.write("assets/stg.asset.yml", f"{EMPTY}depends: [raw.orders, raw.items]\n")
    assert len(files.errors()) == 2
    assert not any("does not exist" in error for error in files.errors())


class TestDisabledAssets:
    """`enabled: false`"""

    def test_they_are_dropped_and_remembered_and_their_downstream_runs(self, files: Files) -> None:
        chain(files, a="[b]").write("assets/b.asset.yml", EMPTY + "enabled: false\n")
        project = files.project()
        assert [asset.name for asset in project.assets] == ["a"]
        assert project.disabled == {"b"}
        assert [d.asset for d in project.by_name["a"].depends] == ["b"]

    @pytest.mark.parametrize(
        ("text", "runs"),
        [
            ("true", True), ("yes", True), ("1", True), ("'True'", True),
            ("false", False), ("off", False), ("no", False), ("0", False),
            ("'{{ var.on }}'", True), ("'{{ not var.on }}'", False),
            ("'{{ var.name == \"x\" }}'", True), ("'{% if not var.on %}true{% endif %}'", False),
        ],
    )  # fmt: skip
    def test_a_switch_is_a_word_or_a_template(self, files: Files, text: str, runs: bool) -> None:
        files.write(
            "pipeline.yml", "name: shop\nvariables: {on: {default: true}, name: {default: x}}\n"
        )
        files.write("assets/a.asset.yml", f"{EMPTY}enabled: {text}\n")
        assert bool(files.project().assets) is runs

    def test_a_variable_given_to_the_run_decides(self, files: Files) -> None:
        files.write("pipeline.yml", "name: shop\nvariables: {on: {type: boolean, default: true}}\n")
        files.write("assets/a.asset.yml", EMPTY + "enabled: '{{ var.on }}'\n")
        assert files.project(variables={"on": False}).disabled == {"a"}

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("'{{ var.x }}'", "'enabled': missing variable 'x'; none is known"),
            ("'{{ start_date }}-'", "'enabled' is '2024-01-01-'; expected true or false"),
            ("maybe", "'enabled' is 'maybe'; expected true or false"),
            ("[true]", "'enabled' of an asset is a list; expected true or false or text"),
        ],
    )
    def test_anything_else_is_an_error(self, files: Files, text: str, error: str) -> None:
        files.write("assets/a.asset.yml", f"{EMPTY}tier: 1\nenabled: {text}\n")
        (found,) = files.errors()
        assert found.startswith("assets/a.asset.yml:3: 'enabled'")
        if "start_date" not in text:
            assert found == f"assets/a.asset.yml:3: {error}"

    def test_an_enabled_asset_may_have_the_name_of_a_disabled_one(self, files: Files) -> None:
        files.write("assets/one.asset.yml", EMPTY + "name: a\nenabled: false\n")
        files.write("assets/two.asset.yml", EMPTY + "name: a\n")
        project = files.project()
        assert [asset.path.name for asset in project.assets] == ["two.asset.yml"]
        assert project.disabled == frozenset()
