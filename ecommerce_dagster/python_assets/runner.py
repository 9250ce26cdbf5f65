"""The child process of a Python asset: runs its file and writes what `materialize()` returns.

    python python_runner.py '{"file": ..., "root": ..., "result": ..., "materialize": true, ...}'

The folder `result` gets part-*.parquet and result.json, or error.json. The standard output belongs
to the file. Imports nothing of this project, and works in Python 3.8: the interpreter may be one of
the asset's own, with nothing but what the asset requires and pyarrow.
"""

from __future__ import annotations

import datetime
import decimal
import importlib
import importlib.util
import inspect
import json
import math
import os
import select
import shutil
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

# Rows that are held at a time, and rows of a group inside a Parquet file.
_BATCH = 10_000
_GROUP = 122_880
_DECIMAL_DIGITS = 38
_INT64 = 2**63
# pandas writes "no value" like this among other values.
_MISSING = {"NaTType", "NAType"}

pa: Any = None


class ResultError(Exception):
    """What `materialize()` returned is no table."""


class MissingFunctionError(ResultError):
    """There is no `materialize()`."""


def main(order: Mapping[str, Any]) -> int:
    """Do what the parent process asks for; the exit code."""
    file, result = Path(order["file"]), Path(order["result"])
    _die_with_the_parent(order["parent"], order["alive"], result)
    # An asset called like a package must not hide it from the others, so its folder comes last.
    ours = str(Path(__file__).parent)
    sys.path = [*order["paths"], *(p for p in sys.path if p != ours), str(file.parent)]
    sys.argv = [str(file)]
    try:
        if order["materialize"]:
            write(_materialized(file), result)
        else:
            _execute(file, "__main__")
    except BaseException as error:
        if isinstance(error, SystemExit) and not order["materialize"] and not error.code:
            return 0
        _report(error, file, result)
        return 1
    return 0


def _die_with_the_parent(parent: int, alive: int, result: Path) -> None:
    """Start a process that kills this group when the parent is gone, in whatever way.

    The parent holds the other end of the pipe `alive`. A thread would not do: it gets no turn while
    native code holds the interpreter. It is no child of this process, whose file may wait for all
    of its children.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os.close(alive)
        return
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    while not select.select([alive], [], [], 1.0)[0] and _exists(parent):
        pass
    shutil.rmtree(result, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _execute(file: Path, name: str) -> ModuleType:
    """Run the file as the module `name`."""
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module
    code = compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102 - the user's own file
    return module


def _materialized(file: Path) -> Any:
    """What the function `materialize` of the file returns."""
    module = _execute(file, _module_name(file))
    function = getattr(module, "materialize", None)
    if not callable(function):
        raise MissingFunctionError(
            "the file defines no function materialize(); it is what returns the rows"
        )
    return function()


def _module_name(file: Path) -> str:
    """The name by which other processes can import the file, unless it is a package's too."""
    name = file.stem
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    return name if found is not None and found.origin == str(file) else f"asset_{name}"


def _report(error: BaseException, file: Path, result: Path) -> None:
    """Tell the user by the output and the parent by error.json, without the frames of this file."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    # Errors of ecommerce_dagster, which this file cannot import, have an exit code: their text is
    # for the user.
    if isinstance(error, ResultError) or hasattr(type(error), "exit_code"):
        message, lines = str(error), []
    else:
        lines = traceback.format_exception(type(error), error, frames)
        message = _message(error)
        sys.stderr.write("".join(lines))
    found = {
        "message": message,
        "line": _line(error, frames, file),
        "traceback": "".join(lines),
        "lasting": _is_lasting(error),
    }
    (result / "error.json").write_text(json.dumps(found), encoding="utf-8")


def _is_lasting(error: BaseException) -> bool:
    """Whether another try fails too: code that is wrong, not what it was given (`eval`)."""
    if isinstance(error, SyntaxError):
        return Path(error.filename or "").is_file()
    return isinstance(error, (ModuleNotFoundError, MissingFunctionError))


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        numbered = isinstance(error.code, int) or error.code is None
        return f"it ended with exit code {error.code or 0}" if numbered else str(error.code)
    return traceback.format_exception_only(type(error), error)[-1].strip()


def _line(error: BaseException, frames: TracebackType | None, file: Path) -> int | None:
    """The last line of the asset's file on the way to the error."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno
    lines = [f.lineno for f in traceback.extract_tb(frames) if f.filename == str(file)]
    if lines:
        return lines[-1]
    for module in sys.modules.copy().values():
        if getattr(module, "__file__", None) == str(file):
            code = getattr(getattr(module, "materialize", None), "__code__", None)
            return getattr(code, "co_firstlineno", None)
    return None


