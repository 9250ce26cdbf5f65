"""A Python asset: a file of Python that runs in a process of its own, and the rows it returns.

Without a materialization the file is run, and its exit code decides. With one, the rows that its
function `materialize()` returns go into the asset's table. The file runs before the warehouse is
opened, so that a slow one keeps nobody waiting.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
from packaging.requirements import InvalidRequirement, Requirement

from ecommerce_dagster.bruin.interval import Interval, interval_between
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.bruin.templates import RunContext
from ecommerce_dagster.ingestion import python_runner
from ecommerce_dagster.warehouse.database import kind_of
from ecommerce_dagster.warehouse.identifiers import literal, quoted, relation
from ecommerce_dagster.warehouse.load import Loaded, LoadError, load_table
from ecommerce_dagster.warehouse.sql_asset import AssetError
from ecommerce_dagster.warehouse.strategies import lint_materialization, strategy_name
from ecommerce_dagster.warehouse.types import known_type

_STRATEGIES = ("append", "create+replace", "delete+insert", "merge")
_FUNCTION = "materialize"
_RULE = "assets-python-validation"
_MOMENTS = ("start", "end", "execution")
_LONGEST_LINE = 65_536
_TAIL = 10  # lines of the output that an error repeats
_GRACE = 3.0  # seconds to end after being asked to
_POLL = 0.1


def lint_python(asset: Asset, root: Path, log: ProblemLog) -> None:
    """Report a Python asset that cannot run, without running it."""
    how = asset.materialization
    try:
        file = _file(asset)
        tree = ast.parse(file.read_bytes(), str(file))
    except _NoCodeError as error:
        log.error(*asset.at("run"), _RULE, str(error))
        return
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        log.error(_file(asset), line, _RULE, f"this is not valid Python: {error.args[0]}")
        return
    lint_materialization(asset, log)
    if how.type == "view":
        log.error(*how.at("type"), _RULE, "a Python asset makes a table, not a view")
    elif how.type == "table":
        name = strategy_name(asset)
        if name not in _STRATEGIES:
            message = f"a Python asset cannot use the strategy '{name}'"
            log.error(*how.at("strategy"), _RULE, f"{message}; {did_you_mean(name, _STRATEGIES)}")
        _lint_function(asset, tree, file, log)
    elif _defined(tree) is not None:
        message = "materialize() is never called: the file has no `materialization: {type: table}`"
        log.warning(file, _defined(tree) or 1, _RULE, message)


def _lint_function(asset: Asset, tree: ast.Module, file: Path, log: ProblemLog) -> None:
    line = _defined(tree)
    if line is None:
        message = (
            "with `materialization: {type: table}` a Python asset needs `def materialize()`, "
            "which returns the rows"
        )
        log.error(file, asset.body_line, _RULE, message)
        return
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != _FUNCTION:
            continue
        required = [*node.args.posonlyargs, *node.args.args][: -len(node.args.defaults) or None]
        required += [
            argument
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            if default is None
        ]
        if required:
            message = f"materialize() is called without arguments; remove {required[0].arg}"
            log.error(file, node.lineno, _RULE, message)
        if isinstance(node, ast.AsyncFunctionDef):
            log.error(file, node.lineno, _RULE, "materialize() is not awaited; remove `async`")


def _defined(tree: ast.Module) -> int | None:
    """The line at which the file gives something the name `materialize`."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if _FUNCTION in names:
            return int(getattr(node, "lineno", 1))
    return None


class _NoCodeError(Exception):
    pass


def _file(asset: Asset) -> Path:
    """The Python file of an asset. Raises _NoCodeError."""
    if asset.path.suffix == ".py":
        return asset.path
    if not asset.run:
        raise _NoCodeError("a Python asset needs code: a .py file with a header, or `run: file.py`")
    path = (asset.path.parent / asset.run).resolve()
    if not path.is_file():
        raise _NoCodeError(f"the file '{asset.run}' does not exist")
    return path


