"""The rows that a unit test gives to the tables a query reads.

They stand in the test, in the `fixtures` of the pipeline, or in files of the folder fixtures/.
Other tables of the pipeline are empty.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.yaml.located import WrittenFloat
from ecommerce_dagster.bruin.yaml.parsing import read_text
from ecommerce_dagster.bruin.yaml.reader import read_mapping
from ecommerce_dagster.sql.identifiers import literal, quoted, relation
from ecommerce_dagster.sql.types import known_type
from ecommerce_dagster.sql.used_tables import key_of, used_tables
from ecommerce_dagster.warehouses.duckdb.load import ensure_schema

Row = Mapping[str, Any]
Inputs = dict[str, Sequence[Row]]

# How values of a CSV file are written, the narrowest type first.
_KINDS = {
    "BIGINT": re.compile(r"-?(0|[1-9]\d{0,17})"),
    "DECIMAL": re.compile(r"-?(0|[1-9]\d{0,18})(\.\d{1,18})?"),
    "BOOLEAN": re.compile(r"true|false", re.IGNORECASE),
    "DATE": re.compile(r"\d{4}-\d\d-\d\d"),
    "TIMESTAMP": re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?"),
}
_FOLDER = "fixtures"
_YAML = {".yml", ".yaml"}
_SUFFIXES = {*_YAML, ".csv", ".json", ".jsonl"}


class _Written(str):
    """A value of a CSV file, which does not say its type."""

    __slots__ = ()


def inputs_of(project: Project, test: Mapping[str, Any]) -> Inputs:
    """The rows by table. What the test itself gives goes before its fixtures. Raises ValueError."""
    found: Inputs = {}
    for fixture in _listed(test.get("fixtures"), "fixtures"):
        found |= _fixture(project, fixture)
    own = _tables(_listed(test.get("inputs"), "inputs"), "inputs")
    keys = set(map(key_of, own))
    return {name: rows for name, rows in found.items() if key_of(name) not in keys} | own


def create_inputs(
    connection: duckdb.DuckDBPyConnection, project: Project, inputs: Inputs, query: str
) -> None:
    """A table for each input, in the declared types where the project declares some, and an empty
    one for each other table that the query reads, if the project declares its columns."""
    uses = used_tables(connection, query)
    wanted = {use.key for use in uses or ()} - {key_of(name) for name in inputs}
    for asset in project.assets:
        if asset.columns and key_of(asset.name) in wanted:
            inputs = {**inputs, asset.name: ()}
    for name, rows in inputs.items():
        if name.count(".") == 2:
            database = quoted(name.split(".")[0])
            connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {database}")
        ensure_schema(connection, name)
        # A view, in which a column of NULLs has no type that could be the wrong one.
        connection.execute(f"CREATE VIEW {relation(name)} AS {_rows(project, name, rows)}")


def _listed(value: Any, key: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise ValueError(f"`{key}` must be a list (`- item` lines)")
    return list(value)


def _tables(items: Iterable[Any], where: str) -> Inputs:
    found: Inputs = {}
    for item in items:
        rows = item.get("rows") if isinstance(item, Mapping) else None
        if not isinstance(item, Mapping) or not item.get("asset"):
            raise ValueError(f"{where}: an input is `asset: name` with its `rows`")
        if not isinstance(rows, list | None) or not all(isinstance(r, Mapping) for r in rows or ()):
            raise ValueError(f"{where}: the rows of {item['asset']} must be a list of mappings")
        found[str(item["asset"])] = rows or []
    return found


def _fixture(project: Project, wanted: Any) -> Inputs:
    """The tables of one fixture: a name, or `{asset: ..., name: ...}` for rows alone."""
    asset = str(wanted["asset"]) if isinstance(wanted, Mapping) and wanted.get("asset") else None
    if isinstance(wanted, Mapping):
        keys = ("name", "fixture", "file", "path", "asset")
        wanted = next((wanted[key] for key in keys if wanted.get(key)), "")
    for fixture in _listed(project.pipeline.written("fixtures"), "fixtures"):
        if isinstance(fixture, Mapping) and str(fixture.get("name")) == str(wanted):
            return _tables([{**fixture, "asset": asset or fixture.get("asset")}], f"'{wanted}'")
    folder = project.directory / _FOLDER
    files = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    names = {name: path for path in files for name in _names(path, folder)}
    path = names.get(str(wanted).removeprefix(f"{_FOLDER}/"))
    if path is None:
        known = {file.stem for file in files} | set(_names_of_fixtures(project))
        hint = did_you_mean(str(wanted), known)
        raise ValueError(f"there is no fixture '{wanted}' in pipeline.yml or {_FOLDER}/; {hint}")
    tables = _read(path)
    if asset is not None and len(tables) == 1:
        [rows] = tables.values()
        return {asset: rows}
    return tables


def _names_of_fixtures(project: Project) -> Iterator[str]:
    for fixture in _listed(project.pipeline.written("fixtures"), "fixtures"):
        if isinstance(fixture, Mapping) and fixture.get("name"):
            yield str(fixture["name"])


def _asset(project: Project, name: str) -> Asset | None:
    """The asset of a name in any case."""
    return next((asset for asset in project.assets if asset.name.lower() == name.lower()), None)


def _names(path: Path, folder: Path) -> Iterator[str]:
    """What a fixture may be called: its path, with or without its suffix, or the file alone."""
    relative = path.relative_to(folder)
    yield from (relative.as_posix(), relative.with_suffix("").as_posix(), path.name, path.stem)


def _read(path: Path) -> Inputs:
    """The tables of a file: YAML or JSON with `asset` and `rows`, or a list of such, or the rows
    alone (and CSV) of the table that the file is called after."""
    log = ProblemLog()
    text = read_text(path, log)
    content: Any = None
    if text is not None and path.suffix == ".csv":
        content = [
            {key: _Written(value) if value else None for key, value in row.items()}
            for row in csv.DictReader(io.StringIO(text))
        ]
    elif text is not None and path.suffix in _YAML:
        # Only a mapping can be read, so the content becomes the value of a key.
        indented = "".join(f"  {line}\n" for line in text.split("\n"))
        found = read_mapping(f"content:\n{indented}", path, log, first_line=0)
        content = found["content"] if found else None
    elif text is not None:
        try:
            lines = text.splitlines() if path.suffix == ".jsonl" else [text]
            values = [json.loads(line) for line in lines if line.strip()]
        except ValueError as error:
            raise ValueError(f"{path}: this is not JSON ({error})") from None
        content = values if path.suffix == ".jsonl" else values[0] if values else None
    if log.errors:
        raise ValueError(str(log.errors[0]))
    return _tables(_items(content, path), path.name)


def _items(content: Any, path: Path) -> list[Any]:
    if isinstance(content, Mapping):
        for key in ("inputs", "fixtures"):
            if isinstance(content.get(key), list):
                return list(content[key])
        return [content if "asset" in content else {**content, "asset": path.stem}]
    if isinstance(content, list) and all(isinstance(r, Mapping) and "asset" in r for r in content):
        return content
    return [{"asset": path.stem, "rows": content}]


def _rows(project: Project, name: str, rows: Sequence[Row]) -> str:
    """A query for these rows. Columns without a declared type have that of their values."""
    known = _asset(project, name)
    columns_known = known.columns if known else ()
    declared = {c.name.lower(): known_type(c.type) for c in columns_known if c.type}
    if not rows:
        declared = {c.name.lower(): known_type(c.type) or "VARCHAR" for c in columns_known}
    # A name in two spellings is one column, called as it is declared.
    spelt: dict[str, str] = {
        c.name.lower(): c.name for c in columns_known if c.name.lower() in declared
    }
    for row in rows:
        for key in row:
            spelt.setdefault(str(key).lower(), str(key))
    rows = [{str(key).lower(): value for key, value in row.items()} for row in rows]
    names = list(spelt)
    if not names:
        raise ValueError(f"the input {name} has no rows and declares no columns")
    kinds = {key: declared.get(key) or _kind_of([r.get(key) for r in rows]) for key in names}
    columns = ", ".join(f"{quoted(key)} AS {quoted(spelt[key])}" for key in names)
    # Each cell is cast: DuckDB would make '2.50' beside 10 an integer first.
    cells = [
        [_typed(_cell(row.get(key), bool(declared.get(key))), kinds[key]) for key in names]
        for row in rows or [{}]
    ]
    values = ", ".join(f"({', '.join(row)})" for row in cells)
    given = ", ".join(map(quoted, names))
    where = "" if rows else " WHERE FALSE"
    return f"SELECT {columns} FROM (VALUES {values}) AS given({given}){where}"


def _kind_of(values: Sequence[Any]) -> str | None:
    """The type that the values of a column of a CSV file have in common, as they are written; text
    for texts among other values; else None for what DuckDB makes of them."""
    texts = [value for value in values if value is not None]
    if not texts or not all(isinstance(text, _Written) for text in texts):
        are_texts = {isinstance(value, str) for value in texts}
        return "VARCHAR" if len(are_texts) == 2 else None
    kind = next((k for k, p in _KINDS.items() if all(map(p.fullmatch, texts))), None)
    if kind == "DECIMAL":
        return f"DECIMAL(38,{max(len(text.partition('.')[2]) for text in texts)})"
    return kind


def _typed(cell: str, kind: str | None) -> str:
    return f"CAST({cell} AS {kind})" if kind else cell


def _cell(value: Any, is_declared: bool) -> str:
    """A value as SQL; numbers as they are written, so that 0.10 is exact."""
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple | Mapping) and is_declared:
        return f"{literal(json.dumps(value, default=str))}::JSON"
    if isinstance(value, Mapping):
        fields = (f"{literal(str(key))}: {_cell(item, False)}" for key, item in value.items())
        return f"{{{', '.join(fields)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_cell(item, False) for item in value)}]"
    if isinstance(value, WrittenFloat):
        return value.written
    if isinstance(value, datetime) and value.tzinfo is None:
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"DATE '{value.isoformat()}'"
    return literal(
        value if isinstance(value, bool | int | float | Decimal | datetime) else str(value)
    )