def write(value: Any, result: Path) -> None:
    """Everything that was returned as Parquet files, and result.json, which says what they are."""
    global pa  # noqa: PLW0603 - a module that only this half of the program needs
    found: dict[str, Any] = {"rows": None}
    if value is not None:
        try:
            pa = importlib.import_module("pyarrow")
            importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise ResultError(
                'rows from Python need pyarrow: pip install "ecommerce-dagster[dataframes]"'
            ) from None
        parts = _Parts(result)
        for table in _tables(value):
            parts.add(table)
        found = parts.finish()
    (result / "result.json").write_text(json.dumps(found), encoding="utf-8")


class _Parts:
    """Parquet files that end up with the same columns in the same types.

    A file is begun anew where a column comes or widens; when all rows are there, what was written
    before is written again in the last types.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._schema: Any = None
        self._writer: Any = None
        self._files: list[tuple[Path, Any]] = []
        self._rows = 0

    def add(self, table: Any) -> None:
        """Take in the rows of an Arrow table."""
        table = _storable(table)
        schema = _merged(self._schema, table.schema, self._rows)
        if schema != self._schema:
            self._close()
            self._schema = schema
        if schema.names:
            self._append(table)
        self._rows += table.num_rows

    def finish(self) -> dict[str, Any]:
        """Close the files; what they hold."""
        self._close()
        for path, schema in self._files:
            if schema != self._schema:
                _rewrite(path, self._schema)
        fields = self._schema or ()
        return {
            "rows": self._rows,
            "columns": [field.name for field in fields],
            "empty": [field.name for field in fields if pa.types.is_null(field.type)],
            "intervals": [field.name for field in fields if pa.types.is_duration(field.type)],
        }

    def _append(self, table: Any) -> None:
        if self._writer is None:
            path = self._folder / f"part-{len(self._files):05}.parquet"
            self._files.append((path, self._schema))
            self._writer = pa.parquet.ParquetWriter(path, self._schema)
        self._writer.write_table(_conformed(table, self._schema), row_group_size=_GROUP)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _rewrite(path: Path, schema: Any) -> None:
    old = path.with_suffix(".old")
    path.rename(old)
    with pa.parquet.ParquetFile(old) as file, pa.parquet.ParquetWriter(path, schema) as writer:
        for group in range(file.num_row_groups):
            writer.write_table(_conformed(file.read_row_group(group), schema))
    old.unlink()


def _conformed(table: Any, schema: Any) -> Any:
    """The rows in these columns and types. Raises ResultError for a value that would change."""
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        try:
            columns.append(table[field.name].cast(field.type))
        except pa.ArrowException as error:
            raise ResultError(f"the column {field.name}: {error}") from None
    return pa.table(columns, schema=schema)


def _merged(schema: Any, added: Any, rows: int) -> Any:
    """Columns of both, in the order of their coming, in types that hold the values of both."""
    _require_distinct([*(schema.names if schema else ()), *added.names])
    fields = {field.name: field for field in schema or ()}
    for field in added:
        known = fields.get(field.name, field)
        kind = _common_type(known.type, field.type)
        if kind is None:
            raise ResultError(
                f"the column {field.name} is {known.type} in the first {rows:,} rows and then "
                f"{field.type}; return values of one type"
            )
        fields[field.name] = pa.field(field.name, kind)
    return pa.schema(list(fields.values()))


def _common_type(one: Any, other: Any) -> Any:
    """A type for the values of both; None when there is none."""
    if one == other:
        return one
    both = [pa.schema([("x", kind)]) for kind in (one, other)]
    try:
        merged = pa.unify_schemas(both, promote_options="permissive").field("x").type
    except pa.ArrowException:
        return None
    # Arrow takes any text for bytes.
    texts = {pa.types.is_large_string(kind) for kind in (one, other) if not pa.types.is_null(kind)}
    return None if len(texts) > 1 else merged


def _require_distinct(names: Sequence[str]) -> None:
    """The names come from two schemas: the same name twice is one column, another case is two."""
    spelt: dict[str, str] = {}
    for name in names:
        first = spelt.setdefault(name.lower(), name)
        if first != name:
            raise ResultError(f"the columns {first} and {name} differ only in case; rename one")


def _tables(value: Any) -> Iterator[Any]:
    """Everything that was returned as Arrow tables: frames as they are, rows in batches."""
    rows: list[Mapping[Any, Any]] = []
    for item in _out_of_pages(_items(value)):
        if item is None:
            continue
        if isinstance(item, Mapping):
            rows.append(item)
            if len(rows) == _BATCH:
                yield _table_of_rows(rows)
                rows = []
            continue
        if rows:
            yield _table_of_rows(rows)
            rows = []
        if not _is_frame(item):
            raise ResultError(f"materialize() gave {_described(item)} among its rows; {_EXPECTED}")
        yield from _tables_of_frame(item)
    if rows:
        yield _table_of_rows(rows)


_EXPECTED = "return a DataFrame, a pyarrow Table, or dicts, one for each row"


def _items(value: Any) -> Iterable[Any]:
    if _is_frame(value):
        return [value]
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        return value
    if inspect.iscoroutine(value):
        value.close()
    raise ResultError(f"materialize() returned {_described(value)}; {_EXPECTED}")


def _out_of_pages(items: Iterable[Any]) -> Iterator[Any]:
    """Items one by one. A generator may give them in pages, as APIs do: in lists."""
    for item in items:
        if isinstance(item, list):
            yield from item
        else:
            yield item


def _described(value: Any) -> str:
    if inspect.iscoroutine(value) or inspect.isasyncgen(value):
        return "something to await"
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _is_frame(value: Any) -> bool:
    arrow = isinstance(value, (pa.Table, pa.RecordBatch)) or hasattr(value, "__arrow_c_stream__")
    return arrow or _is_of(value, "pandas", "DataFrame") or _is_of(value, "polars", "LazyFrame")


def _is_of(value: Any, module: str, name: str) -> bool:
    """Whether it is an instance of a class of a module that may not be there."""
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and isinstance(value, found)


def _tables_of_frame(frame: Any) -> Iterator[Any]:
    if _is_of(frame, "pandas", "DataFrame"):
        yield _table_of_pandas(frame)
    elif isinstance(frame, pa.Table):
        yield frame
    elif isinstance(frame, pa.RecordBatch):
        yield pa.Table.from_batches([frame])
    elif _is_of(frame, "polars", "LazyFrame"):
        yield frame.collect().to_arrow()
    elif _is_of(frame, "polars", "DataFrame"):
        yield frame.to_arrow()
    else:
        reader = pa.RecordBatchReader.from_stream(frame)
        yield reader.schema.empty_table()
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _table_of_pandas(frame: Any) -> Any:
    """Named levels of the index become columns. NaN is how pandas says that there is no value."""
    levels = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index(level=levels) if levels else frame
    columns: dict[str, Any] = {}
    for position, label in enumerate(frame.columns):
        series, name = frame.iloc[:, position], str(label)
        if name in columns:
            raise ResultError(f"the column {name} stands twice in the DataFrame; rename one")
        if series.dtype == object:
            columns[name] = _array(name, [None if _is_nan(v) else v for v in series.tolist()])
        else:
            columns[name] = pa.Array.from_pandas(series)
    return pa.table(columns)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _table_of_rows(rows: Sequence[Mapping[Any, Any]]) -> Any:
    keys = dict.fromkeys(key for row in rows for key in row)
    columns: dict[str, Any] = {}
    for key in keys:
        name = str(key)
        if name in columns:
            raise ResultError(f"the rows have two keys that read {name}; use one")
        columns[name] = _array(name, [row.get(key) for row in rows])
    return pa.table(columns)


def _array(name: str, values: list[Any]) -> Any:
    """Values of Python as Arrow's. Raises ResultError where they are of different kinds."""
    kinds = {type(value) for value in values} - {type(None)}
    if any(kind.__name__ in _MISSING for kind in kinds):
        values = [None if type(value).__name__ in _MISSING else value for value in values]
        kinds = {kind for kind in kinds if kind.__name__ not in _MISSING}
    if any(issubclass(kind, datetime.date) for kind in kinds):
        values = _moments(name, values)
    if bytes in kinds and str in kinds:
        raise ResultError(f"the column {name} holds bytes and texts; return values of one type")
    if int in kinds and any(type(v) is int and not -_INT64 <= v < _INT64 for v in values):
        values = _big_integers(name, values)
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        if len(kinds) == 1:
            raise ResultError(f"the column {name}: {error}") from None
        mixed = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise ResultError(
            f"the column {name} holds values of {mixed}; return values of one type ({error})"
        ) from None


