"""What some pipelines need beside their files. Who has such a pipeline registers its companion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Companion:
    """What a pipeline needs beside its files on this machine.

    Attributes:
        resources: Resources in place of connections that are not configured, by resource key.
        running: What has to run while Dagster's UI does.
        asked: What has to run while a command reads the connection of a name.
        joined: What makes connections usable whose local servers run already, and starts none;
            gives the names of those whose servers do not run.
    """

    resources: Callable[[], Mapping[str, Any]] = dict
    running: Callable[[], AbstractContextManager[None]] = nullcontext
    asked: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext()
    joined: Callable[[], AbstractContextManager[frozenset[str]]] = lambda: nullcontext(frozenset())


# By the folders of their pipelines.
companions: dict[Path, Companion] = {}


def companion_of(folder: Path) -> Companion:
    """The companion of the pipeline in a folder; most have none to speak of."""
    return companions.get(folder, Companion())
