"""`.bruin.yml`: its environments, and the connections of the one that is chosen."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ecommerce_dagster.bruin.model.asset import Settings, Text, as_text
from ecommerce_dagster.bruin.model.connections import Connection, UnusableConnection
from ecommerce_dagster.bruin.model.lakehouse import lint_lakehouse
from ecommerce_dagster.bruin.model.platforms import PLATFORM_ALIASES, PLATFORMS, keys_of
from ecommerce_dagster.bruin.problems import TYPING_ERROR, ProblemLog, did_you_mean, listed, nearest
from ecommerce_dagster.bruin.yaml.located import YamlList, YamlMapping
from ecommerce_dagster.bruin.yaml.node import Node, filled
from ecommerce_dagster.bruin.yaml.parsing import parse, parse_file
from ecommerce_dagster.bruin.yaml.reader import read_mapping

_RULE = "valid-connection"
# The variable that holds the text of `.bruin.yml`; as the name of a file it stands for that.
CONFIG_CONTENT = "BRUIN_CONFIG_FILE_CONTENT"


class _Environment(Node):
    label = "an environment"
    separable = True
    secret = True

    schema_prefix: Text = ""
    fallback_environment: Text = ""
    config: Settings = Field(default_factory=dict)
    connections: Settings = Field(default_factory=dict, repr=False)


class _ConfigFile(Node):
    label = "a configuration"
    separable = True
    secret = True

    default_environment: Text = "default"
    environments: Annotated[dict[str, _Environment], BeforeValidator(filled)] = Field(
        default_factory=dict
    )


@dataclass(frozen=True)
class Connections:
    """The connections of one environment."""

    environment: str = "default"
    schema_prefix: str = ""
    full_refresh_restricted: bool = False
    by_name: Mapping[str, Connection] = field(default_factory=dict)
    path: Path | None = None
    line: int = 1

    def get(self, name: str) -> Connection:
        """The connection called `name`. Raises UnusableConnection with the nearest known name."""
        found = self.by_name.get(name)
        if found is not None:
            return found
        if self.path is None:
            raise UnusableConnection(f"the connection '{name}' needs a .bruin.yml; there is none")
        raise UnusableConnection(
            f"{self.path}:{self.line}: no connection '{name}' in the environment "
            f"'{self.environment}'; {did_you_mean(name, self.by_name)}"
        )


def read_connections(path: Path | None, environment: str | None, log: ProblemLog) -> Connections:
    """The connections of `environment` (or the default one) of the file, if there is a file."""
    config = _parsed(path, log) if path is not None else None
    if config is None:
        return Connections(environment or "default", path=path)
    name = environment or config.default_environment
    chosen = config.environments.get(name)
    if chosen is None:
        hint = did_you_mean(name, config.environments)
        at = config.at("environments" if environment else "default_environment")
        log.error(*at, "valid-environment", f"there is no environment '{name}'; {hint}")
        # Not to report every connection as missing because of one wrong word.
        chosen = config.environments.get(config.default_environment, _Environment())
    prefix = chosen.schema_prefix
    by_name = _by_name(_entries(chosen, log), log)
    return Connections(
        environment=name,
        schema_prefix=f"{prefix.removesuffix('_')}_" if prefix else "",
        full_refresh_restricted=str(chosen.config.get("full_refresh_restricted")).lower() == "true",
        by_name=_with_fallback(by_name, chosen, name, config, log),
        path=path,
        line=config.at("environments", name).line,
    )


def _with_fallback(
    by_name: dict[str, Connection],
    chosen: _Environment,
    name: str,
    config: _ConfigFile,
    log: ProblemLog,
) -> dict[str, Connection]:
    """The connections of an environment, with those of its `fallback_environment` whose tables they
    read where they have none themselves."""
    fallback = chosen.fallback_environment
    if not fallback:
        return by_name
    at = chosen.at("fallback_environment")
    other = config.environments.get(fallback)
    if other is None or fallback == name:
        known = [each for each in config.environments if each != name]
        hint = did_you_mean(fallback, known)
        log.error(*at, "valid-environment", f"there is no other environment '{fallback}'; {hint}")
        return by_name
    theirs = _by_name(_entries(other, ProblemLog()), ProblemLog())
    found = dict(by_name)
    for connection in by_name.values():
        second = theirs.get(connection.name)
        if second is None or second.settings == connection.settings:
            continue
        if connection.is_file and second.is_file:
            found[connection.name] = replace(connection, fallback=second)
        elif connection.platform in {"duckdb", "postgres"}:
            log.warning(
                *at,
                _RULE,
                f"tables of '{connection.name}' that are missing are not read from '{fallback}', "
                "as one of the two is no DuckDB file; use a schema_prefix in the same database",
            )
    return found


def _parsed(path: Path, log: ProblemLog) -> _ConfigFile | None:
    if path.name != CONFIG_CONTENT:
        return parse_file(_ConfigFile, path, log)
    data = read_mapping(os.environ.get(CONFIG_CONTENT, ""), path, log)
    return parse(_ConfigFile, data, log) if data is not None else None


def default_connection_name(platform: str, defaults: Mapping[str, Any]) -> str:
    """The name of a platform's connection where an asset names none."""
    for key in (platform, *_aliases(platform)) if defaults else ():
        if defaults.get(key):
            return str(defaults[key])
    return f"{platform}-default"


