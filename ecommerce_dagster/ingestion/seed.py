"""A seed: a file of the project as a table, replaced whole each time.

Every value is read as it is written and then cast to the type that its column is declared with, so
that 007 stays 007 in a text column and a value that does not fit is named, with its line. An empty
cell is NULL, quoted or not.
"""

from __future__ import annotations

import csv
import glob
import gzip
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TextIO

import duckdb

from ecommerce_dagster.bruin.located import Position
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.warehouse.database import described
from ecommerce_dagster.warehouse.identifiers import literal
from ecommerce_dagster.warehouse.load import Loaded, LoadError, load_table
from ecommerce_dagster.warehouse.sql_asset import AssetError
from ecommerce_dagster.warehouse.types import known_type, target_type

_FORMATS = ("csv", "json", "jsonl", "ndjson", "parquet")
_COMPRESSED = (".gz", ".zst")
_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"')
_URL = re.compile(r"^\w[\w+.-]+://")

_CSV_LINE = re.compile(r"CSV Error on Line: (\d+)")
_CSV_WIDTH = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_CSV_REASONS = {
    "not utf-8 encoded": "this is not UTF-8; save the file as UTF-8",
    "unterminated quote": 'a quoted value (") that starts here does not end',
    "Maximum line size": "the line is longer than 2 MB",
}
_UNFIT = re.compile(r"^the column (.+?) holds (.*), which does not fit its type ", re.DOTALL)


class _SeedError(Exception):
    """A file that cannot be read; `at` is the place that has to be changed, if it is known."""

    def __init__(self, message: str, at: Position | None = None) -> None:
        super().__init__(message)
        self.at = at


def lint_seed(asset: Asset, root: Path, log: ProblemLog) -> None:
    """Report a seed that cannot be loaded. Reads the columns of its file, not its rows."""
    how = asset.materialization
    if how.path == asset.path and (how.type != "none" or how.strategy):
        message = "a seed is always replaced whole; remove `materialization`"
        log.error(*how.at(), "assets-seed-validation", message)
    try:
        Seed(asset, root).schema()
    except _SeedError as error:
        at = error.at or asset.at("parameters", "path")
        log.error(*at, "assets-seed-validation", str(error))


