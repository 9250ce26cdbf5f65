"""`ecommerce doctor`: what is wrong with the operation of a pipeline, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

import click

from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.problems import ProjectError, printable
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.instance import untouched_instance
from ecommerce_dagster.cli.local_services import local_services_of
from ecommerce_dagster.cli.workspace import opened, readable_project
from ecommerce_dagster.health.examine import PATIENCE, health_of
from ecommerce_dagster.health.finding import LEVELS, Finding, Level, Setup
from ecommerce_dagster.local import StateError

_COLOURS: Mapping[Level, str] = {"ok": "green", "warning": "yellow", "problem": "red"}


def print_findings(options: Mapping[str, Any], output: str) -> int:
    """Print the findings of the pipeline that the options of the command name. The exit code: 1
    when one is a problem. Raises ProjectError when there is no pipeline."""
    project, found = read_files(options)
    with setup_of(project) as (setup, records):
        found += [*records, *health_of(setup)]
    worst = max((one.level for one in found), key=LEVELS.index)
    if output == "json":
        told = {
            "pipeline": project.pipeline.name,
            "level": worst,
            "findings": [{**asdict(one), "facts": dict(one.facts)} for one in found],
        }
        click.echo(json.dumps(told, indent=2))
    else:
        _print(project, found)
    return 1 if worst == "problem" else 0


def read_files(options: Mapping[str, Any]) -> tuple[Project, list[Finding]]:
    """The pipeline, as far as it can be read, and a finding about its files."""
    try:
        project = opened(options["pipeline"], options)
    except ProjectError as error:
        project, _ = readable_project(options)
        number = len(error.problems)
        text = f"{counted(number, 'mistake')}; Dagster does not load the pipeline"
        advice = "`ecommerce validate` lists them"
        facts = {"assets": len(project.assets), "mistakes": number}
        return project, [Finding("files", "", "problem", text, advice, facts)]
    number = len(project.assets)
    facts = {"assets": number, "mistakes": 0}
    return project, [Finding("files", "", "ok", counted(number, "asset"), facts=facts)]


@contextmanager
def setup_of(project: Project) -> Iterator[tuple[Setup, list[Finding]]]:
    """The pipeline on this machine, and what is wrong with the records of its runs."""
    with ExitStack() as stack:
        at_rest = stack.enter_context(local_services_of(project.directory).joined())
        try:
            instance = stack.enter_context(untouched_instance(PATIENCE))
        except StateError as error:
            advice = "See whether the folder or the database of Dagster's records is there"
            unread = Finding("records", "", "problem", str(error), advice, {"readable": 0})
            yield Setup(project, None, has_unread_records=True, at_rest=at_rest), [unread]
            return
        text = "can be read" if instance is not None else "there are none yet"
        known = Finding("records", "", "ok", text, facts={"readable": 1})
        yield Setup(project, instance, at_rest=at_rest), [known]


def _print(project: Project, found: Sequence[Finding]) -> None:
    levels = [one.level for one in found]
    numbers = [f"{counted(levels.count(level), level)}" for level in ("problem", "warning")]
    click.secho(printable(f"{project.pipeline.name}: {', '.join(numbers)}"), bold=True)
    for one in found:
        subject = f"{one.part} {one.name}".strip()
        advice = f". {one.advice}." if one.advice else ""
        word = click.style(f"{one.level:8}", fg=_COLOURS[one.level])
        click.echo(f"{word} {printable(f'{subject}: {one.text}{advice}')}")
