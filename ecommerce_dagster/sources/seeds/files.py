"""The files that seeds come in, as relations that DuckDB can read without changing a value."""

from __future__ import annotations

import csv
import glob
import gzip
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

import duckdb

from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.errors import UnlocatedError
from ecommerce_dagster.sql.column_names import meant
from ecommerce_dagster.sql.identifiers import literal
from ecommerce_dagster.warehouses.duckdb.database import described

FORMATS = ("csv", "json", "jsonl", "ndjson", "parquet")

_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"')
_NESTED = re.compile(r"(STRUCT|MAP|UNION)\b.*|.*\]|JSON", re.DOTALL)
_CSV_LINE = re.compile(r"CSV Error on Line: (\d+)")
_CSV_WIDTH = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_CSV_REASONS = {
    "not utf-8 encoded": "this is not UTF-8; save the file as UTF-8",
    "unterminated quote": 'a quoted value (") that starts here does not end',
    "Maximum line size": "the line is longer than 2 MB",
}


class SeedError(UnlocatedError):
    """A seed that cannot be loaded; `at` is the place that has to be changed, if it is known."""

    def __init__(self, message: str, at: Position | None = None) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True)
class SeedFile:
    """A file in one of the FORMATS.

    `declared` has DuckDB's type of each column that is to have one, by its name in lower case.
    `check` gets the names of the columns that are there, and raises SeedError.
    """

    path: Path
    format: str
    declared: Mapping[str, str]
    check: Callable[[list[str]], None]

    def relation(self, connection: duckdb.DuckDBPyConnection) -> str:
        """The rows as SQL. Reads what of the file decides how to read it. Raises SeedError."""
        match self.format:
            case "csv":
                return self._csv(connection)
            case "parquet":
                source = f"read_parquet({self._argument})"
                self.check(list(described(connection, source)))
                return source
        return self._json(connection)

    def explained(self, message: str) -> SeedError:
        """What DuckDB says about the file, in the user's words."""
        line = _CSV_LINE.search(message)
        if line is None:
            return SeedError(f"{self.path.name} cannot be read: {message.strip().splitlines()[0]}")
        at = Position(self.path, int(line.group(1)))
        width = _CSV_WIDTH.search(message)
        if width is not None:
            wanted, found = width.groups()
            return SeedError(f"expected {wanted} values, as in the header, and found {found}", at)
        known = (reason for words, reason in _CSV_REASONS.items() if words in message)
        return SeedError(next(known, "this line cannot be read as CSV"), at)

    def line_of(self, column: str, value: str) -> int | None:
        """The first line of a CSV file at which a row has this value; None when it is not found."""
        if self.format != "csv":
            return None
        with suppress(OSError, ValueError, csv.Error), _opened(self.path) as text:
            rows = _numbered(text)
            _, header = next(rows)
            names = [name.strip() for name in header]
            place = names.index(meant(column, names) or "")
            return next((n for n, row in rows if len(row) > place and row[place] == value), None)
        return None

    @property
    def _argument(self) -> str:
        """The path as SQL; DuckDB would take a * in a name for any file."""
        return literal(glob.escape(str(self._readable)))

    @cached_property
    def _readable(self) -> Path:
        """The file, or a copy of a CSV file whose lines end in two ways, which DuckDB takes for
        broken. What is quoted stays as it is, and so do the numbers of lines."""
        if self.format != "csv" or self.path.suffix.lower() == ".zst":
            return self.path
        opened = gzip.open if self.path.suffix.lower() == ".gz" else open
        with opened(self.path, "rb") as file:
            text = file.read()
        if text.count(b"\r\n") in {0, text.count(b"\n")}:
            return self.path
        parts = text.split(b'"')
        parts[::2] = [part.replace(b"\r\n", b"\n") for part in parts[::2]]
        copy = Path(self._folder.name, "seed.csv")
        copy.write_bytes(b'"'.join(parts))
        return copy

    @cached_property
    def _folder(self) -> TemporaryDirectory[str]:
        """Gone with this object."""
        return TemporaryDirectory(prefix="seed-")

    def _json(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Scalars with a declared type come as text, so that DuckDB makes no dates of them."""
        how = "newline_delimited" if self.format in {"jsonl", "ndjson"} else "auto"
        arguments = f"{self._argument}, format={literal(how)}, sample_size=-1"
        columns = described(connection, f"read_json({arguments})")
        if columns == {"json": "JSON"} and self.declared:
            # This is what an empty file looks like.
            columns = dict.fromkeys(self.declared, "VARCHAR")
        self.check(list(columns))
        kinds = {
            name: kind if _NESTED.fullmatch(self.declared.get(name.lower(), kind)) else "VARCHAR"
            for name, kind in columns.items()
            if name.lower() in self.declared
        }
        return f"read_json({arguments}, columns={_struct({**columns, **kinds})})"

    def _csv(self, connection: duckdb.DuckDBPyConnection) -> str:
        """DuckDB guesses the types of undeclared columns, by all rows, and nothing else: its guess
        of the dialect drops rows, or takes them for one column, when a line has too many values."""
        delimiter, names = self._header(connection)
        self.check(names)
        dialect = (
            f"{self._argument}, header=true, skip=0, delim={literal(delimiter)}, "
            "quote='\"', escape='\"', comment='', nullstr=''"
        )
        texts = dict.fromkeys(names, "VARCHAR")
        strict = f"read_csv({dialect}, auto_detect=false, columns={_struct(texts)})"
        if all(name.lower() in self.declared for name in names):
            return strict
        # The guess fails without a reason where this names the line.
        connection.execute(f"SELECT count(*) FROM {strict}")
        texts = {name: "VARCHAR" for name in names if name.lower() in self.declared}
        given = f", types={_struct(texts)}" if texts else ""
        listed = ", ".join(map(literal, names))
        return f"read_csv({dialect}, names=[{listed}]{given}, sample_size=-1)"

    def _header(self, connection: duckdb.DuckDBPyConnection) -> tuple[str, list[str]]:
        """The delimiter and the names of the columns; a nameless one is called as in DuckDB."""
        row = connection.execute(
            f"FROM read_csv({self._argument}, auto_detect=false, header=false, delim='\x01', "
            "quote='', escape='', strict_mode=false, columns={'line': 'VARCHAR'}) LIMIT 1"
        ).fetchone()
        if row is None or not row[0]:
            raise SeedError(f"{self.path.name} is empty; its first line must name the columns")
        delimiter = _delimiter(row[0])
        cells = next(csv.reader([row[0]], delimiter=delimiter))
        names = [cell.strip() or f"column{number}" for number, cell in enumerate(cells)]
        lower = [name.lower() for name in names]
        twice = next((name for name in names if lower.count(name.lower()) > 1), None)
        if twice is not None:
            message = f"the header names the column {twice} twice; rename one"
            raise SeedError(message, Position(self.path, 1))
        return delimiter, names


def _delimiter(header: str) -> str:
    """The character that most often stands between the names."""
    return max(_DELIMITERS, key=_QUOTED.sub("", header).count)


def _numbered(text: TextIO) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file with the line at which each starts."""
    delimiter = _delimiter(text.readline())
    text.seek(0)
    reader = csv.reader(text, delimiter=delimiter)
    start = 1
    for row in reader:
        yield start, row
        start = reader.line_num + 1


def _opened(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _struct(kinds: Mapping[str, str]) -> str:
    pairs = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in kinds.items())
    return f"{{{pairs}}}"
