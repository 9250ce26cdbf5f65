"""Where the pipelines of a checkout are."""

from __future__ import annotations

from pathlib import Path

from ecommerce_dagster.bruin.discovery import pipeline_folders


def checkout(root: Path, *folders: str) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "pipeline.yml").touch()
    return root


def found(root: Path) -> list[str]:
    return [str(folder.relative_to(root)) for folder in pipeline_folders(root)]


def test_a_folder_with_a_pipeline_is_that_pipeline(tmp_path: Path) -> None:
    assert found(checkout(tmp_path, ".", "inner")) == ["."]


def test_else_the_pipelines_below_it_count_in_the_order_of_their_names(tmp_path: Path) -> None:
    assert found(checkout(tmp_path, "b/two", "a", "b/one")) == ["a", "b/one", "b/two"]


def test_a_pipeline_holds_no_other_pipeline(tmp_path: Path) -> None:
    assert found(checkout(tmp_path, "a", "a/assets/x")) == ["a"]


def test_hidden_folders_and_those_of_tools_are_skipped(tmp_path: Path) -> None:
    assert found(checkout(tmp_path, ".git/a", "node_modules/a", "venv/a", ".hidden/a", "a")) == [
        "a"
    ]


def test_a_folder_without_any_has_none(tmp_path: Path) -> None:
    assert found(tmp_path) == []
