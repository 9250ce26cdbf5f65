"""A child process: it ends with the one that waits for it, and its output is read line by line."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

_LONGEST_LINE = 65_536
_QUEUED_LINES = 1000
_GRACE = 3.0  # seconds to end after being asked to
_POLL = 0.1


def run_supervised(
    command: Callable[[int], list[str]],
    folder: Path,
    variables: Mapping[str, str],
    *,
    on_output: Callable[[str], None],
    timeout: float | None,
) -> int:
    """Run a command in `folder` to its end; its exit code. Raises TimeoutError.

    It leads a group of its own, which is killed when this ends in whatever way. `command` gets the
    number of a pipe that closes when this process is gone, so that the child can end too.
    """
    alive, held = os.pipe()
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        process = subprocess.Popen(
            command(alive),
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            pass_fds=[alive],
        )
        try:
            for line in _output(process, deadline):
                on_output(line)
            _wait(process, deadline)
        finally:
            _stop(process)
    finally:
        os.close(alive)
        os.close(held)
    return process.returncode


def _output(process: subprocess.Popen[str], deadline: float | None) -> Iterator[str]:
    """Its lines as they come. Another thread reads them, so that waiting here has a limit."""
    lines: queue.Queue[str | None] = queue.Queue(_QUEUED_LINES)
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    ended: float | None = None
    while (line := _next(lines)) is not None:
        if line:
            yield line.rstrip("\n")
        elif ended is not None and time.monotonic() - ended > 1.0:
            return  # something that left the group holds the output open
        if ended is not None:
            continue
        if process.poll() is not None:
            ended = time.monotonic()
            _signal(process, signal.SIGKILL)  # what it left running holds it open too
        elif deadline is not None and time.monotonic() > deadline:
            raise TimeoutError


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout as output:
        for line in iter(lambda: output.readline(_LONGEST_LINE), ""):
            lines.put(line)
    lines.put(None)


def _next(lines: queue.Queue[str | None]) -> str | None:
    """The next line; empty when there is none yet, None when there will be none."""
    try:
        return lines.get(timeout=_POLL)
    except queue.Empty:
        return ""


def _wait(process: subprocess.Popen[str], deadline: float | None) -> None:
    try:
        process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None


def _stop(process: subprocess.Popen[str]) -> None:
    """End the whole group: ask it first, then kill what is left."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
