"""How `--help` lists commands: in sections, each with its first sentence whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar, get_args

import click

Section = Literal["Run", "Look", "Write", "Set up", "Commands"]
# The first sentence of a command's help fits on a line of 80 beside the longest name.
LONGEST_SENTENCE = 55
# Lines of help are as long as the terminal allows, up to this.
WIDEST = 120

_C = TypeVar("_C", bound=click.Command)
_sections: dict[click.Command, Section] = {}


def under(section: Section) -> Callable[[_C], _C]:
    """Decorator: list a command in a section of the help."""

    def put(command: _C) -> _C:
        _sections[command] = section
        return command

    return put


class Commands(click.Group):
    """A group whose help lists its commands in sections; those without one under Commands."""

    group_class = type

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the lists. Called by click."""
        width = max(map(len, self.commands), default=0)
        for section in get_args(Section):
            rows = [
                (name.ljust(width), command.get_short_help_str(LONGEST_SENTENCE))
                for name, command in sorted(self.commands.items())
                if _sections.get(command, "Commands") == section
            ]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)
