"""A Python asset: a file of Python that runs in a process of its own, and the rows it returns.

Without a materialization the file is run, and its exit code decides. With one, the rows that its
function `materialize()` returns go into the asset's table. The file runs before the warehouse is
opened, so that a slow one does not keep other runs waiting.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval, interval_between, yesterday
from ecommerce_dagster.bruin.templates.render import RunContext
from ecommerce_dagster.python_assets import runner
from ecommerce_dagster.python_assets.interpreter import interpreter_for
from ecommerce_dagster.python_assets.lint import NoCodeError, code_of
from ecommerce_dagster.python_assets.process import run_supervised
from ecommerce_dagster.python_assets.requirements import RequirementsError
from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.sql.plan import WriteOptions
from ecommerce_dagster.sql.strategies.registry import strategy_name
from ecommerce_dagster.sql.types import known_type
from ecommerce_dagster.warehouses.base import Target
from ecommerce_dagster.warehouses.duckdb.named_rows import fill_named
from ecommerce_dagster.warehouses.sql_asset import AssetError, MistakeError

_MOMENTS = ("start", "end", "execution")
_NO_COLUMNS = (
    "materialize() returned no rows, and the file declares no columns: no table is made of nothing"
)
_TAIL = 10  # lines of the output that an error repeats


def environment_of(
    asset: Asset,
    run: RunContext,
    *,
    schemas: Mapping[str, Any] | None = None,
    connection: str = "",
    connection_types: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The environment variables of a Python asset, as Bruin sets them.

    `schemas` are the pipeline's variables as declared, `connection_types` the platform of each
    connection it knows, `secrets` the JSON of each connection by the name it is injected as.
    """
    names = replace(run, interval=_interval(asset, run)).template_variables(asset.name)
    moments = {n: str(v) for n, v in names.items() if n.split("_")[0] in _MOMENTS}
    found = {
        **moments,
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "full_refresh": "1" if run.full_refresh else "",
        "this": asset.name,
        "asset": asset.name,
        "vars": json.dumps(dict(run.variables), default=str),
        "vars_schema": json.dumps(dict(schemas or {}), default=str),
        "connection": connection,
        "connection_types": json.dumps(dict(connection_types or {})),
        "schema_prefix": run.schema_prefix,
    }
    return {f"BRUIN_{name.upper()}": value for name, value in found.items()} | dict(secrets or {})


def _interval(asset: Asset, run: RunContext) -> Interval | None:
    """A full refresh of an asset with a `start_date` begins there."""
    first = interval_between(asset.start_date, None) if run.full_refresh else None
    interval = run.interval or yesterday()
    if first is None or first.start >= interval.end:
        return run.interval
    return Interval(first.start, interval.end)


def run_python(
    asset: Asset,
    root: Path,
    environment: Mapping[str, str],
    *,
    on_output: Callable[[str], None],
    timeout: float | None = None,
) -> Path | None:
    """Run the asset's file; the folder with the rows that it returned, None without any.

    The caller removes the folder. `environment` is added to this process's own. `on_output` gets
    each line that the file prints, when it prints it. Raises AssetError when the file fails or
    takes longer than `timeout` seconds; it never outlives this call, nor this process.
    """
    result = Path(tempfile.mkdtemp(prefix="python-asset-"))
    try:
        _run(asset, root.resolve(), environment, result, on_output, timeout)
        wanted = asset.materialization.type == "table"
        if wanted and _read(result)["rows"] is not None:
            return result
    except BaseException:
        shutil.rmtree(result, ignore_errors=True)
        raise
    shutil.rmtree(result, ignore_errors=True)
    return None


