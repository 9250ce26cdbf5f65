"""Paths as people write and read them, and the folder of what is kept between runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

_DRIVE = re.compile(r"[A-Za-z]:")


def portable(path: str) -> str:
    """A relative path that was written on Windows (`.\\data\\a.csv`), with slashes; others as they
    are."""
    is_windows = "\\" in path and "/" not in path and not _DRIVE.match(path)
    return path.replace("\\", "/") if is_windows else path


def from_root(path: Path, root: Path) -> str:
    """A path from a folder on; the whole path of a file outside of it."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def cache_folder() -> Path:
    """`~/.cache/ecommerce-dagster` (XDG_CACHE_HOME): what can be made again, and takes time to."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecommerce-dagster"
