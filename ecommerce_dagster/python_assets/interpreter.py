"""The interpreter for a Python asset: this one, or one with the asset's own requirements."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.python_assets.environments import (
    PythonVersionError,
    Wanted,
    find_uv,
    interpreter_of,
)
from ecommerce_dagster.python_assets.requirements import (
    Requirements,
    RequirementsError,
    is_for_this_python,
    requirements_of,
    version_of_image,
)


@dataclass(frozen=True)
class Interpreter:
    """A Python, the folder to run it in, and where it looks for modules."""

    python: Path
    folder: Path
    paths: tuple[Path, ...]

    def variables(self, known: dict[str, str]) -> dict[str, str]:
        """The environment of its process: programs of a virtual environment go first."""
        if self.python == Path(sys.executable):
            return known
        programs = self.python.parent
        path = os.pathsep.join([str(programs), known.get("PATH", os.defpath)])
        return {**known, "PATH": path, "VIRTUAL_ENV": str(programs.parent)}


def interpreter_for(
    asset: Asset,
    file: Path,
    root: Path,
    *,
    on_output: Callable[[str], None],
    timeout: float | None,
) -> Interpreter:
    """The interpreter for the `file` of an asset of the checkout `root`. Raises RequirementsError.

    It is this one where that has everything and is of the version that is asked for: by `image`,
    else by the project's `requires-python`. The working directory is the checkout; of a project,
    as in Bruin, its own folder.
    """
    requirements = requirements_of(file, root)
    folder = root
    if requirements is not None and requirements.project is not None:
        folder = requirements.file.parent
    paths = (folder,) if folder == root else (folder, root)
    version = version_of_image(asset.image)
    requires = requirements.requires_python if requirements is not None else ""
    fits = is_for_this_python(asset.image, requirements)
    missing = requirements.first_missing if requirements is not None else None
    if fits and missing is None:
        return Interpreter(Path(sys.executable), folder, paths)
    uv = find_uv()
    if uv is None:
        raise RequirementsError(_without_uv(requirements, version or requires, missing))
    with_rows = asset.materialization.type == "table"
    wanted = Wanted(sys.executable if fits else version or requires, requirements, with_rows)
    try:
        python = interpreter_of(wanted, uv, on_output=on_output, timeout=timeout)
    except PythonVersionError as error:
        by = f"image: {asset.image}" if version else f"requires-python of {_name(requirements)}"
        raise PythonVersionError(f"{error}\nIt is asked for by {by}.") from None
    return Interpreter(python, folder, paths)


def _without_uv(requirements: Requirements | None, version: str, missing: str | None) -> str:
    if missing is None:
        return (
            f"Python {version} is asked for, and this one is {sys.version.split()[0]}; "
            "install uv, which then brings it for this asset alone"
        )
    return (
        f"{_name(requirements)} asks for '{missing}', which is not installed here; "
        "install it, or install uv, which then brings it for this asset alone"
    )


def _name(requirements: Requirements | None) -> str:
    return str(requirements.file) if requirements is not None else ""
