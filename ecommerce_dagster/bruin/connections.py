"""`.bruin.yml`: environments and their connections, with `${VAR}` filled in when one is used.

Values are expanded late: a code location loads, and its tables can be looked at, on a machine that
does not know every secret. No message and no repr shows a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BeforeValidator, Field

from ecommerce_dagster.bruin.lakehouse import (
    CatalogFile,
    Lakehouse,
    lint_lakehouse,
    read_lakehouse,
)
from ecommerce_dagster.bruin.located import YamlList, YamlMapping
from ecommerce_dagster.bruin.models import Settings, Text, as_text
from ecommerce_dagster.bruin.node import Node, filled
from ecommerce_dagster.bruin.parsing import parse, parse_file
from ecommerce_dagster.bruin.platforms import PLATFORM_ALIASES, PLATFORMS
from ecommerce_dagster.bruin.problems import (
    TYPING_ERROR,
    ProblemLog,
    did_you_mean,
    listed,
    nearest,
    printable,
)
from ecommerce_dagster.bruin.yaml_source import read_mapping

# `$VAR` counts only as a whole value: a password may contain a dollar sign.
_VARIABLE = re.compile(r"\$\{(\w+)\}|^\$(\w+)$")
_RULE = "valid-connection"
# The variable that holds the text of `.bruin.yml`; as the name of a file it stands for that.
CONFIG_CONTENT = "BRUIN_CONFIG_FILE_CONTENT"
_SSL_MODES = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}


class UnusableConnection(Exception):
    """A connection that cannot be used: its text says which, where it stands and why."""


class _Environment(Node):
    label = "an environment"
    separable = True
    secret = True

    schema_prefix: Text = ""
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
class PostgresConnection:
    """Where a PostgreSQL database is and who asks. Never shows its password."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False, default="")
    schema: str = "public"
    ssl_mode: str = "prefer"

    @property
    def dsn(self) -> str:
        """For drivers only: holds the password."""
        user, password, host, database = (
            quote(part, safe="") for part in (self.user, self.password, self.host, self.database)
        )
        if ":" in self.host:
            host = f"[{self.host}]"
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@{host}:{self.port}/{database}?sslmode={self.ssl_mode}"

    @property
    def parameters(self) -> dict[str, Any]:
        """For psycopg only: holds the password."""
        return {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "password": self.password,
            "sslmode": self.ssl_mode,
        }

    @property
    def address(self) -> str:
        """For people: host, port and database."""
        return f"{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True)
class DuckDBConnection:
    """A DuckDB database: a file, MotherDuck (`md:`), or the DuckLake that is attached to it."""

    path: str
    read_only: bool = False
    lakehouse: Lakehouse | None = None


