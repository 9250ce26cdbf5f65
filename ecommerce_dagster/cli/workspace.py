"""Which pipeline a command is about, and what its options mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from ecommerce_dagster import local
from ecommerce_dagster.bruin.discovery import PIPELINE_FILES, pipeline_folders
from ecommerce_dagster.bruin.model.interval import Interval, interval_between
from ecommerce_dagster.bruin.problems import ProblemLog, ProjectError, from_here
from ecommerce_dagster.bruin.project import Project, find_upwards, read_project
from ecommerce_dagster.bruin.yaml.located import WrittenFloat, WrittenInt
from ecommerce_dagster.cli.garbage_collector import paused_collector

# The rules about what the options of a command choose.
_CHOSEN = {
    "environment": "valid-environment",
    "variant": "valid-variables",
    "variables": "valid-variables",
}


def open_project(
    pipeline: Path | None,
    config_file: Path | None,
    environment: str | None,
    variables: Mapping[str, Any] | None = None,
    variant: str | None = None,
) -> Project:
    """The pipeline that the user named, else the one here. Raises ProjectError."""
    from ecommerce_dagster.orchestration.build import load_project

    folder = pipeline_of(pipeline)
    local.load_environment(folder)
    with paused_collector():
        project = load_project(
            folder,
            config_file=config_file,
            environment=environment,
            variables=variables,
            variant=variant,
        )
    for warning in project.warnings:
        click.echo(f"warning: {warning}", err=True)
    return project


def pipelines_here() -> Path:
    """The pipeline that the current folder is in, else the folder itself (or the root of its
    project) when there are some in it. In a checkout of this package its own is the last resort."""
    here = Path.cwd()
    found = find_upwards(here, PIPELINE_FILES)
    if found:
        return found.parent
    if not local.IS_CHECKOUT:
        root = local.project_of(here)
        return root if not pipeline_folders(here) and pipeline_folders(root) else here
    is_other = not here.is_relative_to(local.ROOT) and find_upwards(here, [".bruin.yml"])
    return here if is_other and pipeline_folders(here) else local.PIPELINE


def pipeline_of(folder: Path | None) -> Path:
    """The pipeline that a folder (else the current one) is, or the only one that it holds."""
    folder = folder or pipelines_here()
    found = pipeline_folders(folder)
    if len(found) > 1:
        names = ", ".join(str(from_here(path)) for path in found)
        raise click.UsageError(f"{folder} holds several pipelines; name one of {names}")
    return found[0] if found else folder


def readable_project(
    options: Mapping[str, Any], asset: str | None = None
) -> tuple[Project, str | None]:
    """The same for commands that only look: mistakes in its files do not stop them.

    Raises ProjectError when there is no pipeline to speak of, or not the environment, the variant
    or the variables that are wished: those of another one would be shown in their place.
    """
    named, names = located([asset] if asset else [], options["pipeline"])
    folder = pipeline_of(named)
    local.load_environment(folder)
    log = ProblemLog()
    project = read_project(
        folder,
        log,
        config_file=options["config_file"],
        environment=options["environment"],
        variables=variables_of(options["variables"]),
        variant=options["variant"],
    )
    rules = {rule for option, rule in _CHOSEN.items() if options[option]}
    chosen = [error for error in log.errors if error.rule in rules]
    if project is None or chosen:
        raise ProjectError(chosen or log.errors)
    return project, names[0] if names else None


def project_from_options(
    options: Mapping[str, Any], asset: str | None = None
) -> tuple[Project, str | None]:
    """The pipeline that the shared options of a command name, and the asset in it: `asset` may be a
    name, a file, or the folder of a pipeline, which is not an asset."""
    folder, names = located([asset] if asset else [], options["pipeline"])
    return opened(folder, options), names[0] if names else None


def opened(folder: Path | None, options: Mapping[str, Any]) -> Project:
    """The pipeline in a folder (None: the one here) with the shared options of a command. Raises
    ProjectError."""
    return open_project(
        folder,
        options["config_file"],
        options["environment"],
        variables_of(options["variables"]),
        options["variant"],
    )


def interval_of(start: str | None, end: str | None) -> Interval | None:
    """The interval that `--start-date` and `--end-date` say."""
    try:
        return interval_between(start, end)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def located(assets: Sequence[str], pipeline: Path | None) -> tuple[Path | None, Sequence[str]]:
    """The folder of the pipeline and the assets in it.

    One argument may be the folder itself; files of assets say by their place which pipeline is
    meant.
    """
    if pipeline is not None:
        return pipeline, assets
    first = Path(assets[0]) if len(assets) == 1 else None
    if first is not None and first.name in PIPELINE_FILES and first.is_file():
        return first.parent, ()
    if first is not None and first.is_dir() and pipeline_folders(first):
        return first, ()
    files = [Path(text).resolve() for text in assets if Path(text).is_file()]
    found = find_upwards(files[0].parent, PIPELINE_FILES) if files else None
    return (found.parent if found else None), assets


def variables_of(texts: Sequence[str]) -> dict[str, Any]:
    """`--var name=value` with the value as JSON (else as text), or `--var '{"name": value}'`."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if text.lstrip().startswith("{"):
            values |= _json_object(text)
        elif not equals:
            raise click.UsageError(f"--var {text}: write name=value")
        else:
            values[name.strip()] = _json_or_text(value)
    return values


def _json_object(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text, parse_constant=_no_number))
    except ValueError as error:
        raise click.UsageError(f"--var {text}: this is not JSON ({error})") from None


def _json_or_text(text: str) -> Any:
    """A number remembers how it is written, for variables that are texts."""

    def number(kind: type[WrittenInt] | type[WrittenFloat], written: str) -> Any:
        value = kind(written)
        value.written = written
        return value

    try:
        return json.loads(
            text,
            parse_int=partial(number, WrittenInt),
            parse_float=partial(number, WrittenFloat),
            parse_constant=_no_number,
        )
    except ValueError:
        return text


def _no_number(text: str) -> None:
    """NaN and Infinity are not JSON."""
    raise ValueError(text)
