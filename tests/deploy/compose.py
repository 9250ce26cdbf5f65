"""docker-compose.yml as Docker reads it: the command, the variables and the health of a service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from orchestration.helpers import ROOT

_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])((?:[^${}]|\$\{[^}]*\})*))?\})")


class NotSet(Exception):
    """A variable without a default is not set; the text is the file's own."""


@dataclass(frozen=True)
class Service:
    """What Docker would start."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    health: tuple[str, ...]


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """The services of docker-compose.yml where the user has set `variables`. Raises NotSet."""
    file = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return {
        name: Service(
            name=name,
            command=tuple(filled(written.get("command", []), variables)),
            environment={
                key: str(value)
                for key, value in filled(written.get("environment", {}), variables).items()
            },
            health=tuple(filled(written.get("healthcheck", {}).get("test", []), variables)),
        )
        for name, written in file["services"].items()
    }


def filled(value: Any, variables: Mapping[str, str]) -> Any:
    """A value of the file with its `${VARIABLE:-default}` filled in."""
    if isinstance(value, Mapping):
        return {key: filled(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, how, rest = match.groups()
        if name is None:
            return "$"
        if variables.get(name):
            return variables[name]
        if how == "?":
            raise NotSet(rest)
        return str(filled(rest or "", variables))

    return _VARIABLE.sub(fill, value)
