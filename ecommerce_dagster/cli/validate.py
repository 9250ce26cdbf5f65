"""`ecommerce validate`: everything that is wrong in the files, before anything runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ecommerce_dagster import local
from ecommerce_dagster.bruin.discovery import PIPELINE_FILES, pipeline_folders
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.problems import Problem, ProblemLog, from_here, printable
from ecommerce_dagster.bruin.project import Project, find_upwards
from ecommerce_dagster.runtime.lint.code_location import lint_together
from ecommerce_dagster.runtime.validate import validated
from ecommerce_dagster.sql.checks import checks_of

_COLOURS = {"error": "red", "warning": "yellow"}


def report_problems(path: Path, options: Mapping[str, Any], *, fast: bool, output: str) -> int:
    """Print what is wrong in the pipelines below a folder, or in one file (or folder) of one.

    The exit code: 1 when there is an error.
    """
    folders, only = _found(path.resolve())
    local.load_environment(folders[0])
    log = ProblemLog()
    notes: dict[str, None] = {}
    found = [
        validated(folder, log, note=notes.setdefault, fast=fast, **options) for folder in folders
    ]
    for text in notes:
        click.echo(f"note: {printable(text)}", err=True)
    projects = [project for variants in found for project in variants]
    # Variants are never loaded beside each other.
    lint_together([variants[0] for variants in found if variants], log)
    problems = [p for p in (*log.errors, *log.warnings) if only is None or _is_in(p, only)]
    if output == "json":
        _print_json(problems)
    else:
        _print(problems, projects if only is None else None, path)
    return int(any(problem.severity == "error" for problem in problems))


def _found(path: Path) -> tuple[Sequence[Path], Path | None]:
    """The pipelines that `path` holds, or else the one around it and that only `path` is asked."""
    folders = pipeline_folders(path) if path.is_dir() else []
    if folders:
        return folders, None
    around = find_upwards(path.parent, PIPELINE_FILES)
    if around is not None:
        return [around.parent], path
    if path.is_dir():
        # What is missing is reported like everything else.
        return [path], None
    raise click.UsageError(f"there is no pipeline.yml in or above {path.parent}")


def _is_in(problem: Problem, path: Path) -> bool:
    return problem.path.resolve().is_relative_to(path)


def _print_json(problems: Sequence[Problem]) -> None:
    issues = [
        {
            "rule": problem.rule,
            "severity": problem.severity,
            "file": str(from_here(problem.path)),
            "line": problem.line,
            "message": printable(problem.message),
        }
        for problem in sorted(problems)
    ]
    valid = all(problem.severity != "error" for problem in problems)
    click.echo(json.dumps({"valid": valid, "issues": issues}, indent=2))


def _print(problems: Sequence[Problem], projects: Sequence[Project] | None, path: Path) -> None:
    """The findings of each file, files with errors first, then the sum of it."""
    by_file: dict[Path, list[Problem]] = {}
    for problem in sorted(problems, key=lambda p: (p.severity, p)):
        by_file.setdefault(problem.path, []).append(problem)
    for file, found in by_file.items():
        _print_file(file, found)
    counts = Counter(problem.severity for problem in problems)
    if problems:
        numbers = f"{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')}"
        click.secho(f"{numbers} in {counted(len(by_file), 'file')}", bold=True)
    if counts["error"]:
        return
    if projects is None:
        click.echo(f"{path} is valid")
    for project in projects or ():
        checks = sum(len(checks_of(asset)) for asset in project.assets)
        found_in = f"{counted(len(project.assets), 'asset')} and {counted(checks, 'check')}"
        click.echo(f"{project.pipeline.name}: {found_in} are valid")


def _print_file(file: Path, problems: Sequence[Problem]) -> None:
    """The findings in a file, each on a line: where, how bad, what, by which rule."""
    click.secho(printable(str(from_here(file))), bold=True)
    width = max(len(str(problem.line)) for problem in problems)
    for problem in problems:
        word = click.style(f"{problem.severity:7}", fg=_COLOURS[problem.severity])
        rule = click.style(f"[{problem.rule}]", dim=True)
        click.echo(f"  {problem.line:>{width}}  {word}  {printable(problem.message)}  {rule}")
    click.echo()
