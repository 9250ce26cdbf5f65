"""What a Python asset asks for: a version of Python, and packages."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecommerce_dagster.errors import UnlocatedError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_IMAGE = re.compile(r"(?:docker\.io/)?(?:library/)?python:(\d+(?:\.\d+){0,2})(?:-[\w.-]+)?")
_VERSION = ".".join(map(str, sys.version_info[:3]))


class RequirementsError(UnlocatedError):
    """A file of requirements that cannot be read, or whose packages cannot be had."""


@dataclass(frozen=True)
class Requirements:
    """The packages of a requirements.txt, or of a pyproject.toml.

    `project` is the content of the latter, `lock` its uv.lock.
    """

    file: Path
    lines: tuple[str, ...]
    project: dict[str, Any] | None = None
    lock: Path | None = None

    @property
    def requires_python(self) -> str:
        """The versions of Python that the project allows, as in `>=3.12`; empty for all."""
        return str((self.project or {}).get("project", {}).get("requires-python", ""))

    @property
    def is_package(self) -> bool:
        """Whether the project itself is to be installed, as its build system says."""
        project = self.project or {}
        package = project.get("tool", {}).get("uv", {}).get("package")
        return "build-system" in project if package is None else bool(package)

    @cached_property
    def first_missing(self) -> str | None:
        """The first that is not known to be satisfied by what is installed here.

        A project whose own .venv runs this process has all that it asks for.
        """
        if self.project is not None and Path(sys.prefix) == self.file.parent / ".venv":
            return None
        if self.lock is not None:
            return self.lock.name
        missing = (line for line in self.lines if not _is_satisfied(line))
        if self.is_package:
            name = self.project["project"].get("name", "") if self.project else ""
            missing = (line for line in (*missing, name) if not _is_satisfied(line))
        return next(missing, None)


def requirements_of(file: Path, root: Path) -> Requirements | None:
    """What the nearest requirements.txt asks for, up to the folder `root`; where there is none, the
    nearest pyproject.toml with a `[project]`. Raises RequirementsError."""
    folders = [folder for folder in file.parents if folder.is_relative_to(root)]
    for folder in folders:
        written = folder / "requirements.txt"
        if written.is_file():
            return Requirements(written, tuple(_lines(written)))
    for folder in folders:
        written = folder / "pyproject.toml"
        project = _project(written) if written.is_file() else {}
        if "project" in project:
            lines = tuple(map(str, project["project"].get("dependencies", ())))
            return Requirements(written, lines, project, _lock_of(folder, folders))
    return None


def version_of_image(image: str | None) -> str | None:
    """The version of Python that `python:3.13` or `python:3.13-slim` asks for; None for others."""
    found = _IMAGE.fullmatch(image or "")
    return found[1] if found else None


def is_for_this_python(image: str | None, requirements: Requirements | None) -> bool:
    """Whether this interpreter is of the version that an image asks for, else the project. Raises
    RequirementsError."""
    version = version_of_image(image)
    if version is not None:
        return f"{_VERSION}.".startswith(f"{version}.")
    requires = requirements.requires_python if requirements is not None else ""
    if not requires:
        return True
    # Only where something is required: it takes 20 ms.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(requires).contains(_VERSION, prereleases=True)
    except InvalidSpecifier:
        raise RequirementsError(
            f"requires-python is '{requires}'; write it as in '>=3.12'"
        ) from None


def _project(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequirementsError(f"{path} is not valid TOML: {error}") from None


def _lock_of(folder: Path, folders: list[Path]) -> Path | None:
    """The uv.lock of a project: beside it, or of the workspace that it is a member of."""
    for each in folders[folders.index(folder) :]:
        lock, project = each / "uv.lock", each / "pyproject.toml"
        if not lock.is_file() or not project.is_file():
            continue
        if each == folder or "workspace" in _project(project).get("tool", {}).get("uv", {}):
            return lock
    return None


def _lines(path: Path) -> Iterator[str]:
    """What stands in a requirements.txt, without comments."""
    text = path.read_text(encoding="utf-8-sig", errors="replace").replace("\\\n", " ")
    for written in text.splitlines():
        line = written.split(" #")[0].strip()
        if line and not line.startswith("#"):
            yield line


def _is_satisfied(line: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return _is_installed(Requirement(line))
    except InvalidRequirement:
        return False


def _is_installed(requirement: Requirement, extra: str = "") -> bool:
    from packaging.requirements import Requirement

    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return True
    try:
        found = importlib.metadata.distribution(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    if requirement.url or not requirement.specifier.contains(found.version, prereleases=True):
        return False
    return all(
        _is_installed(needed, wanted)
        for wanted in requirement.extras
        for needed in map(Requirement, found.requires or ())
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""})
    )