def _aliases(platform: str) -> list[str]:
    return [alias for alias, name in PLATFORM_ALIASES.items() if name == platform]


def _entries(environment: _Environment, log: ProblemLog) -> Iterator[Connection]:
    """Each entry of each platform's list, after reporting those that are none."""
    for kind, entries in environment.connections.items():
        at = environment.at("connections", kind)
        platform = PLATFORM_ALIASES.get(kind, kind)
        if nearest(platform, PLATFORMS, TYPING_ERROR) and platform not in PLATFORMS:
            message = f"unknown platform '{kind}'; {did_you_mean(kind, PLATFORMS)}"
            log.error(*at, _RULE, message)
        if not isinstance(entries, YamlList | None):
            message = f"'{kind}' must be a list of connections (`- name: ...` lines)"
            log.error(*at, _RULE, message)
            continue
        for entry, entry_at in zip(entries or (), entries.item_at if entries else (), strict=True):
            name = as_text(entry.get("name")) if isinstance(entry, YamlMapping) else None
            if not isinstance(name, str) or not name:
                message = f"each connection below '{kind}' needs a 'name'"
                log.error(*entry_at, _RULE, message)
                continue
            connection = Connection(name, platform, entry, *entry_at, kind)
            _lint_keys(entry, name, keys_of(connection.type), log)
            if connection.type == "duckdb":
                lint_lakehouse(entry, name, log)
            yield connection


def _by_name(connections: Iterator[Connection], log: ProblemLog) -> dict[str, Connection]:
    found: dict[str, Connection] = {}
    for connection in connections:
        first = found.setdefault(connection.name, connection)
        if first is not connection:
            message = (
                f"the connection '{first.name}' stands here and in line {first.line}; rename one"
            )
            log.error(connection.path, connection.line, _RULE, message)
    return found


def _lint_keys(entry: YamlMapping, name: str, known: frozenset[str], log: ProblemLog) -> None:
    """Report misspelt keys: a connection without its `password` fails far from here."""
    for key in entry if known else ():
        if key in known:
            continue
        at = entry.key_at[key]
        shown = f"key '{key}'" if re.fullmatch(r"\w+", key) else "key"
        match = nearest(key, known, TYPING_ERROR)
        if match:
            message = f"unknown {shown} in the connection '{name}'; did you mean '{match}'?"
            log.error(*at, _RULE, message)
        else:
            message = f"unknown {shown} in the connection '{name}' is ignored; known: "
            log.warning(*at, _RULE, message + listed(known))
