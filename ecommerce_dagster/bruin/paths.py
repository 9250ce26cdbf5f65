"""Paths as people write them in files."""

from __future__ import annotations

import re

_DRIVE = re.compile(r"[A-Za-z]:")


def portable(path: str) -> str:
    """A relative path that was written on Windows (`.\\data\\a.csv`), with slashes; others as they
    are."""
    is_windows = "\\" in path and "/" not in path and not _DRIVE.match(path)
    return path.replace("\\", "/") if is_windows else path
