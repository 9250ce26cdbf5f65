"""Servers on this machine that a pipeline needs, such as the demonstration's PostgreSQL.

The package of such a pipeline registers them in `local_services`, by the pipeline's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class LocalServices:
    """How commands get what a pipeline needs on this machine.

    Attributes:
        resources: Resources in place of connections that are not configured, by resource key.
        running: Starts what Dagster's UI needs, and stops it afterwards.
        asked: Starts what reading the connection of this name needs, and stops it afterwards.
        joined: Makes connections usable whose local servers run already, and starts none;
            gives the names of those whose servers do not run.
    """

    resources: Callable[[], Mapping[str, Any]] = dict
    running: Callable[[], AbstractContextManager[None]] = nullcontext
    asked: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext()
    joined: Callable[[], AbstractContextManager[frozenset[str]]] = lambda: nullcontext(frozenset())


# By the folders of their pipelines.
local_services: dict[Path, LocalServices] = {}


def local_services_of(folder: Path) -> LocalServices:
    """The services of the pipeline in a folder; most need none."""
    return local_services.get(folder, LocalServices())