@dataclass(frozen=True)
class Seed:
    """How to load one seed. Call it with a connection inside a transaction.

    Its file lies inside `root`, the project's folder.
    """

    asset: Asset
    root: Path

    def __call__(self, connection: duckdb.DuckDBPyConnection) -> Loaded:
        try:
            source = _source(self, connection)
            return load_table(connection, self._typed, source, "create+replace")
        except _SeedError as error:
            at = error.at or self.asset.at("parameters", "path")
            raise AssetError(f"{at.path}:{at.line}: {error}") from None
        except (LoadError, duckdb.Error) as error:
            at, reason = self._explained(str(error))
            raise AssetError(f"{at.path}:{at.line}: {reason}") from None

    def schema(self) -> dict[str, str]:
        """The columns and types of the table to be. Raises _SeedError."""
        with duckdb.connect(":memory:") as connection:
            try:
                columns = described(connection, _source(self, connection))
            except duckdb.Error as error:
                at, reason = self._explained(str(error))
                raise _SeedError(reason, at) from None
        declared = {column.name.lower(): column.type for column in self._typed.columns}
        return {
            name: target_type(declared.get(name.lower(), ""), kind)
            for name, kind in columns.items()
        }

    @property
    def enforced(self) -> bool:
        """Whether the file must have the declared columns, in the declared types."""
        return self.asset.parameter("enforce_schema").strip().lower() not in {"false", "0", "no"}

    @cached_property
    def file(self) -> Path:
        """The file to read. Raises _SeedError."""
        written = self.asset.parameter("path").strip()
        if not written:
            raise _SeedError("a seed needs `parameters: path`, the file beside this one to load")
        if _URL.match(written):
            raise _SeedError(
                f"'{written}' is a URL, which a seed cannot be read from; "
                "download the file into the project and name it relative to this one"
            )
        path = (self.asset.path.parent / written).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise _SeedError(
                f"'{written}' is outside of the project ({self.root}); move the file into it"
            )
        if path.is_dir():
            raise _SeedError(f"'{written}' is a folder; name one file in it")
        if not path.is_file():
            near = path.parent.iterdir() if path.parent.is_dir() else ()
            hint = did_you_mean(path.name, [entry.name for entry in near])
            raise _SeedError(f"the file '{written}' does not exist; {hint}")
        return path

    @cached_property
    def format(self) -> str:
        """How to read the file. Raises _SeedError."""
        written = self.asset.parameter("file_type").strip().lower()
        suffixes = [s.lower() for s in self.file.suffixes if s.lower() not in _COMPRESSED]
        name = written or (suffixes[-1].removeprefix(".") if suffixes else "")
        at = self.asset.at("parameters", "file_type" if written else "path")
        if name == "avro":
            raise _SeedError("a seed cannot be Avro here; save the file as Parquet", at)
        if name == "tsv" and not written:
            return "csv"
        if name in _FORMATS:
            return name
        if written:
            raise _SeedError(f"unknown file_type '{name}'; {did_you_mean(name, _FORMATS)}", at)
        formats = ", ".join(_FORMATS)
        message = f"the name of the file does not say its format; add `file_type:` ({formats})"
        raise _SeedError(message, at)

    @cached_property
    def declared(self) -> dict[str, str]:
        """DuckDB's type of each column that has one declared, by its name in lower case."""
        if not self.enforced:
            return {}
        kinds = {column.name.lower(): known_type(column.type) for column in self.asset.columns}
        return {name: kind for name, kind in kinds.items() if kind is not None}

    @property
    def _typed(self) -> Asset:
        """The asset as the types of its table see it."""
        if self.enforced:
            return self.asset
        columns = (column.model_copy(update={"type": ""}) for column in self.asset.columns)
        return self.asset.model_copy(update={"columns": tuple(columns)})

    def require_declared(self, names: list[str]) -> None:
        """Raise _SeedError when the file, which has `names`, lacks a declared column."""
        has = {name.lower() for name in names}
        missing = [c for c in self.asset.columns if c.name.lower() not in has]
        if self.enforced and missing:
            lacks = ", ".join(column.name for column in missing)
            raise _SeedError(
                f"{self.file.name} has no column {lacks}; it has {', '.join(names) or 'none'} "
                "(with `enforce_schema: false` the file alone decides)",
                missing[0].at(),
            )

    def _explained(self, message: str) -> tuple[Position, str]:
        """Where a failure comes from, and what it is, in the user's words."""
        unfit = _UNFIT.match(message)
        if unfit is not None:
            return self._unfit(unfit.group(1), unfit.group(2), message)
        line = _CSV_LINE.search(message)
        if line is None:
            text = message.strip().splitlines()[0]
            return self.asset.at("parameters", "path"), f"{self.file.name} cannot be read: {text}"
        at = Position(self.file, int(line.group(1)))
        width = _CSV_WIDTH.search(message)
        if width is not None:
            wanted, found = width.groups()
            return at, f"expected {wanted} values, as in the header, and found {found}"
        known = (reason for words, reason in _CSV_REASONS.items() if words in message)
        return at, next(known, "this line cannot be read as CSV")

    def _unfit(self, column: str, value: str, message: str) -> tuple[Position, str]:
        """A value that does not fit its column: its line in the file, else the column's."""
        names = {found.name.lower(): found for found in self.asset.columns}
        declared = names[column.lower()].at() if column.lower() in names else self.asset.at()
        line = _line_of(self.file, column, value) if self.format == "csv" else None
        if line is None:
            return declared, f"{message} ({self.file.name})"
        where = f"{declared.path.name}:{declared.line}"
        return Position(self.file, line), f"{message}; the type is declared in {where}"


def _source(seed: Seed, connection: duckdb.DuckDBPyConnection) -> str:
    """The rows of the file as SQL. Reads what of it decides how to read it. Raises _SeedError."""
    readers = {"csv": _csv, "parquet": _parquet}
    return readers.get(seed.format, _json)(seed, connection)


def _parquet(seed: Seed, connection: duckdb.DuckDBPyConnection) -> str:
    source = f"read_parquet({_path(seed)})"
    seed.require_declared(list(described(connection, source)))
    return source


