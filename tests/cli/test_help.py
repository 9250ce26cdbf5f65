"""Every command explains itself, at once."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from orchestration.helpers import ROOT, script

from ecommerce_dagster.cli.help_sections import LONGEST_SENTENCE
from ecommerce_dagster.shop.commands import main


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command: (), ("run",), ("new", "asset"), ..."""
    yield path
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", list(commands(main)), ids=" ".join)
class TestEveryCommand:
    def test_its_help_has_an_example_of_itself(self, path: tuple[str, ...]) -> None:
        result = CliRunner().invoke(main, [*path, "--help"], prog_name="ecommerce")
        assert result.exit_code == 0
        usage, _, examples = result.output.partition("Examples:")
        assert f"  {' '.join(('ecommerce', *path))}" in examples
        assert usage.startswith("Usage: ecommerce")

    @pytest.mark.parametrize("columns", [80, 120])
    def test_no_line_of_its_help_is_cut_or_too_long(
        self, path: tuple[str, ...], columns: int
    ) -> None:
        result = CliRunner(env={"COLUMNS": str(columns)}).invoke(main, [*path, "--help"])
        usage, *lines = result.output.splitlines()
        assert max(map(len, [usage, *lines])) <= columns
        assert "..." not in "".join(lines)

    def test_its_help_has_a_sentence_for_every_option(self, path: tuple[str, ...]) -> None:
        command: click.Command = main
        for name in path:
            assert isinstance(command, click.Group)
            command = command.commands[name]
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in {"days", "port"}:
                says = option.help or isinstance(option.type, click.Choice | click.IntRange)
                assert says, f"{' '.join(path)} {option.opts}"


def test_commands_are_listed_in_sections_each_with_its_whole_first_sentence() -> None:
    text = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["--help"]).output
    listed = re.split(r"(?m)^(\w[\w ]*):\n", text.partition("Examples:")[0])[1:]
    sections = {
        title: re.findall(r"(?m)^  (\S+) +(\S.*)$", lines)
        for title, lines in zip(listed[::2], listed[1::2], strict=True)
    }
    del sections["Options"]
    assert list(sections) == ["Run", "Look", "Write", "Set up"]
    found = {name: sentence for rows in sections.values() for name, sentence in rows}
    assert found.keys() == main.commands.keys()
    for name, sentence in found.items():
        assert sentence[-1] == "."
        assert len(sentence) <= LONGEST_SENTENCE
        assert sentence in " ".join((main.commands[name].help or "").split())


def test_the_commands_of_the_makefile_and_the_readme_exist() -> None:
    assert {("demo",), ("dev",), ("run",), ("query",), ("validate",)} <= set(commands(main))


def test_help_imports_neither_dagster_nor_duckdb() -> None:
    code = (
        "import sys\n"
        "from ecommerce_dagster.shop.commands import main\n"
        "sys.argv = ['ecommerce', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True
    )
    assert "Usage:" in run.stdout
    loaded = set(run.stderr.split())
    assert not loaded & {"dagster", "duckdb", "psycopg", "sqlglot", "jinja2", "sqlalchemy"}


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["run", "--nonsense"], ["query"], ["--days", "3"]]
)
def test_what_is_no_command_is_a_usage_error(arguments: list[str]) -> None:
    run = subprocess.run(
        [script("ecommerce"), *arguments], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert "Usage: ecommerce" in run.stderr


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    result = CliRunner().invoke(main, ["--version"])
    assert version("ecommerce-dagster") in result.output
