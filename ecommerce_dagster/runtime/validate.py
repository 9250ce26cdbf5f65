"""All mistakes of a pipeline that can be found before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecommerce_dagster.bruin.policy.policy_file import lint_policy
from ecommerce_dagster.bruin.problems import Problem, ProblemLog
from ecommerce_dagster.bruin.project import Project, read_project
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.runtime.lint.project import lint
from ecommerce_dagster.runtime.warehouses import WAREHOUSES
from ecommerce_dagster.warehouses.postgres.databases import Database, Databases


def validated(
    folder: Path,
    log: ProblemLog,
    *,
    note: Callable[[str], None],
    fast: bool = False,
    asks: bool = True,
    config_file: Path | None = None,
    environment: str | None = None,
    variables: Mapping[str, Any] | None = None,
    variant: str | None = None,
) -> list[Project]:
    """Report what is wrong in the pipeline in `folder`, in its `variant`, or, when none is named,
    in itself and in each of its variants.

    `fast` judges the files alone; else every query is bound as well, and databases are asked for
    their tables, unless they must not be (`asks`). `note` gets what kept one from being asked. The
    pipeline as it can be read, first by itself and then in each variant; empty when there is none.
    """

    def judged(name: str | None, found: ProblemLog) -> Project | None:
        project = read_project(
            folder,
            found,
            config_file=config_file,
            environment=environment,
            variables=variables,
            variant=name,
        )
        if project is not None:
            lint(project, found)
            lint_policy(project, found, {} if fast else _bound(project, found, reachable))
        return project

    in_variants: dict[Problem, list[str]] = {}
    with Databases(note) as databases:
        reachable = databases if asks else None
        own = ProblemLog()
        first = judged(variant, own)
        projects = [first] if first is not None else []
        for name in first.pipeline.variants if first is not None and variant is None else ():
            of_variant = ProblemLog()
            project = judged(name, of_variant)
            projects += [project] if project is not None else []
            for problem in of_variant.problems:
                in_variants.setdefault(problem, []).append(name)
    log.problems += _with_variants(own.problems, in_variants)
    return projects


def _with_variants(
    own: Sequence[Problem], in_variants: Mapping[Problem, Sequence[str]]
) -> Iterator[Problem]:
    """What is wrong in a pipeline, and in variants alone, which are named; each at its worst."""

    def what(problem: Problem) -> tuple[Path, int, str]:
        return problem.path, problem.line, problem.message

    known = set(map(what, own))
    worst = {what(problem) for problem in in_variants if problem.severity == "error"}
    for problem in own:
        yield replace(problem, severity="error") if what(problem) in worst else problem
    for problem, names in in_variants.items():
        if what(problem) not in known:
            listed = ", ".join(dict.fromkeys(names))
            word = "variant" if "," not in listed else "variants"
            yield replace(problem, message=f"{problem.message} ({word} {listed})")


def _bound(
    project: Project, log: ProblemLog, databases: Databases | None
) -> Mapping[str, Collection[str]]:
    """Bind every query. The columns that each returns."""
    from ecommerce_dagster.sources.column_lint import SourceColumns
    from ecommerce_dagster.validation.project import bind_project

    known = variables_for(project.connections.path)

    def ask(name: str) -> Database | None:
        connections = project.connections.by_name
        return databases.session(connections, known, name) if databases else None

    platforms = set(map(project.platform, project.assets))
    proofs = {
        name: kind.proof(project, ask, known, log)
        for name, kind in WAREHOUSES.items()
        if kind.proof is not None and name in platforms
    }
    return bind_project(
        project,
        log,
        source_columns=SourceColumns(project, ask, log),
        proofs=proofs,
        variables=known,
        asks=databases is not None,
    )
