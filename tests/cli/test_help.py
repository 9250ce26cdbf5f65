"""Every command explains itself, at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from orchestration.helpers import ROOT, script

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

    def test_its_help_has_a_sentence_for_every_option(self, path: tuple[str, ...]) -> None:
        command: click.Command = main
        for name in path:
            assert isinstance(command, click.Group)
            command = command.commands[name]
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in {"days", "port"}:
                says = option.help or isinstance(option.type, click.Choice | click.IntRange)
                assert says, f"{' '.join(path)} {option.opts}"


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
