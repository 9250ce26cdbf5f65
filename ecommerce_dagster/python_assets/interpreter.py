"""The interpreter for a Python asset: this one, or one with the asset's own requirements."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from ecommerce_dagster.errors import UnlocatedError

_FILE = "requirements.txt"


class MissingRequirement(UnlocatedError):
    """A requirement that is not installed, and no way to bring it."""


def interpreter_for(file: Path, root: Path, *, with_rows: bool) -> list[str]:
    """The command that runs Python for `file`. Raises MissingRequirement.

    What the nearest requirements.txt asks for counts, up to the folder `root`. Where it is not all
    installed, uv adds it for this one process.
    """
    folders = [folder for folder in file.parents if folder.is_relative_to(root)]
    required = next((f / _FILE for f in folders if (f / _FILE).is_file()), None)
    missing = _first_missing(required) if required is not None else None
    if missing is None:
        return [sys.executable]
    uv = shutil.which("uv")
    if uv is None:
        raise MissingRequirement(
            f"{required} asks for '{missing}', which is not installed here; "
            "install it, or install uv, which then brings it for this asset alone"
        )
    rows = ["--with", "pyarrow"] if with_rows else []
    added = ["--with-requirements", str(required), *rows]
    return [uv, "run", "--quiet", "--no-project", "--python", sys.executable, *added, "python"]


def _first_missing(required: Path) -> str | None:
    """The first line that is not known to be satisfied by what is installed."""
    for written in required.read_text(encoding="utf-8").splitlines():
        line = written.split(" #")[0].strip()
        if line and not line.startswith("#") and not _is_satisfied(line):
            return line
    return None


def _is_satisfied(line: str) -> bool:
    try:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            return True
        version = importlib.metadata.version(requirement.name)
    except (InvalidRequirement, importlib.metadata.PackageNotFoundError):
        return False
    return not requirement.url and requirement.specifier.contains(version, prereleases=True)