def _moments(name: str, values: list[Any]) -> list[Any]:
    """A date among datetimes is its midnight; Arrow would cut the datetimes down to dates."""
    times = [value for value in values if isinstance(value, datetime.datetime)]
    if len({time.tzinfo is None for time in times}) > 1:
        raise ResultError(
            f"the column {name} holds datetimes with a time zone and without; return one kind"
        )
    if not times:
        return values
    zone = times[0].tzinfo
    return [
        datetime.datetime(value.year, value.month, value.day, tzinfo=zone)
        if type(value) is datetime.date
        else value
        for value in values
    ]


def _big_integers(name: str, values: list[Any]) -> list[Any]:
    """Integers that only a DECIMAL holds."""
    integers = [value for value in values if type(value) is int]
    if max(map(abs, integers)) >= 10**_DECIMAL_DIGITS:
        raise ResultError(
            f"the column {name} holds an integer of more than {_DECIMAL_DIGITS} digits; "
            "return texts"
        )
    return [decimal.Decimal(value) if type(value) is int else value for value in values]


def _storable(table: Any) -> Any:
    """The table in types that mean the same in Arrow, in Parquet and in DuckDB."""
    names = table.column_names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ResultError(f"the column {twice} stands twice in the table; rename one")
    columns = {}
    for name in names:
        column = table[name]
        try:
            kind = _stored_type(column)
            empty = pa.types.is_null(kind)
            columns[name] = pa.nulls(len(column)) if empty else column.cast(kind)
        except (pa.ArrowException, ResultError) as error:
            raise ResultError(f"the column {name}: {error}") from None
    return pa.table(columns)


def _stored_type(column: Any) -> Any:
    """The type to keep a column in. Nanoseconds are dropped where there are none."""
    kind, types = column.type, pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or _is_string_view(kind):
        return pa.large_string()
    if types.is_struct(kind) and not kind.num_fields:
        return pa.null()
    if types.is_duration(kind):
        return pa.duration("us")
    if types.is_timestamp(kind):
        unit = "ns" if kind.unit == "ns" and _has_nanoseconds(column) else "us"
        return pa.timestamp(unit, "UTC" if kind.tz else None)
    if types.is_decimal256(kind):
        return pa.decimal128(_DECIMAL_DIGITS, kind.scale)
    if types.is_nested(kind) and "duration" in str(kind):
        raise ResultError("durations inside of lists or structs cannot be stored; return seconds")
    return kind


def _is_string_view(kind: Any) -> bool:
    return str(kind) == "string_view"


def _has_nanoseconds(column: Any) -> bool:
    try:
        column.cast(pa.timestamp("us", column.type.tz))
    except pa.ArrowInvalid:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