def _run(
    asset: Asset,
    root: Path,
    environment: Mapping[str, str],
    result: Path,
    on_output: Callable[[str], None],
    timeout: float | None,
) -> None:
    tail: deque[str] = deque(maxlen=_TAIL)

    def told(line: str) -> None:
        tail.append(line)
        on_output(line)

    wants_rows = asset.materialization.type == "table"
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        file = code_of(asset)
        python = interpreter_for(asset, file, root, on_output=on_output, timeout=timeout)

        def command(alive: int) -> list[str]:
            order = {
                "file": str(file),
                "paths": [str(path) for path in python.paths],
                "result": str(result),
                "materialize": wants_rows,
                "parent": os.getpid(),
                "alive": alive,
            }
            return [str(python.python), "-u", runner.__file__, json.dumps(order)]

        variables = python.variables({**os.environ, **environment})
        variables |= {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
        left = None if deadline is None else deadline - time.monotonic()
        code = run_supervised(command, python.folder, variables, on_output=told, timeout=left)
    except (NoCodeError, RequirementsError) as error:
        raise MistakeError(f"{asset.path}:{asset.line}: {error}") from None
    except TimeoutError:
        at = asset.at("timeout")
        message = f'asset "{asset.name}" timed out after {asset.timeout or f"{timeout:g}s"}'
        raise AssetError(f"{at.path}:{at.line}: {message}") from None
    _require_success(asset, file, code, result, tail)


def _require_success(asset: Asset, file: Path, code: int, result: Path, tail: deque[str]) -> None:
    """Raise AssetError with what the child process says of its failure, or with its last words."""
    failure = result / "error.json"
    if failure.is_file():
        found = json.loads(failure.read_text(encoding="utf-8"))
        lines = str(found["traceback"]).rstrip().splitlines()[-_TAIL:]
        where = f"{file}:{found['line'] or asset.body_line}"
        kind = MistakeError if found["lasting"] else AssetError
        raise kind("\n".join([f"{where}: {found['message']}", *lines]))
    unfinished = asset.materialization.type == "table" and not (result / "result.json").is_file()
    if code == 0 and not unfinished:
        return
    reason = f"it ended with exit code {code}"
    if code < 0:
        reason = f"it was ended by {signal.Signals(-code).name}"
        reason += ", perhaps for lack of memory" if -code == signal.SIGKILL else ""
    elif code == 0:
        reason = "it ended before materialize() returned"
    raise AssetError("\n".join([f"{file}:{asset.body_line}: {reason}", *tail]))


@dataclass(frozen=True)
class PythonLoad:
    """How the rows that a Python asset returned enter its table. Call it with the place for that.

    `parts` is what run_python gave. Without rows to load, the table stays as it is.
    """

    asset: Asset
    parts: Path | None
    full_refresh: bool = False

    def __call__(self, target: Target) -> LoadResult:
        if self.parts is None:
            return LoadResult()
        try:
            with target.reader() as connection:
                return self._load(target, connection, self.parts)
        except (LoadError, duckdb.Error) as error:
            raise self._failure(str(error)) from None
        except target.errors as error:
            raise self._failure(target.error_message(error)) from None

    def _failure(self, message: str) -> AssetError:
        return AssetError(f"{self.asset.path}:{self.asset.body_line}: {message.strip()}")

    def _load(
        self, target: Target, connection: duckdb.DuckDBPyConnection, parts: Path
    ) -> LoadResult:
        found = _read(parts)
        how = WriteOptions(
            strategy_name(self.asset), full_refresh=self.full_refresh, update_all=True
        )
        if found["columns"]:
            rows = _rows_of(found, parts)
            return fill_named(target, self.asset, connection, rows, how)
        existing = target.columns(self.asset.name)
        if not existing and not self.asset.columns:
            return LoadResult(warnings=(_NO_COLUMNS,))
        if not existing:
            return fill_named(target, self.asset, connection, self._no_rows(), how)
        if how.strategy != "create+replace" and not how.full_refresh:
            return LoadResult(0)
        # Of nothing no columns are known: those that are there stay.
        nothing = ", ".join(f"NULL AS {quoted(name)}" for name in existing)
        how = replace(how, strategy="truncate+insert", full_refresh=False)
        rows = f"(SELECT {nothing} LIMIT 0) AS returned"
        return target.fill_from_rows(self.asset, connection, rows, how)

    def _no_rows(self) -> str:
        """No rows and no columns, as of an empty list, for a table that does not exist."""
        cells = ", ".join(
            f"CAST(NULL AS {known_type(column.type) or 'VARCHAR'}) AS {quoted(column.name)}"
            for column in self.asset.columns
        )
        return f"(SELECT {cells} LIMIT 0) AS returned"


def _rows_of(found: Mapping[str, Any], parts: Path) -> str:
    """The rows as SQL."""
    files = ", ".join(literal(str(part)) for part in sorted(parts.glob("part-*.parquet")))
    cells = []
    for name in found["columns"]:
        cell = quoted(name)
        if name in found["empty"]:
            cell = f"NULL AS {cell}"
        elif name in found["intervals"]:
            cell = f"to_microseconds({cell}) AS {cell}"
        cells.append(cell)
    return f"(\nSELECT {', '.join(cells)}\nFROM read_parquet([{files}])\n) AS returned"


def _read(parts: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((parts / "result.json").read_text(encoding="utf-8"))
    return found