def environment_of(
    asset: Asset,
    run: RunContext,
    *,
    schemas: Mapping[str, Any] | None = None,
    connection: str = "",
    connection_types: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What a Python asset is told by its environment, as by Bruin.

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
    if not (run.full_refresh and asset.start_date and run.interval):
        return run.interval
    first = interval_between(asset.start_date, None)
    if first is None or first.start >= run.interval.end:
        return run.interval
    return Interval(first.start, run.interval.end)


def run_python(
    asset: Asset,
    root: Path,
    environment: Mapping[str, str],
    *,
    on_output: Callable[[str], None],
    timeout: float | None = None,
) -> Path | None:
    """Run the asset's file; the folder with the rows that it returned, None without any.

    Whoever calls removes the folder. `environment` is added to this process's own. `on_output` gets
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

    try:
        file = _file(asset)
        interpreter = _interpreter(file, root, asset.materialization.type == "table")
    except _NoCodeError as error:
        raise AssetError(f"{asset.path}:{asset.line}: {error}") from None
    order = {
        "file": str(file),
        "root": str(root),
        "result": str(result),
        "materialize": asset.materialization.type == "table",
    }
    variables = {**os.environ, **environment}
    variables |= {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    try:
        code = _supervised(interpreter, order, root, variables, told, timeout)
    except TimeoutError:
        at = asset.at("timeout")
        raise AssetError(f"{at.path}:{at.line}: timed out after {timeout:g} s") from None
    _require_success(asset, file, code, result, tail)


def _require_success(asset: Asset, file: Path, code: int, result: Path, tail: deque[str]) -> None:
    """Raise AssetError with what the child process says of its failure, or with its last words."""
    failure = result / "error.json"
    if failure.is_file():
        found = json.loads(failure.read_text(encoding="utf-8"))
        lines = str(found["traceback"]).rstrip().splitlines()[-_TAIL:]
        where = f"{file}:{found['line'] or asset.body_line}"
        raise AssetError("\n".join([f"{where}: {found['message']}", *lines]))
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


def _supervised(
    interpreter: list[str],
    order: Mapping[str, Any],
    root: Path,
    variables: Mapping[str, str],
    on_output: Callable[[str], None],
    timeout: float | None,
) -> int:
    """Run the child process to its end; its exit code. Raises TimeoutError.

    It leads a group of its own, which is killed when this ends in whatever way; and it kills
    itself when this process is gone, for which it holds one end of a pipe.
    """
    alive, held = os.pipe()
    order = {**order, "parent": os.getpid(), "alive": alive}
    command = [*interpreter, "-u", "-P", python_runner.__file__, json.dumps(order)]
    try:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            pass_fds=[alive],
        )
        try:
            _follow(process, on_output, None if timeout is None else time.monotonic() + timeout)
        finally:
            _stop(process)
    finally:
        os.close(alive)
        os.close(held)
    return process.returncode


def _follow(
    process: subprocess.Popen[str], on_output: Callable[[str], None], deadline: float | None
) -> None:
    """Pass the output on until the process has ended and its last line is told."""
    lines: queue.Queue[str | None] = queue.Queue(maxsize=1000)
    threading.Thread(target=_read_lines, args=(process, lines), daemon=True).start()
    ended: float | None = None
    reading = True
    while reading or ended is None:
        line = _next(lines) if reading else _pause()
        reading = line is not None
        if line:
            on_output(line.rstrip("\r\n"))
        if ended is None and process.poll() is not None:
            ended = time.monotonic()
            _signal(process, signal.SIGKILL)  # what it left running also holds its output open
        elif ended is not None and line == "" and time.monotonic() - ended > 1.0:
            return  # something that left the group still does
        if deadline is not None and ended is None and time.monotonic() > deadline:
            raise TimeoutError


def _read_lines(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with suppress(ValueError, OSError), process.stdout as output:
        for line in iter(lambda: output.readline(_LONGEST_LINE), ""):
            lines.put(line)
    lines.put(None)


def _next(lines: queue.Queue[str | None]) -> str | None:
    """The next line; empty when there is none yet, None when there will be none."""
    try:
        return lines.get(timeout=_POLL)
    except queue.Empty:
        return ""


def _pause() -> None:
    time.sleep(_POLL)


def _stop(process: subprocess.Popen[str]) -> None:
    """End the whole group: ask the process first, then kill what is left."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _interpreter(file: Path, root: Path, with_rows: bool) -> list[str]:
    """This interpreter, or one that uv gives the packages of the nearest requirements.txt."""
    required = _requirements(file, root)
    missing = _first_missing(required) if required is not None else None
    if required is None or missing is None:
        return [sys.executable]
    uv = shutil.which("uv")
    if uv is None:
        raise _NoCodeError(
            f"{required} asks for '{missing}', which is not installed here; "
            "install it, or install uv, which then brings it for this asset alone"
        )
    rows = ["--with", "pyarrow"] if with_rows else []
    return [
        uv, "run", "--quiet", "--no-project", "--python", sys.executable,
        "--with-requirements", str(required), *rows, "python",
    ]  # fmt: skip


def _requirements(file: Path, root: Path) -> Path | None:
    for folder in file.parents:
        if (folder / "requirements.txt").is_file():
            return folder / "requirements.txt"
        if folder == root:
            break
    return None


def _first_missing(required: Path) -> str | None:
    """The first line that is not known to be satisfied by what is installed."""
    for written in required.read_text(encoding="utf-8").splitlines():
        line = written.split(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        try:
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate():
                continue
            version = importlib.metadata.version(requirement.name)
        except (InvalidRequirement, importlib.metadata.PackageNotFoundError):
            return line
        if requirement.url or not requirement.specifier.contains(version, prereleases=True):
            return line
    return None


@dataclass(frozen=True)
class PythonLoad:
    """How the rows that a Python asset returned enter its table. Call it in a transaction.

    `parts` is what run_python gave. Without rows to load, the table stays as it is.
    """

    asset: Asset
    parts: Path | None
    full_refresh: bool = False

    def __call__(self, connection: duckdb.DuckDBPyConnection) -> Loaded:
        if self.parts is None:
            return Loaded()
        try:
            source = self._source(connection, self.parts)
            if source is None:
                return Loaded(0)
            strategy = strategy_name(self.asset)
            return load_table(
                connection,
                self.asset,
                source,
                strategy,
                full_refresh=self.full_refresh,
                update_all=True,
            )
        except (LoadError, duckdb.Error) as error:
            message = f"{self.asset.path}:{self.asset.body_line}: {str(error).strip()}"
            raise AssetError(message) from None

    def _source(self, connection: duckdb.DuckDBPyConnection, parts: Path) -> str | None:
        """The rows as SQL; None when there are none and nothing else to know of them."""
        found = _read(parts)
        if not found["columns"]:
            return self._no_rows(connection)
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

    def _no_rows(self, connection: duckdb.DuckDBPyConnection) -> str | None:
        """No rows and no columns, as of an empty list: the columns are those that are known."""
        asset = self.asset
        if kind_of(connection, asset.name) == "table":
            emptied = strategy_name(asset) == "create+replace" or self.full_refresh
            return (
                f"(SELECT * FROM {relation(asset.name)} LIMIT 0) AS returned" if emptied else None
            )
        cells = ", ".join(
            f"CAST(NULL AS {known_type(column.type) or 'VARCHAR'}) AS {quoted(column.name)}"
            for column in asset.columns
        )
        if not cells:
            raise LoadError(
                "materialize() returned no rows, and the file declares no columns; "
                "declare them, or return None to leave everything as it is"
            )
        return f"(SELECT {cells} LIMIT 0) AS returned"


def _read(parts: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((parts / "result.json").read_text(encoding="utf-8"))
    return found
