"""What is wrong in a user's files: collected from all of them, reported once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ecommerce_dagster.errors import ConfigurationError

Severity = Literal["error", "warning"]

# How like the right word a wrong one is: a typing error (two letters of `name` swapped), and what
# is worth a hint.
TYPING_ERROR = 0.75
HINT = 0.6
# Comparing takes quadratic time, and names are short.
_LONGEST_WORD = 80
_MOST_WORDS = 30


@dataclass(frozen=True, order=True)
class Problem:
    """One finding, at a line (1-based) of a file. `rule` is a stable name for machines."""

    path: Path
    line: int
    message: str
    rule: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return printable(f"{from_here(self.path)}:{self.line}: {self.message}")


class ProjectError(ConfigurationError):
    """Files that cannot be used as they stand. Its text is one line per problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass
class ProblemLog:
    """Collects problems while files are read, so that a broken file does not hide the others."""

    problems: list[Problem] = field(default_factory=list)

    def error(self, path: Path, line: int, rule: str, message: str) -> None:
        """Note what makes the files unusable."""
        self.problems.append(Problem(path, line, message, rule, "error"))

    def warning(self, path: Path, line: int, rule: str, message: str) -> None:
        """Note what is odd and harmless."""
        self.problems.append(Problem(path, line, message, rule, "warning"))

    def withdraw(self, rule: str, paths: Collection[Path]) -> None:
        """Forget the warnings of a rule about some files."""
        self.problems = [
            p
            for p in self.problems
            if (p.rule, p.severity) != (rule, "warning") or p.path not in paths
        ]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Every error once, by file and line."""
        return tuple(sorted({p for p in self.problems if p.severity == "error"}))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Every warning once, by file and line."""
        return tuple(sorted({p for p in self.problems if p.severity == "warning"}))

    def raise_errors(self) -> None:
        """Raises one ProjectError with every error found so far, if there is any."""
        if self.errors:
            raise ProjectError(self.errors)


def nearest(word: str, known: Iterable[str], cutoff: float = HINT) -> str | None:
    """The known word that a user most likely meant, or None when nothing is close."""
    if len(word) > _LONGEST_WORD:
        return None
    folded = {name.casefold(): name for name in sorted(known)}
    matches = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=cutoff)
    return folded[matches[0]] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: the nearest known one, else all of them."""
    names = sorted(known)
    match = nearest(word, names)
    if match is not None:
        return f"did you mean '{match}'?"
    return f"known: {listed(names)}" if names else "none is known"


def listed(names: Iterable[str], most: int = _MOST_WORDS) -> str:
    """Names in a row, not more than a reader wants to see."""
    words = sorted(names)
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def printable(text: str) -> str:
    """`text` on one line, without anything that a terminal would act on."""
    return "".join(char if char.isprintable() else " " for char in text)


def from_here(path: Path) -> Path:
    """`path` as a user in the current folder would write it."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, OSError):
        return path
