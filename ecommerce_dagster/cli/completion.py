"""What a shell completes: names of assets, tags and connections of the pipeline here, and files.

A shell runs the command for each press of Tab. Dagster is not imported for it, and whatever goes
wrong completes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

import click
from click.shell_completion import CompletionItem, get_completion_class

SHELLS = ("bash", "zsh", "fish")


def script_for(shell: str, command: click.Command) -> str:
    """What a shell has to evaluate to complete the arguments of `ecommerce`."""
    kind = get_completion_class(shell)
    assert kind is not None
    return kind(command, {}, "ecommerce", "_ECOMMERCE_COMPLETE").source()


class Name(click.ParamType):  # type: ignore[type-arg]  # it takes none before click 8.4
    """The type of arguments that name something in a pipeline."""

    name = "text"

    def __init__(self, of: Literal["asset", "tag", "connection"], *, or_file: bool = False) -> None:
        self._of, self._or_file = of, or_file

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so; files when there is none and the argument may be one."""
        found: list[CompletionItem] = []
        # A traceback would be written into the line that is typed.
        with suppress(Exception):
            names = sorted({name for name in self._known(ctx) if name.startswith(incomplete)})
            found = [CompletionItem(name) for name in names]
        if found or not self._or_file:
            return found
        return [CompletionItem(incomplete, type="file")]

    def _known(self, context: click.Context) -> Iterable[str]:
        from ecommerce_dagster.cli.workspace import readable_project

        which = ("pipeline", "config_file", "environment", "variant")
        options = {name: context.params.get(name) for name in which}
        project, _ = readable_project({**options, "variables": ()})
        if self._of == "connection":
            return project.connections.by_name
        if self._of == "tag":
            return [tag for asset in project.assets for tag in asset.tags]
        return project.by_name
