"""A connection of `.bruin.yml`, with `${VAR}` filled in when it is used.

Values are expanded late: a code location loads, and its tables can be looked at, on a machine that
does not know every secret. No message and no repr shows a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ecommerce_dagster.bruin.model.asset import as_text
from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse, read_lakehouse
from ecommerce_dagster.bruin.model.platforms import LONGEST_NAME, PLATFORMS, keys_of
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.bruin.paths import portable
from ecommerce_dagster.bruin.problems import did_you_mean, printable
from ecommerce_dagster.errors import ConfigurationError

# `$VAR` counts only as a whole value: a password may contain a dollar sign.
_VARIABLE = re.compile(r"\$\{(\w+)\}|^\$(\w+)$")
_MOTHERDUCK = ("md:", "motherduck:")
_TOKENS = ("MOTHERDUCK_TOKEN", "motherduck_token")
_TOKEN_IN_PATH = re.compile(r"&motherduck_token=([^&]*)|(?<=\?)motherduck_token=([^&]*)&?")
_SSL_MODES = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}


class UnusableConnection(ConfigurationError):
    """A connection that cannot be used: its text says which, where it stands and why."""


@dataclass(frozen=True)
class DuckDBConnection:
    """A DuckDB database: a file, one of MotherDuck, or the DuckLake that is attached to it.

    The path of one of MotherDuck is `md:NAME`, and `token` logs in there. Tables that a file does
    not have are read from the file at `fallback`.
    """

    path: str
    read_only: bool = False
    lakehouse: Lakehouse | None = None
    token: str = field(default="", repr=False)
    fallback: str = ""

    @property
    def motherduck_database(self) -> str | None:
        """The name of the database in MotherDuck; None for one that is elsewhere."""
        is_there = self.path.startswith(_MOTHERDUCK)
        return self.path.partition(":")[2].partition("?")[0] if is_there else None


@dataclass(frozen=True)
class Connection:
    """One entry of `.bruin.yml` as written, before `${VAR}` is expanded.

    `kind` is what its list is called. Tables that it does not have are those of `fallback`.
    """

    name: str
    platform: str
    settings: Mapping[str, Any] = field(repr=False)
    path: Path
    line: int
    kind: str = ""
    fallback: Connection | None = None

    @property
    def is_file(self) -> bool:
        """Whether its tables are in a DuckDB file."""
        return self.platform == "duckdb" and not self.is_lakehouse and not self.is_motherduck

    @property
    def type(self) -> str:
        """The kind of connection as Bruin calls it: the platform, or motherduck."""
        return "motherduck" if self.kind == "motherduck" else self.platform

    @property
    def is_motherduck(self) -> bool:
        """Whether its tables are in MotherDuck."""
        is_path = self.platform == "duckdb" and not self.is_lakehouse
        written = str(self.settings.get("path")) if is_path else ""
        return self.type == "motherduck" or written.startswith(_MOTHERDUCK)

    @property
    def is_lakehouse(self) -> bool:
        """Whether its tables are those of a DuckLake."""
        return self.settings.get("lakehouse") is not None

    @property
    def lacks(self) -> str | None:
        """What must be written and is not, or is too long, as a sentence; None when nothing."""
        known = None if self.is_lakehouse else PLATFORMS.get(self.type)
        required = known.required if known is not None else ()
        missing = [f"'{key}'" for key in required if self.settings.get(key) in (None, "")]
        if missing:
            return f"the connection '{self.name}' needs {', '.join(missing)}"
        too_long = _too_long(self.settings.get("schema")) if self.platform == "postgres" else None
        return f"the connection '{self.name}' {too_long}" if too_long else None

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
        schema = values.get("schema") or "public"
        if too_long := _too_long(schema):
            raise self._unusable(too_long)
        return PostgresConnection(
            host=values["host"],
            port=int(port),
            database=values["database"],
            user=values["username"],
            password=values.get("password") or "",
            schema=schema,
            ssl_mode=ssl_mode,
        )

    def duckdb(self, variables: Mapping[str, str] | None) -> DuckDBConnection:
        """This connection as a DuckDB database; a relative path counts from `.bruin.yml`.

        Raises UnusableConnection.
        """
        if self.is_motherduck:
            return self._motherduck(variables)
        required = () if self.is_lakehouse else PLATFORMS["duckdb"].required
        values = self.texts(variables, *required)
        path, read_only = values.get("path") or ":memory:", values.get("read_only") or "false"
        if read_only.lower() not in {"true", "false"}:
            raise self._unusable(f"is read_only: '{read_only}'; expected true or false")
        if path != ":memory:":
            path = self.place_of(path)
        lakehouse = self._lakehouse(variables) if self.is_lakehouse else None
        second = self.fallback.duckdb(variables).path if self.fallback else path
        fallback = second if second != path else ""
        return DuckDBConnection(path, read_only.lower() == "true", lakehouse, fallback=fallback)

    def _motherduck(self, variables: Mapping[str, str] | None) -> DuckDBConnection:
        """A database of MotherDuck, which is called `my_db` where no name is written. Without a
        token, which opening it needs, the rest is known all the same."""
        settings = dict(self.settings)
        token, path = settings.pop("token", None), str(settings.get("path") or "md:")
        if found := _TOKEN_IN_PATH.search(path):
            token, settings["path"] = found[1] or found[2], path.replace(found[0], "")
        values = replace(self, settings=settings).texts(variables)
        known = os.environ if variables is None else variables
        token = _Expansion(known).of(token) or next(filter(None, map(known.get, _TOKENS)), "")
        name, _, options = values.get("path", "").partition(":")[2].partition("?")
        path = f"md:{values.get('database') or name or 'my_db'}{'?' if options else ''}{options}"
        read_only = values.get("read_only", "").lower() == "true"
        return DuckDBConnection(path, read_only, None, str(token))

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
            return str((self.path.parent / Path(portable(path)).expanduser()).resolve())
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
        known = keys_of(self.type)
        for key in values.keys() & known - {"lakehouse"}:
            if isinstance(values[key], dict | list):
                raise self._unusable(f"has a {key} that is not a plain value")
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


def _too_long(schema: object) -> str | None:
    """What is wrong with a schema of which PostgreSQL would cut the name."""
    size = len(str(schema or "").encode())
    if size <= LONGEST_NAME:
        return None
    return (
        f"has the schema '{schema}' of {size} bytes, and PostgreSQL keeps {LONGEST_NAME}; "
        "give it a shorter one"
    )
