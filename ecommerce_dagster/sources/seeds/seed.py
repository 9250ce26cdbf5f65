"""A seed: a file of the project as a table, replaced whole each time.

Every value is read as it is written and then cast to the type that its column is declared with, so
that 007 stays 007 in a text column and a value that does not fit is named, with its line. An empty
cell is NULL, quoted or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.paths import portable
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.sources.known_parameters import lint_parameters
from ecommerce_dagster.sources.seeds.files import FORMATS, SeedError, SeedFile
from ecommerce_dagster.sql.column_names import lint_naming, meant
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.sql.plan import WriteOptions
from ecommerce_dagster.sql.types import known_type, target_type
from ecommerce_dagster.warehouses.base import Target
from ecommerce_dagster.warehouses.duckdb.database import described
from ecommerce_dagster.warehouses.duckdb.named_rows import fill_named
from ecommerce_dagster.warehouses.sql_asset import AssetError

_COMPRESSED = (".gz", ".zst")
_URL = re.compile(r"(\w[\w+.-]+)://.*")
_UNFIT = re.compile(r"the column (.+?) holds (.*), which does not fit its type .*", re.DOTALL)
_RULE = "assets-seed-validation"
_COUNTED = "write its path from the folder of this asset"


def lint_seed(asset: Asset, root: Path, log: ProblemLog, *, made_by: str | None = None) -> None:
    """Report a seed that cannot be loaded, as far as the columns of its file tell.

    `made_by` is the Python asset that may write the file in a run.
    """
    how = asset.materialization
    lint_naming(asset, log)
    lint_parameters(asset, log)
    if how.path == asset.path and (how.type != "none" or how.strategy):
        log.error(*how.at(), _RULE, "a seed is always replaced whole; remove `materialization`")
    seed = Seed(asset, root)
    try:
        # What is behind a URL is known in a run.
        if not seed.is_remote:
            seed.schema()
    except MissingSeedFile as error:
        at = asset.at("parameters", "path")
        if made_by is None:
            log.error(*at, _RULE, str(error))
            return
        message = f"the file '{asset.parameter('path')}' does not exist yet; '{made_by}' must write"
        log.warning(*at, _RULE, f"{message} it before this asset runs")
    except SeedError as error:
        log.error(*(error.at or asset.at("parameters", "path")), _RULE, str(error))


class MissingSeedFile(SeedError):
    """The file of a seed is not there."""


@dataclass(frozen=True)
class Seed:
    """How to load one seed. Call it with the place for its table.

    Its file lies inside `root`, the project's folder, or is fetched from a URL in each run.
    """

    asset: Asset
    root: Path

    def __call__(self, target: Target) -> LoadResult:
        try:
            with target.reader() as connection:
                return self._load(connection, target)
        except SeedError as error:
            written = self.asset.at("parameters", "path")
            at = error.at or written
            where = f"{at.path}:{at.line}"
            if at.path.is_relative_to(self._folder.name):
                where = f"{written.path}:{written.line}: {at.path.name}:{at.line}"
            raise AssetError(f"{where}: {error}") from None

    @property
    def is_remote(self) -> bool:
        """Whether the file is behind a URL, of which nothing is known before a run. Raises
        SeedError for one that is not http(s)."""
        found = _URL.fullmatch(self.asset.parameter("path").strip())
        if found and found[1].lower() not in {"http", "https"}:
            raise SeedError(
                f"a seed cannot be read from {found[1]}://; use https://, or an ingestr asset"
            )
        return found is not None

    def schema(self) -> dict[str, str]:
        """The columns and types of the table to be. Raises SeedError."""
        with duckdb.connect(":memory:") as connection:
            try:
                columns = described(connection, self.content.relation(connection))
            except duckdb.Error as error:
                raise self.content.explained(str(error)) from None
        declared = {column.name.lower(): column.type for column in self._typed.columns}
        return {n: target_type(declared.get(n.lower(), ""), kind) for n, kind in columns.items()}

    @property
    def enforced(self) -> bool:
        """Whether the file must have the declared columns, in the declared types."""
        return self.asset.parameter("enforce_schema").strip().lower() not in {"false", "0", "no"}

    @cached_property
    def file(self) -> Path:
        """The path of the file. Raises SeedError."""
        written = self.asset.parameter("path").strip()
        if not written:
            raise SeedError("a seed needs `parameters: path`, the file beside this one to load")
        if self.is_remote:
            # Only for a seed of the web: with urllib it takes 10 ms.
            from ecommerce_dagster.sources.seeds.web import fetched

            return fetched(written, Path(self._folder.name))
        try:
            return self._found(written)
        except (OSError, RuntimeError, ValueError):
            raise SeedError(f"'{written}' is not the path of a file; {_COUNTED}") from None

    @cached_property
    def _folder(self) -> TemporaryDirectory[str]:
        """Gone with this object."""
        return TemporaryDirectory(prefix="seed-")

    @cached_property
    def content(self) -> SeedFile:
        """The file and how to read it. Raises SeedError."""
        kinds = {column.name.lower(): known_type(column.type) for column in self._typed.columns}
        declared = {name: kind for name, kind in kinds.items() if kind is not None}
        return SeedFile(self.file, self._format(), declared, self._require_declared)

    def _load(self, connection: duckdb.DuckDBPyConnection, target: Target) -> LoadResult:
        try:
            source, how = self.content.relation(connection), WriteOptions("create+replace")
            return fill_named(target, self._typed, connection, source, how)
        except (LoadError, duckdb.Error) as error:
            unfit = _UNFIT.fullmatch(str(error))
            if unfit is not None:
                raise self._unfit(unfit.group(1), unfit.group(2), str(error)) from None
            raise self.content.explained(str(error)) from None
        except target.errors as error:
            message = target.error_message(error)
            raise SeedError(f"{self.file.name} cannot be loaded: {message}") from None

    @property
    def _typed(self) -> Asset:
        """The asset as the types of its table see it."""
        if self.enforced:
            return self.asset
        columns = (column.model_copy(update={"type": ""}) for column in self.asset.columns)
        return self.asset.model_copy(update={"columns": tuple(columns)})

    def _found(self, written: str) -> Path:
        path = (self.asset.path.parent / portable(written)).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise SeedError(
                f"'{written}' is outside of the project ({self.root}); move the file into it"
            )
        if path.is_dir():
            raise SeedError(f"'{written}' is a folder; name one file in it")
        if not path.is_file():
            near = path.parent.iterdir() if path.parent.is_dir() else ()
            hint = did_you_mean(path.name, [entry.name for entry in near])
            raise MissingSeedFile(f"the file '{written}' does not exist; {hint}")
        return path

    def _format(self) -> str:
        written = self.asset.parameter("file_type").strip().lower()
        suffixes = [s.lower() for s in self.file.suffixes if s.lower() not in _COMPRESSED]
        name = written or (suffixes[-1].removeprefix(".") if suffixes else "")
        at = self.asset.at("parameters", "file_type" if written else "path")
        if name == "avro":
            raise SeedError("a seed cannot be Avro here; save the file as Parquet", at)
        if name == "tsv" and not written:
            return "csv"
        if name in FORMATS:
            return name
        if written:
            raise SeedError(f"unknown file_type '{name}'; {did_you_mean(name, FORMATS)}", at)
        message = "the name of the file does not say its format; add `file_type:`"
        raise SeedError(f"{message} ({', '.join(FORMATS)})", at)

    def _require_declared(self, names: list[str]) -> None:
        has = {name.lower() for name in names}
        missing = [column for column in self.asset.columns if column.name.lower() not in has]
        if self.enforced and missing:
            lacks = ", ".join(column.name for column in missing)
            raise SeedError(
                f"{self.file.name} has no column {lacks}; it has {', '.join(names) or 'none'} "
                "(with `enforce_schema: false` the file alone decides)",
                missing[0].at(),
            )

    def _unfit(self, column: str, value: str, message: str) -> SeedError:
        """A value that does not fit its column: its line in the file, else the column's."""
        names = {found.name: found for found in self.asset.columns}
        known = meant(column, names)
        declared = names[known].at() if known else self.asset.at()
        line = self.content.line_of(column, value)
        if line is None:
            return SeedError(f"{message} ({self.file.name})", declared)
        where = f"{declared.path.name}:{declared.line}"
        at = Position(self.file, line)
        return SeedError(f"{message}; the type is declared in {where}", at)
