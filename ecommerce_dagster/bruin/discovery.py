"""Where the pipelines of a checkout are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ecommerce_dagster.bruin.asset_files import SKIPPED_FOLDERS

PIPELINE_FILES = ("pipeline.yml", "pipeline.yaml")


def is_pipeline(folder: Path) -> bool:
    """Whether a pipeline.yml lies in the folder."""
    return any((folder / name).is_file() for name in PIPELINE_FILES)


def pipeline_folders(root: Path) -> list[Path]:
    """The folder itself when it is a pipeline, else all pipelines below it, in a stable order."""
    if is_pipeline(root):
        return [root]
    found: list[Path] = []
    for parent, folders, _ in os.walk(root):
        if is_pipeline(Path(parent)):
            found.append(Path(parent))
            folders.clear()
        folders[:] = sorted(
            name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith(".")
        )
    return found


def other_pipelines(directory: Path, checkout: Path) -> Callable[[], list[Path]]:
    """What finds the other pipelines of a checkout; without one (it is the pipeline itself) those
    beside it."""

    def found() -> list[Path]:
        if checkout == directory:
            folders = [file.parent for file in directory.parent.glob("*/pipeline.y*ml")]
        else:
            folders = pipeline_folders(checkout)
        return sorted(each for each in folders if each.resolve() != directory)

    return found
