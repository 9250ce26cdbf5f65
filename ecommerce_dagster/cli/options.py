"""The options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ecommerce_dagster.cli.completion import Name


def example(text: str) -> str:
    """The end of a command's help."""
    lines = "\n".join(f"  {line}" for line in text.strip().splitlines())
    return f"\b\nExamples:\n{lines}"


class PipelineFolder(click.Path):
    """The folder of a pipeline, or the pipeline.yml in it."""

    def __init__(self) -> None:
        super().__init__(exists=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        # Here, so that `--help` does not wait for it.
        from ecommerce_dagster.bruin.discovery import PIPELINE_FILES

        path = Path(str(super().convert(value, param, ctx)))
        if path.is_dir():
            return path
        if path.name not in PIPELINE_FILES:
            self.fail(f"'{path}' is neither a folder nor a pipeline.yml.", param, ctx)
        return path.parent


def pipeline_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which files to read, and with which variables."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    for option in (
        click.option("--variant", metavar="NAME", help="A variant of pipeline.yml."),
        click.option(
            "--var", "variables", metavar="NAME=JSON", multiple=True, help="Set a variable."
        ),
        click.option(
            "--environment",
            "-e",
            metavar="NAME",
            envvar="ECOMMERCE_ENVIRONMENT",
            help="An environment of .bruin.yml.",
        ),
        click.option("--config-file", type=file, help="Another .bruin.yml."),
        click.option(
            "--pipeline",
            type=PipelineFolder(),
            help="Another pipeline.yml, or its folder.  [the one here, else asset_specs]",
        ),
    ):
        command = option(command)
    return command


def connection_option(help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--connection`, which names one of .bruin.yml."""
    return click.option("--connection", "-c", type=Name("connection"), metavar="NAME", help=help)


def output_option(*kinds: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--output`, the first of `kinds` when it is not given."""
    return click.option(
        "--output", "-o", type=click.Choice(kinds), default=kinds[0], show_default=True
    )
