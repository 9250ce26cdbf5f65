"""The `lakehouse` of a DuckDB connection: a DuckLake, which is Parquet files and a catalogue.

Its keys are Bruin's; `metadata_schema`, `ssl_mode`, `endpoint` and `url_style` are ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ecommerce_dagster.bruin.model.asset import as_text
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.bruin.problems import TYPING_ERROR, ProblemLog, did_you_mean, listed, nearest
from ecommerce_dagster.bruin.yaml.located import Position, YamlMapping

_RULE = "valid-connection"
_GROUPS = {"catalog", "catalog.auth", "storage", "storage.auth"}
_KEYS = {
    "format",
    "catalog.type", "catalog.path", "catalog.host", "catalog.port", "catalog.database",
    "catalog.metadata_schema", "catalog.ssl_mode", "catalog.auth.username", "catalog.auth.password",
    "storage.type", "storage.path", "storage.region", "storage.endpoint", "storage.url_style",
    "storage.auth.access_key", "storage.auth.secret_key", "storage.auth.session_token",
}  # fmt: skip
_NEEDED_BY_CATALOG = {
    "postgres": ("catalog.host", "catalog.database", "catalog.auth.username"),
    "duckdb": ("catalog.path",),
    "sqlite": ("catalog.path",),
}
# How the paths of each kind of storage begin.
_SCHEMES = {"s3": ("s3://",), "gcs": ("gs://", "gcs://"), "local": ("",)}
_URL_STYLES = ("path", "vhost")
_PAIR = ("storage.auth.access_key", "storage.auth.secret_key")

# A dotted key, and what is wrong with it, to go on after "the connection 'x'".
Complaint = tuple[str, str]


@dataclass(frozen=True)
class ObjectStore:
    """A store of objects and its credentials. Never shows its secrets."""

    kind: str
    region: str = ""
    endpoint: str = ""
    url_style: str = ""
    access_key: str = field(repr=False, default="")
    secret_key: str = field(repr=False, default="")
    session_token: str = field(repr=False, default="")


@dataclass(frozen=True)
class CatalogFile:
    """A catalogue in a file of DuckDB or SQLite (`kind`)."""

    kind: str
    path: str


@dataclass(frozen=True)
class Lakehouse:
    """A DuckLake: the database that knows its tables, and the folder that holds their rows.

    `schema` is where in PostgreSQL the catalogue is. `store` is None for a folder of the machine.
    """

    catalog: PostgresConnection | CatalogFile
    data_path: str
    schema: str = "public"
    store: ObjectStore | None = None

    @property
    def address(self) -> str:
        """For people: where the catalogue is and where the rows are."""
        catalog = self.catalog
        where = catalog.path if isinstance(catalog, CatalogFile) else catalog.address
        return f"{where}, with its rows in {self.data_path}"


class LakehouseSettings(dict[str, str]):
    """What stands in a lakehouse, by dotted keys (`catalog.auth.username`); empty without."""

    def __missing__(self, key: str) -> str:
        return ""

    @property
    def storage(self) -> str:
        """The kind of storage, by its path where the file does not say."""
        kinds = (k for k, known in _SCHEMES.items() if self["storage.path"].startswith(known))
        return self["storage.type"] or next(kinds)

    def complaints(self) -> Iterator[Complaint]:
        """What is wrong. A value with a `${VAR}` in it is taken to be right."""
        yield from self._word("format", ("ducklake",))
        yield from self._word("catalog.type", _NEEDED_BY_CATALOG)
        needed = (*_NEEDED_BY_CATALOG.get(self["catalog.type"], ()), "storage.path")
        missing = [key for key in needed if not self[key]]
        if missing:
            group = missing[0].partition(".")[0]
            yield group, f"needs {', '.join(missing)} in its lakehouse"
        if self["storage.path"]:
            yield from self._storage_complaints()

    def _storage_complaints(self) -> Iterator[Complaint]:
        path, kind = self["storage.path"], self.storage
        if self["storage.type"]:
            yield from self._word("storage.type", _SCHEMES)
        if kind in _SCHEMES and "${" not in path and not path.startswith(_SCHEMES[kind]):
            expected = " or ".join(_SCHEMES[kind])
            yield "storage.path", f"has a lakehouse in {kind} whose path must begin with {expected}"
        if self["storage.url_style"]:
            yield from self._word("storage.url_style", _URL_STYLES)
        if bool(self[_PAIR[0]]) != bool(self[_PAIR[1]]):
            yield "storage.auth", f"needs both {' and '.join(_PAIR)} in its lakehouse"

    def _word(self, key: str, known: Collection[str]) -> Iterator[Complaint]:
        word = self[key]
        if not word:
            around = key.rpartition(".")[0]
            yield around, f"has no {key} in its lakehouse; known: {', '.join(known)}"
        elif "${" not in word and word not in known:
            yield key, f"has the {key} '{word}' in its lakehouse; {did_you_mean(word, known)}"

    def store(self) -> ObjectStore | None:
        """The store of objects, if it is one."""
        if self.storage == "local":
            return None
        return ObjectStore(
            kind=self.storage,
            region=self["storage.region"],
            endpoint=self["storage.endpoint"],
            url_style=self["storage.url_style"] or ("path" if self["storage.endpoint"] else ""),
            access_key=self["storage.auth.access_key"],
            secret_key=self["storage.auth.secret_key"],
            session_token=self["storage.auth.session_token"],
        )


def read_lakehouse(written: Any) -> tuple[LakehouseSettings, list[Complaint]]:
    """The settings of a lakehouse, and all that is wrong with them. Unknown keys are left
    out."""
    found, complaints = LakehouseSettings(), []
    for key, value in _leaves("", written):
        if not key or key in _GROUPS:
            thing = key or "lakehouse"
            complaints.append((key, f"has a {thing} that must be a mapping (`key: value` lines)"))
        elif key in _KEYS and isinstance(value, Mapping | list):
            complaints.append((key, f"has a {key} in its lakehouse that must be a plain value"))
        elif key in _KEYS and value is not None:
            found[key] = str(as_text(value))
    return found, complaints or list(found.complaints())


def lint_lakehouse(written: YamlMapping, name: str, log: ProblemLog) -> None:
    """Report what is wrong with the lakehouse of the connection called `name`, as it is written."""
    if written.get("lakehouse") is None:
        return

    def at(key: str) -> Position:
        return written.position(("lakehouse", *filter(None, key.split("."))))

    _, complaints = read_lakehouse(written["lakehouse"])
    for key, complaint in complaints:
        log.error(*at(key), _RULE, f"the connection '{name}' {complaint}")
    for key, _ in _leaves("", written["lakehouse"]):
        if key not in _KEYS | _GROUPS and key:
            _lint_unknown(key, name, at(key), log)


def _lint_unknown(key: str, connection: str, at: Position, log: ProblemLog) -> None:
    group, _, word = key.rpartition(".")
    known = [k.rpartition(".")[2] for k in _KEYS | _GROUPS if k.rpartition(".")[0] == group]
    shown = f"key '{word}'" if re.fullmatch(r"\w+", word) else "key"
    message = f"unknown {shown} in the lakehouse of the connection '{connection}'"
    match = nearest(word, known, TYPING_ERROR)
    if match:
        log.error(*at, _RULE, f"{message}; did you mean '{match}'?")
    else:
        log.warning(*at, _RULE, f"{message} is ignored; known: {listed(known)}")


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What stands below a group, by dotted keys."""
    if not isinstance(value, Mapping):
        yield prefix, value
        return
    for key, inner in value.items():
        dotted = f"{prefix}.{key}" if prefix else str(key)
        if dotted in _GROUPS and inner is not None:
            yield from _leaves(dotted, inner)
        else:
            yield dotted, inner
