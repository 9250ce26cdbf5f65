"""A copy of the warehouse for readers, who then neither wait for runs nor keep them waiting.

It stands beside the warehouse and is replaced in one step, so that a reader sees the tables as they
were at the end of some run, and one who has it open keeps what he sees.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from ecommerce_dagster.warehouses.duckdb.database import (
    PRIVATE,
    connected,
    is_file,
    open_warehouse,
)

OUTDATED = "the copy for readers "  # how a line begins that says so


def copy_of(path: str) -> Path:
    """Where the copy of a warehouse is: warehouse.published.duckdb beside warehouse.duckdb."""
    file = Path(path).resolve()
    return file.with_name(f"{file.stem}.published{file.suffix}")


def is_current(path: str) -> bool:
    """Whether the copy holds what the warehouse does.

    DuckDB writes to the file only when something is committed, and the copy has its time and size.
    """
    try:
        states = [os.stat(file) for file in (path, copy_of(path))]
    except FileNotFoundError:
        return False
    same = len({(state.st_mtime_ns, state.st_size) for state in states}) == 1
    return same and not _log_of(path).exists()


def publish_copy(path: str, on_wait: Callable[[str], None] = lambda message: None) -> bool:
    """Replace the copy unless it is current; whether it was. Raises WarehouseError, OSError.

    The file is copied while this process has the warehouse locked, so that it does not change.
    """
    if not is_file(path) or not Path(path).exists() or is_current(path):
        return False
    unfinished = _log_of(path).exists()
    with open_warehouse(path, read_only=not unfinished, on_wait=on_wait) as connection:
        if unfinished:
            connection.execute("CHECKPOINT")
        copy = copy_of(path)
        # One name: what a killed process left is overwritten by the next.
        new = copy.with_name(f"{copy.name}.new")
        try:
            _copy_file(Path(path), new, _mode_of(copy))
            new.replace(copy)
        finally:
            new.unlink(missing_ok=True)
    return True


def outdated(path: str, error: Exception) -> str:
    """What to tell when the copy of a warehouse could not be replaced: the reason, and what readers
    see until it is."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    copy = copy_of(path)
    seen = f"they see the tables of {_time_of(copy)}" if copy.is_file() else "they have none"
    return f"{OUTDATED}{copy} cannot be written ({reason}); until a run replaces it, {seen}"


def _time_of(copy: Path) -> str:
    """When the tables in a copy were last changed."""
    changed = datetime.fromtimestamp(copy.stat().st_mtime, UTC)
    return f"{changed:%Y-%m-%d %H:%M:%S} UTC"


@contextmanager
def open_copy(path: str, on_wait: Callable[[str], None]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The copy to read from; the warehouse itself as long as there is none.

    `on_wait` is called when the warehouse has changed since.
    """
    copy = copy_of(path)
    if not is_file(path) or not copy.exists():
        with open_warehouse(path, read_only=True, on_wait=on_wait) as connection:
            yield connection
        return
    if not is_current(path):
        on_wait(
            f"these are the tables of {_time_of(copy)}; "
            "the warehouse has changed since, and a run publishes it when it ends"
        )
    with connected(str(copy), read_only=True, on_wait=on_wait) as connection:
        yield connection


def _log_of(path: str) -> Path:
    """What a process that was killed committed and did not get into the file."""
    return Path(f"{path}.wal")


def _mode_of(copy: Path) -> int:
    """Who may read the next copy: those who may read this one, or the user alone."""
    try:
        return stat.S_IMODE(copy.stat().st_mode)
    except FileNotFoundError:
        return PRIVATE


def _copy_file(source: Path, target: Path, mode: int) -> None:
    """Copy, durably; file systems that can share blocks (Btrfs, XFS) do it in no time."""
    # What a killed process left may have another mode.
    target.unlink(missing_ok=True)
    target.touch(PRIVATE, exist_ok=False)
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            while os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30):
                pass
        except (AttributeError, OSError):
            # Neither every system nor every file system can.
            reader.seek(0)
            writer.seek(0)
            shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())
    shutil.copystat(source, target)
    target.chmod(mode)
