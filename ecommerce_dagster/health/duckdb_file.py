"""Which processes lock a DuckDB file. Looking takes no lock and writes nothing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

# How DuckDB's error names the process that writes: with the path of its program, or without.
_HOLDER = re.compile(r"held in (?:(.+?) \(PID (\d+)\)|PID (\d+))")
# Linux lists in it which process holds which file.
_LOCKS = Path("/proc/locks")


@dataclass(frozen=True)
class Holder:
    """A process that has a file open, which may write. `program` is a path, empty when unknown."""

    pid: int
    program: str
    writes: bool

    def __str__(self) -> str:
        return f"process {self.pid} ({self.program})" if self.program else f"process {self.pid}"


@dataclass(frozen=True)
class FileState:
    """`exists` tells whether there is a file, `error` why it is no database that can be read,
    `holders` who has it open: one writer, or readers as far as the system lists them."""

    exists: bool
    error: str = ""
    holders: tuple[Holder, ...] = ()


def state_of(path: str) -> FileState:
    """The state of the DuckDB file at `path`."""
    if not Path(path).exists():
        return FileState(exists=False)
    try:
        # No network: extensions come from wheels.
        settings: dict[str, str | bool | int | float | list[str]] = {}
        settings["autoinstall_known_extensions"] = False
        duckdb.connect(path, read_only=True, config=settings).close()
    except duckdb.Error as error:
        message = str(error)
        if found := _HOLDER.search(message):
            program, pid, alone = found.groups()
            return FileState(True, holders=(Holder(int(pid or alone), program or "", True),))
        if "Could not set lock" in message:
            return FileState(True, holders=(Holder(0, "on another machine", True),))
        return FileState(True, message.splitlines()[0])
    return FileState(True, holders=tuple(_readers(path)))


def _readers(path: str) -> list[Holder]:
    """The other processes that have a file open to read."""
    try:
        lines, file = _LOCKS.read_text().splitlines(), os.stat(path)
    except OSError:
        return []
    place = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    # A line is `1: POSIX ADVISORY READ 4711 08:01:1234 0 EOF`; that of a waiting one has an arrow.
    fields = [line.split()[1:] for line in lines]
    pids = {int(f[3]) for f in fields if f[0] == "POSIX" and f[4] == place and f[2] == "READ"}
    return [Holder(pid, _program(pid), False) for pid in sorted(pids - {os.getpid()})]


def _program(pid: int) -> str:
    """What a process runs, without its arguments, which may be secrets."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