@dataclass(frozen=True)
class Connection:
    """One entry of `.bruin.yml` as written, before `${VAR}` is expanded."""

    name: str
    platform: str
    settings: Mapping[str, Any] = field(repr=False)
    path: Path
    line: int

    @property
    def is_lakehouse(self) -> bool:
        """Whether its tables are those of a DuckLake."""
        return self.settings.get("lakehouse") is not None

    @property
    def lacks(self) -> str | None:
        """What must be written and is not, as a sentence; None when nothing is missing."""
        known = None if self.is_lakehouse else PLATFORMS.get(self.platform)
        required = known.required if known is not None else ()
        missing = [f"'{key}'" for key in required if self.settings.get(key) in (None, "")]
        return f"the connection '{self.name}' needs {', '.join(missing)}" if missing else None

    def expanded(self, variables: Mapping[str, str] | None) -> dict[str, Any]:
        """The settings with every `${VAR}` filled in; None when they are already. Raises
        UnusableConnection."""
        if variables is None:
            return dict(self.settings)
        expansion = _Expansion(variables)
        values = {key: expansion.of(value) for key, value in self.settings.items()}
        if expansion.missing:
            names = ", ".join(dict.fromkeys(expansion.missing))
            raise self._unusable(f"needs {names}; set it in the environment or in .env")
        for key, value in self.settings.items():
            if isinstance(value, str) and "${" in _VARIABLE.sub("", value):
                raise self._unusable(f"has a {key} that cannot be filled in; write ${{NAME}}")
        return values

    def postgres(self, variables: Mapping[str, str]) -> PostgresConnection:
        """This connection as a PostgreSQL database. Raises UnusableConnection."""
        return self._postgres(self.texts(variables, *PLATFORMS["postgres"].required))

    def _postgres(self, values: Mapping[str, str]) -> PostgresConnection:
        port = values.get("port") or "5432"
        if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            raise self._unusable(f"has the port '{port}'; expected a number from 1 to 65535")
        # Bruin's default `allow` and libpq's `prefer` both use TLS when it is there.
        ssl_mode = values.get("ssl_mode") or "prefer"
        if ssl_mode not in _SSL_MODES:
            hint = did_you_mean(ssl_mode, _SSL_MODES)
            raise self._unusable(f"has the ssl_mode '{ssl_mode}'; {hint}")
        return PostgresConnection(
            host=values["host"],
            port=int(port),
            database=values["database"],
            user=values["username"],
            password=values.get("password") or "",
            schema=values.get("schema") or "public",
            ssl_mode=ssl_mode,
        )

    def duckdb(self, variables: Mapping[str, str] | None) -> DuckDBConnection:
        """This connection as a DuckDB database; a relative path counts from `.bruin.yml`.

        Raises UnusableConnection.
        """
        required = () if self.is_lakehouse else PLATFORMS["duckdb"].required
        values = self.texts(variables, *required)
        path, read_only = values.get("path") or ":memory:", values.get("read_only") or "false"
        if read_only.lower() not in {"true", "false"}:
            raise self._unusable(f"is read_only: '{read_only}'; expected true or false")
        if path != ":memory:" and not path.startswith("md:"):
            path = self.place_of(path)
        lakehouse = self._lakehouse(variables) if self.is_lakehouse else None
        return DuckDBConnection(path, read_only.lower() == "true", lakehouse)

    def _lakehouse(self, variables: Mapping[str, str] | None) -> Lakehouse:
        settings, complaints = read_lakehouse(self.expanded(variables)["lakehouse"])
        for _, complaint in complaints:
            raise self._unusable(complaint)
        catalog: PostgresConnection | CatalogFile
        if settings["catalog.type"] == "postgres":
            parts = (key.split(".") for key in settings if key.startswith("catalog."))
            catalog = self._postgres({p[-1]: settings[".".join(p)] for p in parts})
        else:
            catalog = CatalogFile(settings["catalog.type"], self.place_of(settings["catalog.path"]))
        path, store = settings["storage.path"], settings.store()
        return Lakehouse(
            catalog=catalog,
            data_path=path if store else self.place_of(path),
            schema=settings["catalog.metadata_schema"] or "public",
            store=store,
        )

    def place_of(self, path: str) -> str:
        """The whole path of a file or a folder; a relative one counts from `.bruin.yml`. Raises
        UnusableConnection."""
        try:
            return str((self.path.parent / Path(path).expanduser()).resolve())
        except (OSError, RuntimeError, ValueError):
            message = f"has the path '{printable(path)}', which no file can have"
            raise self._unusable(message) from None

    def texts(self, variables: Mapping[str, str] | None, *required: str) -> dict[str, str]:
        """The settings as texts, those without a value left out. Raises UnusableConnection, also
        when one that is required is among these."""
        values = self.expanded(variables)
        missing = [key for key in required if values.get(key) is None or values[key] == ""]
        if missing:
            raise self._unusable(f"has no {', '.join(missing)}")
        known = PLATFORMS[self.platform].keys if self.platform in PLATFORMS else frozenset()
        for key in values.keys() & known - {"lakehouse"}:
            if isinstance(values[key], dict | list):
                raise self._unusable(f"has a {key} that is no plain value")
        return {key: str(as_text(value)) for key, value in values.items() if value is not None}

    def _unusable(self, why: str) -> UnusableConnection:
        return UnusableConnection(f"{self.path}:{self.line}: the connection '{self.name}' {why}")


@dataclass
class _Expansion:
    variables: Mapping[str, str]
    missing: list[str] = field(default_factory=list)

    def of(self, value: Any) -> Any:
        if isinstance(value, str):
            return _VARIABLE.sub(self._fill, value)
        if isinstance(value, Mapping):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item) for item in value]
        return value

    def _fill(self, match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in self.variables:
            self.missing.append(name)
        return self.variables.get(name, "")


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
    return Connections(
        environment=name,
        schema_prefix=f"{prefix.removesuffix('_')}_" if prefix else "",
        full_refresh_restricted=str(chosen.config.get("full_refresh_restricted")).lower() == "true",
        by_name=_by_name(_entries(chosen, log), log),
        path=path,
        line=config.at("environments", name).line,
    )


def _parsed(path: Path, log: ProblemLog) -> _ConfigFile | None:
    if path.name != CONFIG_CONTENT:
        return parse_file(_ConfigFile, path, log)
    data = read_mapping(os.environ.get(CONFIG_CONTENT, ""), path, log)
    return parse(_ConfigFile, data, log) if data is not None else None


def default_connection_name(platform: str, defaults: Mapping[str, Any]) -> str:
    """The name of a platform's connection where an asset names none."""
    for key in (platform, *(alias for alias, name in PLATFORM_ALIASES.items() if name == platform)):
        if defaults.get(key):
            return str(defaults[key])
    return f"{platform}-default"


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
            _lint_keys(entry, name, platform, log)
            if platform == "duckdb":
                lint_lakehouse(entry, name, log)
            yield Connection(name, platform, entry, *entry_at)


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


def _lint_keys(entry: YamlMapping, name: str, platform: str, log: ProblemLog) -> None:
    """Report misspelt keys: a connection without its `password` fails far from here."""
    if platform not in PLATFORMS:
        return
    known = PLATFORMS[platform].keys
    for key in entry:
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
