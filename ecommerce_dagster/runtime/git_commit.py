"""The git commit of a checkout, for templates."""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

_SECONDS = 5.0


@lru_cache(maxsize=16)
def commit_of(folder: Path) -> str:
    """The hash of the commit that `folder` is checked out at; empty when there is none."""
    git = shutil.which("git")
    if git is None:
        return ""
    try:
        found = subprocess.run(
            [git, "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
