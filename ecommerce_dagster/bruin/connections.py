"""`.bruin.yml`: environments and their connections, with `${VAR}` filled in when one is used.

Values are expanded late: a code location loads, and its tables can be looked at, on a machine that
does not know every secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BeforeValidator, Field

from ecommerce_dagster.bruin.models import Node, Settings, Text
from ecommerce_dagster.bruin.parsing import parse_file
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PLATFORMS = {"duckdb": "duckdb-default", "postgres": "postgres-default"}
_ALIASES = {"pg": "postgres", "postgresql": "postgres"}


class UnusableConnection(Exception):
    """A connection that cannot be used: its text says which, where it stands and why."""


class _Environment(Node):
    schema_prefix: Text = ""
    config: Settings = {}
    connections: Annotated[
        dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)
    ] = Field(default={}, repr=False)

    @classmethod
    def label(cls) -> str:
        return "an environment"


class _ConfigFile(Node):
    default_environment: Text = "default"
    environments: Annotated[
        dict[str, _Environment], BeforeValidator(lambda value: {} if value is None else value)
    ] = {}

    @classmethod
    def label(cls) -> str:
        return ".bruin.yml"


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
        secret = f":{quote(self.password, safe='')}" if self.password else ""
        return (
            f"postgresql://{quote(self.user, safe='')}{secret}@{self.host}:{self.port}"
            f"/{quote(self.database, safe='')}?sslmode={self.ssl_mode}"
        )

    @property
    def address(self) -> str:
        """For people: host, port and database."""
        return f"{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True)
class DuckDBConnection:
    """A DuckDB database file."""

    path: str
    read_only: bool = False


@dataclass(frozen=True)
class Connection:
    """One entry of `.bruin.yml` as written, before `${VAR}` is expanded."""

    name: str
    platform: str
    settings: Mapping[str, Any] = field(repr=False)
    path: Path
    line: int

    def expanded(self, variables: Mapping[str, str]) -> dict[str, Any]:
        """The settings with every `${VAR}` filled in. Raises UnusableConnection naming the missing."""
        missing: list[str] = []

        def fill(match: re.Match[str]) -> str:
            name = match.group(1) or match.group(2)
            if variables.get(name) is None:
                missing.append(name)
            return variables.get(name) or ""

        values = {
            key: _VARIABLE.sub(fill, value) if isinstance(value, str) else value
            for key, value in self.settings.items()
        }
        if missing:
            names = ", ".join(dict.fromkeys(missing))
            raise UnusableConnection(
                f"{self.path}:{self.line}: the connection '{self.name}' needs {names}; "
                "set it in the environment or in .env"
            )
        return values

    def postgres(self, variables: Mapping[str, str]) -> PostgresConnection:
        """This connection as a PostgreSQL database."""
        values = self.expanded(variables)
        self._require(values, "host", "database", "username")
        port = str(values.get("port") or 5432)
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise UnusableConnection(
                f"{self.path}:{self.line}: the port of '{self.name}' is '{port}'; expected a number"
            )
        return PostgresConnection(
            host=str(values["host"]),
            port=int(port),
            database=str(values["database"]),
            user=str(values["username"]),
            password=str(values.get("password") or ""),
            schema=str(values.get("schema") or "public"),
            # Bruin's default `allow` and libpq's `prefer` both use TLS when it is there.
            ssl_mode=str(values.get("ssl_mode") or "prefer"),
        )

    def duckdb(self, variables: Mapping[str, str]) -> DuckDBConnection:
        """This connection as a DuckDB file; a relative path counts from `.bruin.yml`."""
        values = self.expanded(variables)
        self._require(values, "path")
        path = str(values["path"])
        if path != ":memory:" and not path.startswith("md:"):
            path = str((self.path.parent / Path(path).expanduser()).resolve())
        return DuckDBConnection(path, bool(values.get("read_only") or False))

    def _require(self, values: Mapping[str, Any], *keys: str) -> None:
        missing = [key for key in keys if not values.get(key)]
        if missing:
            raise UnusableConnection(
                f"{self.path}:{self.line}: the connection '{self.name}' has no {', '.join(missing)}"
            )


@dataclass(frozen=True)
class Connections:
    """The connections of one environment."""

    environment: str = "default"
    schema_prefix: str = ""
    full_refresh_restricted: bool = False
    by_name: Mapping[str, Connection] = field(default_factory=dict)
    path: Path | None = None

    def get(self, name: str) -> Connection:
        """The connection called `name`. Raises UnusableConnection with the nearest known name."""
        found = self.by_name.get(name)
        if found is None:
            where = self.path or "there is no .bruin.yml"
            raise UnusableConnection(
                f"{where}: no connection '{name}' in the environment '{self.environment}'; "
                f"{did_you_mean(name, self.by_name)}"
            )
        return found


def read_connections(path: Path | None, environment: str | None, log: ProblemLog) -> Connections:
    """The connections of `environment` (or the default one) of the file, if there is a file."""
    if path is None:
        return Connections(environment or "default")
    config = parse_file(_ConfigFile, path, log)
    if config is None:
        return Connections(environment or "default", path=path)
    name = environment or config.default_environment
    chosen = config.environments.get(name)
    if chosen is None:
        hint = did_you_mean(name, config.environments)
        log.error(path, config.line, "valid-environment", f"no environment '{name}'; {hint}")
        return Connections(name, path=path)
    found: dict[str, Connection] = {}
    for kind, entries in chosen.connections.items():
        for entry in entries or []:
            if not isinstance(entry, dict) or not entry.get("name"):
                message = f"each connection below '{kind}' needs a 'name'"
                log.error(path, chosen.line, "valid-connection", message)
                continue
            line = getattr(entry, "line", chosen.line)
            platform = _ALIASES.get(kind, kind)
            found[entry["name"]] = Connection(entry["name"], platform, entry, path, line)
    prefix = chosen.schema_prefix
    return Connections(
        name,
        f"{prefix.removesuffix('_')}_" if prefix else "",
        bool(chosen.config.get("full_refresh_restricted")),
        found,
        path,
    )


def default_connection_name(platform: str, defaults: Mapping[str, Any]) -> str:
    """The name of a platform's connection where an asset names none."""
    for key in (platform, *(alias for alias, name in _ALIASES.items() if name == platform)):
        if defaults.get(key):
            return str(defaults[key])
    return _PLATFORMS.get(platform, f"{platform}-default")
