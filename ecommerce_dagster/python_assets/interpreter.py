"""The interpreter for a Python asset: this one, or one with the asset's own requirements."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.errors import installing
from ecommerce_dagster.python_assets.environments import (
    PythonVersionError,
    Wanted,
    find_uv,
    interpreter_of,
    is_known,
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
    asked = _Asked.of(asset, requirements)
    if asked.is_here:
        return Interpreter(Path(sys.executable), folder, paths)
    uv = find_uv()
    if uv is None:
        raise RequirementsError(asked.without_uv)
    with_rows = asset.materialization.type == "table"
    python_wanted = sys.executable if asked.fits else asked.version
    wanted = Wanted(python_wanted, requirements, with_rows)
    try:
        python = interpreter_of(wanted, uv, on_output=on_output, timeout=timeout)
    except PythonVersionError as error:
        raise PythonVersionError(f"{error}\nIt is asked for by {asked.by}.") from None
    return Interpreter(python, folder, paths)


def unavailable(asset: Asset, file: Path, root: Path) -> str | None:
    """Why there will be no interpreter for the `file` of an asset of the checkout `root`, as far as
    that is known before a run: uv, which would build its environment, is not here, or there is
    no such version. None when there will be one. Raises RequirementsError."""
    asked = _Asked.of(asset, requirements_of(file, root))
    if asked.is_here:
        return None
    uv = find_uv()
    if uv is None:
        return asked.without_uv
    if asked.fits or is_known(asked.version, uv):
        return None
    return (
        f"Python {asked.version} is not installed here, and uv cannot bring it; change {asked.by}"
    )


@dataclass(frozen=True)
class _Asked:
    """What an asset asks of its Python: `version` of it, packages; `missing` is one that this
    Python does not have, and it `fits` when this Python is of that version, which `by` says."""

    requirements: Requirements | None
    version: str
    by: str
    fits: bool
    missing: str | None

    @classmethod
    def of(cls, asset: Asset, requirements: Requirements | None) -> _Asked:
        requires = requirements.requires_python if requirements is not None else ""
        is_image = version_of_image(asset.image)
        return cls(
            requirements,
            version_of_image(asset.image) or requires,
            f"image: {asset.image}" if is_image else f"requires-python of {_name(requirements)}",
            is_for_this_python(asset.image, requirements),
            requirements.first_missing if requirements is not None else None,
        )

    @property
    def is_here(self) -> bool:
        return self.fits and self.missing is None

    @property
    def without_uv(self) -> str:
        if self.missing is None:
            return (
                f"Python {self.version} is asked for, and this one is {sys.version.split()[0]}; "
                f"uv would bring it for this asset alone: {installing('python')}"
            )
        return (
            f"{_name(self.requirements)} asks for '{self.missing}', which is not installed here; "
            f"install it, or uv, which brings it for this asset alone: {installing('python')}"
        )


def _name(requirements: Requirements | None) -> str:
    return str(requirements.file) if requirements is not None else ""
