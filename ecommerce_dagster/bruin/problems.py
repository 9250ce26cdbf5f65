"""What is wrong in a user's files: collected from all of them, reported once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, order=True)
class Problem:
    """One finding, at a line (1-based) of a file. `rule` is a stable name for machines."""

    path: Path
    line: int
    message: str
    rule: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{_from_here(self.path)}:{self.line}: {self.message}"


class ProjectError(Exception):
    """Files that cannot be used as they stand. Its text is one line per problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass
class ProblemLog:
    """Collects problems while files are read, so that a broken file does not hide the others."""

    problems: list[Problem] = field(default_factory=list)

    def error(self, path: Path, line: int, rule: str, message: str) -> None:
        self.problems.append(Problem(path, line, message, rule, "error"))

    def warning(self, path: Path, line: int, rule: str, message: str) -> None:
        self.problems.append(Problem(path, line, message, rule, "warning"))

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(sorted({p for p in self.problems if p.severity == "error"}))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(sorted({p for p in self.problems if p.severity == "warning"}))

    def raise_errors(self) -> None:
        """Raise one ProjectError with every error found so far, if there is any."""
        if self.errors:
            raise ProjectError(self.errors)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a user most likely meant, or None when nothing is close."""
    matches = difflib.get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: the nearest known one, else all of them."""
    names = sorted(known)
    match = nearest(word, names)
    if match:
        return f"did you mean '{match}'?"
    return f"known: {', '.join(names)}" if names else "none is known"


def _from_here(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
