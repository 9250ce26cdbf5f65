"""An ingestr asset whose source is files: CSV, Parquet or JSON, here, behind http(s) or in S3."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sources.known_parameters import QUERY
from ecommerce_dagster.sources.relation import RelationIngestion, SourceRows, position
from ecommerce_dagster.sources.seeds.files import FORMATS, SeedError, SeedFile
from ecommerce_dagster.sql.identifiers import literal
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.sql.types import known_type
from ecommerce_dagster.warehouses.duckdb.extensions import ExtensionError, load_extension
from ecommerce_dagster.warehouses.duckdb.secrets import keep_secret

_REMOTE = re.compile(r"(https?|s3)://", re.IGNORECASE)
_COMPRESSED = re.compile(r"\.(gz|zst)$", re.IGNORECASE)
_READERS = {"csv": "read_csv", "parquet": "read_parquet"}


@dataclass(frozen=True)
class FileIngestion(RelationIngestion):
    """How to load one ingestr asset from files. Call it with the place for its table.

    `place` is a path, a pattern (`orders/*.parquet`) or a URL; `store` logs in to S3.
    """

    asset: Asset
    place: str
    interval: Interval | None = None
    full_refresh: bool = False
    reconcile: bool = False
    store: dict[str, str | bool] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        return self.place

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Nothing is attached; what is elsewhere needs an extension, and S3 a login."""
        if not _REMOTE.match(self.place):
            return
        try:
            load_extension(connection, "httpfs")
        except ExtensionError as error:
            raise self.failure(str(error)) from None
        if self.store:
            keep_secret(connection, "_source_store", "s3", self.store)

    def rows_in(self, connection: duckdb.DuckDBPyConnection) -> SourceRows:
        """The rows of the files. Raises LoadError for a query, which files cannot answer."""
        if self.source_table.startswith(QUERY):
            raise LoadError("a source of files has no tables to ask; name a file in source_table")
        database, _ = position(connection)
        return SourceRows(connection, database, self._relation(connection))

    def _relation(self, connection: duckdb.DuckDBPyConnection) -> str:
        kind, path = self._format(), Path(self.place)
        if _REMOTE.match(self.place) or glob.has_magic(self.place):
            how = ", sample_size=-1" if kind != "parquet" else ""
            return f"{_READERS.get(kind, 'read_json')}({literal(self.place)}{how})"
        if not path.is_file():
            raise LoadError(f"the file {path} does not exist; correct its path")
        kinds = {column.name.lower(): known_type(column.type) for column in self.asset.columns}
        declared = {name: found for name, found in kinds.items() if found is not None}
        try:
            return SeedFile(path, kind, declared, lambda names: None).relation(connection)
        except SeedError as error:
            line = f":{error.at.line}" if error.at else ""
            raise LoadError(f"{path.name}{line}: {error}") from None

    def _format(self) -> str:
        written = self.asset.parameter("file_type").strip().lower()
        _, _, marked = self.source_table.rpartition("#")
        name = _COMPRESSED.sub("", self.place.partition("?")[0]).rpartition(".")[2].lower()
        for kind in (written, marked.lower(), {"tsv": "csv"}.get(name, name)):
            if kind in FORMATS:
                return kind
        raise LoadError(
            f"the name of {self.place} does not say its format; add `file_type:` to the parameters"
            f" ({', '.join(FORMATS)})"
        )


def place_of(base: str, table: str) -> str:
    """The file that a connection to `base` and a `source_table` name together."""
    name = table.partition("#")[0].strip()
    is_whole = bool(_REMOTE.match(name)) or Path(name).is_absolute()
    looks_like_file = "." in name.rpartition("/")[2] or glob.has_magic(name)
    if is_whole or not base:
        return name
    is_file = "." in base.rstrip("/").rpartition("/")[2] and not Path(base).is_dir()
    if is_file and not base.endswith("/"):
        return base
    return f"{base.rstrip('/')}/{name}" if name and (looks_like_file or not is_file) else base
