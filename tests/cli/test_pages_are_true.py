"""What README and docs/ tell people to type exists, and what they link to is there."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path

import click
import pytest
from orchestration.helpers import ROOT

from data_generator.cli import main as generate_data
from ecommerce_dagster.shop.commands import main

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = {"ecommerce": main, "generate-data": generate_data}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def shell_lines(page: Path) -> list[str]:
    """The lines of its shell blocks."""
    return "\n".join(re.findall(r"```sh\n(.*?)```", text_of(page), re.DOTALL)).splitlines()


def text_of(page: Path) -> str:
    """What stands on it, with the folder of the pipeline that is here."""
    return page.read_text().replace("path/to/pipeline", str(ROOT / "asset_specs"))


def commands(page: Path) -> list[list[str]]:
    """The lines of its shell blocks, and the `commands` in its sentences, without comments."""
    text = text_of(page)
    lines = shell_lines(page)
    lines += re.findall(r"`((?:ecommerce|generate-data|make) [^`\n]+)`", text)
    # A command may be one of several, or of another shell: `make x && ...` is its beginning.
    return [
        shlex.split(re.split(" (?:&&|>) ", line)[0], comments=True)
        for line in lines
        if _is_ours(line)
    ]


def _is_ours(line: str) -> bool:
    program, _, _ = line.partition(" ")
    return program in {*PROGRAMS, "make"} and "NAME" not in line and "..." not in line


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_its_commands_exist_with_their_options(page: Path) -> None:
    for program, *given in commands(page):
        if program == "make":
            assert given[0] in TARGETS
            continue
        arguments = given
        command: click.Command = PROGRAMS[program]
        context = click.Context(command, info_name=program)
        while isinstance(command, click.Group) and arguments and arguments[0][0] != "-":
            name, command, arguments = command.resolve_command(context, arguments)
            context = click.Context(command, info_name=name, parent=context)
        # Without arguments a sentence only speaks of it; --help and --version end there.
        with suppress(click.exceptions.Exit):
            if arguments:
                command.parse_args(context, list(arguments))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_its_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not link.startswith(("http://", "https://", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), link


def test_its_python_is_python() -> None:
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            source = block if not block.startswith("    ") else f"x = {{{block}}}"
            compile(source, str(page), "exec")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 200
