"""Virtual environments with what Python assets require, built once by uv and kept.

They lie in `~/.cache/ecommerce-dagster/python` (XDG_CACHE_HOME), one for each content of the
requirements and version of Python. One is built beside its place and renamed when it is complete,
so that what is there is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ecommerce_dagster.bruin.paths import cache_folder
from ecommerce_dagster.python_assets.process import run_supervised
from ecommerce_dagster.python_assets.requirements import Requirements, RequirementsError

# Versions of pyarrow to bring for the rows of an asset, in the order in which they are tried: the
# newest may want another numpy or pandas than the asset, and the last is what Bruin brings.
_PYARROW = ("pyarrow>=14", "pyarrow==18.0.0")
# What an asset's pandas and pyarrow must do together: a pandas that pyarrow does not take as one
# loses the categories.
_WORKS = """
import pyarrow.parquet
try:
    import pandas
except ImportError:
    pass
else:
    found = pyarrow.Array.from_pandas(pandas.Series(["x"], dtype="category"))
    assert pyarrow.types.is_dictionary(found.type), "pyarrow does not know this pandas"
"""
_SHOWN = 12  # lines of uv's output that an error repeats


class PythonVersionError(RequirementsError):
    """A version of Python that is not there."""


@dataclass(frozen=True)
class Wanted:
    """An environment: `python` as uv takes it (a path, `3.13`, `>=3.12`), packages, pyarrow."""

    python: str
    requirements: Requirements | None
    with_rows: bool

    @property
    def description(self) -> str:
        """As in `Python 3.13 with requirements.txt`."""
        own = self.python == sys.executable
        version = ".".join(map(str, sys.version_info[:2])) if own else self.python
        packages = f" with {self.requirements.file.name}" if self.requirements else ""
        return f"Python {version}{packages}"


def find_uv() -> str | None:
    """The program uv: of this environment, else of PATH."""
    own = sysconfig.get_path("scripts")
    return shutil.which("uv", path=os.pathsep.join([own, os.environ.get("PATH", os.defpath)]))


@cache
def is_known(python: str, uv: str) -> bool:
    """Whether a version of Python (`3.13`, `>=3.12`) is on this machine, or among those that uv can
    bring. Takes no network, a tenth of a second for the latter and a second for the former."""
    listing = [uv, "python", "list", python, "--offline", "--no-config", "--output-format", "json"]
    for more in (["--only-downloads"], []):
        try:
            done = subprocess.run(
                [*listing, *more], capture_output=True, text=True, check=False, timeout=60
            )
        except (OSError, subprocess.TimeoutExpired):
            return True  # a run will tell
        if done.returncode == 0 and (done.stdout.strip() or "[]") != "[]":
            return True
    return False


def interpreter_of(
    wanted: Wanted, uv: str, *, on_output: Callable[[str], None], timeout: float | None
) -> Path:
    """The interpreter of an environment, which is built if it is not there yet.

    `on_output` gets a line when it is. Raises RequirementsError, PythonVersionError, and
    TimeoutError when it takes longer than `timeout` seconds.
    """
    folder = cache_folder() / "python" / _key(wanted)
    python = folder / "bin" / "python"
    if python.exists():
        return python
    # Only to build one: with asyncio it takes 20 ms.
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not python.exists():
                on_output(f"building the environment of {wanted.description}, once, in {folder}")
                _build(wanted, _Uv(uv, timeout), folder)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        raise RequirementsError(
            f"no environment can be kept in {folder.parent} ({error.strerror}); "
            "name another place with XDG_CACHE_HOME"
        ) from None
    return python


def _key(wanted: Wanted) -> str:
    """The same for the same content; with files that the content names, for their state too."""
    own = sys.version if wanted.python == sys.executable else ""
    content = [wanted.python, own, wanted.with_rows, _PYARROW]
    if wanted.requirements is not None:
        content += _content(wanted.requirements)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def _content(requirements: Requirements) -> list[object]:
    files = [file for file in (requirements.file, requirements.lock) if file is not None]
    content: list[object] = [file.read_text("utf-8", errors="replace") for file in files]
    folder = requirements.file.parent
    named = {
        found
        for text in content
        for word in re.split(r"[\s'\"=@,]+|file:/*(?=/)", str(text))
        if word and ("/" in word or word.endswith((".txt", ".whl")) or word == ".")
        if "://" not in word and (found := folder / word).exists()
    }
    if named or requirements.is_package:
        content += [str(folder), *sorted(map(_state, named))]
    return content


def _state(path: Path) -> str:
    """When a file, or what is in a folder of sources, was changed."""
    files = [path] if path.is_file() else [*path.glob("*.toml"), *path.rglob("*.py")]
    changed = max((file.stat().st_mtime_ns for file in files), default=0)
    return f"{path} {changed}"


class _Uv:
    """Runs uv, and keeps what it says."""

    def __init__(self, program: str, timeout: float | None) -> None:
        self._program = program
        self._timeout = timeout
        self.said: list[str] = []

    def run(self, *arguments: str, folder: Path, variables: dict[str, str] | None = None) -> bool:
        """Whether it succeeded. `said` is then what it printed."""
        return self.call([self._program, *arguments], folder, variables)

    def call(
        self, command: Sequence[str], folder: Path, variables: dict[str, str] | None = None
    ) -> bool:
        """The same for another program."""
        self.said = []
        # One more try is enough: without a network an asset should not take ten seconds to fail.
        known = {"UV_HTTP_RETRIES": "1", **os.environ, "NO_COLOR": "1", **(variables or {})}
        known.pop("VIRTUAL_ENV", None)
        code = run_supervised(
            lambda alive: list(command),
            folder,
            known,
            on_output=self.said.append,
            timeout=self._timeout,
        )
        return code == 0

    @property
    def words(self) -> str:
        """What it said, for an error."""
        lines = [line for line in self.said if line.strip()]
        return "\n".join(lines[:_SHOWN])


def _build(wanted: Wanted, uv: _Uv, folder: Path) -> None:
    """Build an environment, beside its place, which it gets when it is complete."""
    for left in folder.parent.glob(f"{folder.name}.*.new"):
        shutil.rmtree(left, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".new", dir=folder.parent))
    try:
        _create(wanted, uv, new)
        if wanted.requirements is not None:
            _install(wanted.requirements, wanted.with_rows, uv, new)
        elif wanted.with_rows:
            _add_pyarrow([], uv, new, None)
        with suppress(FileNotFoundError):  # one whose Python is gone
            shutil.rmtree(folder)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _create(wanted: Wanted, uv: _Uv, new: Path) -> None:
    # What the scripts of a relocatable one name is still right after the renaming.
    arguments = ("venv", "--no-project", "--relocatable", "--allow-existing")
    if not uv.run(*arguments, "--python", wanted.python, str(new), folder=new):
        raise PythonVersionError(
            f"Python {wanted.python} is not installed here, and uv cannot bring it:\n{uv.words}"
        )


def _install(requirements: Requirements, with_rows: bool, uv: _Uv, new: Path) -> None:
    if requirements.lock is not None and _install_locked(requirements, uv, new):
        if with_rows:
            _add_pyarrow([], uv, new, requirements)
        return
    sources = ["--requirements", str(requirements.file)]
    if "dev" in (requirements.project or {}).get("dependency-groups", {}):
        sources += ["--group", f"{requirements.file}:dev"]
    if requirements.is_package:
        sources += ["--editable", str(requirements.file.parent)]
    if with_rows:
        _add_pyarrow(sources, uv, new, requirements)
    elif not _pip(sources, uv, new, requirements):
        raise RequirementsError(_uninstallable(requirements, uv))


def _install_locked(requirements: Requirements, uv: _Uv, new: Path) -> bool:
    """Install what uv.lock says. False where it says something else than the project, which is
    not locked anew: that would write into the checkout."""
    python = str(new / "bin" / "python")
    folder = requirements.file.parent
    variables = {"UV_PROJECT_ENVIRONMENT": str(new)}
    return uv.run("sync", "--locked", "--python", python, folder=folder, variables=variables)


def _add_pyarrow(sources: list[str], uv: _Uv, new: Path, requirements: Requirements | None) -> None:
    """Install packages and a pyarrow that works with them."""
    for pyarrow in _PYARROW:
        if not _pip([*sources, pyarrow], uv, new, requirements):
            continue
        # Nothing is compiled: it would name the folder of now.
        if uv.call([str(new / "bin" / "python"), "-B", "-c", _WORKS], new):
            return
    raise RequirementsError(_uninstallable(requirements, uv))


def _pip(sources: Sequence[str], uv: _Uv, new: Path, requirements: Requirements | None) -> bool:
    folder = requirements.file.parent if requirements is not None else new
    python = str(new / "bin" / "python")
    return uv.run("pip", "install", "--quiet", "--python", python, *sources, folder=folder)


def _uninstallable(requirements: Requirements | None, uv: _Uv) -> str:
    asked = requirements.file if requirements is not None else "pyarrow, for its rows,"
    return f"{asked} cannot be installed:\n{uv.words}"
