"""How long a process takes, and how much memory it and all that it starts hold."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_SAMPLE_SECONDS = 0.03
# After two rounds there are no more when the slower run of each case took at most this much longer.
_SMALL_SPREAD = 1.04


@dataclass(frozen=True)
class Case:
    """One way of doing something, as a command. `before` is not timed. It is killed when it takes
    more seconds than its `patience`."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    folder: Path | None = None
    patience: float = 900


@dataclass(frozen=True)
class Measured:
    """One run: seconds by the clock, of processors, and the peak of all resident memory (MB).

    `output` is what the process printed; when its last word is a number, those are the seconds
    without its start (`inside`).
    """

    seconds: float
    cpu: float
    peak: float
    output: str

    @property
    def inside(self) -> float | None:
        with suppress(ValueError, IndexError):
            return float(self.output.split()[-1])
        return None


@dataclass(frozen=True)
class Row:
    """All runs of a case. `ratio` is the median, over the rounds, to the first case's seconds."""

    name: str
    seconds: float
    fastest: float
    slowest: float
    cpu: float
    peak: float
    ratio: float
    inside: float | None


def compare(cases: Sequence[Case], rounds: int) -> list[Row]:
    """The cases in turns (A B C A B C ...), so that what else the machine does hits all alike. Ends
    after two of `rounds` when they hardly differ."""
    runs: dict[str, list[Measured]] = {case.name: [] for case in cases}
    for turn in range(rounds):
        for case in cases:
            case.before()
            found = run(case)
            runs[case.name].append(found)
            line = f"{case.name}: {found.seconds:.2f} s, {found.peak:.0f} MB"
            print(f"  {turn + 1}/{rounds} {line}", file=sys.stderr, flush=True)
        if turn == 1 and all(map(_alike, runs.values())):
            break
    first = runs[cases[0].name]
    return [_row(name, found, first) for name, found in runs.items()]


def _alike(found: Sequence[Measured]) -> bool:
    seconds = [one.seconds for one in found]
    return max(seconds) <= min(seconds) * _SMALL_SPREAD


def _row(name: str, found: Sequence[Measured], first: Sequence[Measured]) -> Row:
    seconds = [one.seconds for one in found]
    inside = [one.inside for one in found if one.inside is not None]
    return Row(
        name,
        statistics.median(seconds),
        min(seconds),
        max(seconds),
        statistics.median(one.cpu for one in found),
        statistics.median(one.peak for one in found),
        statistics.median(mine / base.seconds for mine, base in zip(seconds, first, strict=True)),
        statistics.median(inside) if inside else None,
    )


def run(case: Case) -> Measured:
    """One run. Ends the benchmark when the command fails."""
    used = _cpu_of_children()
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            case.command,
            env=dict(case.environment),
            cwd=case.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            if time.perf_counter() - began > case.patience:
                process.kill()
            time.sleep(_SAMPLE_SECONDS)
        seconds = time.perf_counter() - began
        output.seek(0)
        said = output.read().decode()
        if process.returncode != 0:
            sys.exit(f"{case.name} failed:\n{said[-4000:]}")
    return Measured(seconds, _cpu_of_children() - used, peak, said)


def _memory(pid: int) -> float:
    total = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total / 1e6


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