def _json(seed: Seed, connection: duckdb.DuckDBPyConnection) -> str:
    """Scalars with a declared type come as text, before DuckDB makes dates or numbers of them."""
    how = "newline_delimited" if seed.format in {"jsonl", "ndjson"} else "auto"
    arguments = f"{_path(seed)}, format={literal(how)}, sample_size=-1"
    columns = described(connection, f"read_json({arguments})")
    if columns == {"json": "JSON"} and seed.declared:
        # This is what an empty file looks like.
        columns = {column.name: "VARCHAR" for column in seed.asset.columns}
    seed.require_declared(list(columns))
    kinds = {
        name: "VARCHAR" if _is_scalar(seed.declared.get(name.lower())) else kind
        for name, kind in columns.items()
    }
    return f"read_json({arguments}, columns={_struct(kinds)})"


def _csv(seed: Seed, connection: duckdb.DuckDBPyConnection) -> str:
    """DuckDB guesses the types of undeclared columns, by all rows, and nothing else: its guess of
    the dialect drops rows, or takes them for one column, when a line is too long or too short."""
    first = f"auto_detect=false, header=false, delim='\x01', quote='', escape='', {_columns(['_'])}"
    row = connection.execute(f"FROM read_csv({_path(seed)}, {first}) LIMIT 1").fetchone()
    if row is None or not row[0]:
        raise _SeedError(f"{seed.file.name} is empty; its first line must name the columns")
    delimiter = _delimiter(row[0])
    names = _header(seed, row[0], delimiter)
    seed.require_declared(names)
    dialect = (
        f"{_path(seed)}, header=true, skip=0, delim={literal(delimiter)}, "
        "quote='\"', escape='\"', comment='', nullstr=''"
    )
    strict = f"read_csv({dialect}, auto_detect=false, {_columns(names)})"
    if all(name.lower() in seed.declared for name in names):
        return strict
    # The guess fails without a reason where this names the line.
    connection.execute(f"SELECT count(*) FROM {strict}")
    texts = {name: "VARCHAR" for name in names if name.lower() in seed.declared}
    given = f", types={_struct(texts)}" if texts else ""
    listed = ", ".join(literal(name) for name in names)
    return f"read_csv({dialect}, names=[{listed}]{given}, sample_size=-1)"


def _delimiter(line: str) -> str:
    """The character that most often stands between the names of the header."""
    names = _QUOTED.sub("", line)
    return max(_DELIMITERS, key=names.count)


def _header(seed: Seed, line: str, delimiter: str) -> list[str]:
    """The names of the columns; a nameless one is called as DuckDB calls it."""
    at = Position(seed.file, 1)
    cells = next(csv.reader([line], delimiter=delimiter))
    names = [cell.strip() or f"column{number}" for number, cell in enumerate(cells)]
    lower = [name.lower() for name in names]
    twice = next((name for name in names if lower.count(name.lower()) > 1), None)
    if twice is not None:
        raise _SeedError(f"the header names the column {twice} twice; rename one", at)
    return names


def _line_of(file: Path, column: str, value: str) -> int | None:
    """The first line of a CSV file at which a row has this value; None when it is not found."""
    with suppress(OSError, UnicodeDecodeError, csv.Error), _opened(file) as text:
        rows = _numbered(text)
        _, header = next(rows)
        place = [name.strip().lower() for name in header].index(column.lower())
        return next((n for n, row in rows if len(row) > place and row[place] == value), None)
    return None


def _numbered(text: TextIO) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file with the line at which each starts."""
    delimiter = _delimiter(text.readline())
    text.seek(0)
    reader = csv.reader(text, delimiter=delimiter)
    start = 1
    for row in reader:
        yield start, row
        start = reader.line_num + 1


def _opened(file: Path) -> TextIO:
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _is_scalar(kind: str | None) -> bool:
    return kind is not None and not re.match(r"^(STRUCT|MAP|UNION)\b|.*\]$|^JSON$", kind, re.DOTALL)


def _path(seed: Seed) -> str:
    """The file as SQL; DuckDB would take a * in its name for any file."""
    return literal(glob.escape(str(seed.file)))


def _columns(names: list[str]) -> str:
    return f"columns={_struct(dict.fromkeys(names, 'VARCHAR'))}"


def _struct(kinds: Mapping[str, str]) -> str:
    pairs = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in kinds.items())
    return f"{{{pairs}}}"
