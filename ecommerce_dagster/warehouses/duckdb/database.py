"""Opening the DuckDB file: one writer at a time, the same session settings everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from ecommerce_dagster.errors import BruinError
from ecommerce_dagster.sql.identifiers import literal
from ecommerce_dagster.warehouses.duckdb.extensions import extension_settings

if TYPE_CHECKING:
    from filelock import FileLock

_Opened = TypeVar("_Opened")

# What every session is set to, cursors too, unless the caller's settings say otherwise.
_SESSION = {
    "TimeZone": "'UTC'",  # a day is the same day on every machine
    "python_enable_replacements": "false",  # a table is never a variable of this program
}
PRIVATE = 0o600  # the mode of a new file that rows are in
WAITING = "waiting for "  # how a line begins that says so
_PATIENCE = 2.0  # seconds of silent waiting before a line says what is waited for
_POLL = 0.05


class WarehouseError(BruinError):
    """The warehouse cannot be opened or written; the text is for the user."""


class MissingWarehouse(WarehouseError):
    """There is no warehouse to read yet."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} does not exist yet; run the pipeline first")


@contextmanager
def open_warehouse(
    path: str,
    *,
    read_only: bool = False,
    settings: Mapping[str, Any] | None = None,
    on_wait: Callable[[str], None] = lambda message: None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the DuckDB file at `path`, closed in every case.

    DuckDB lets one process at a time open a file for writing. Processes of this project take turns
    by a lock file beside it, which the system frees when its holder dies. They wait without a limit
    and call `on_wait` once, with what they wait for. Raises MissingWarehouse when a file that is
    only to be read does not exist, WarehouseError when it cannot be opened.
    """
    if not is_file(path):
        with connected(path, settings=settings, on_wait=on_wait) as connection:
            yield connection
        return
    if read_only and not Path(path).exists():
        raise MissingWarehouse(path)
    make_folder_of(path)
    with lock(path, on_wait):
        is_new = not Path(path).exists()
        with connected(path, read_only=read_only, settings=settings, on_wait=on_wait) as connection:
            if is_new:
                # It is empty until now. Who has one that others may read keeps it so.
                Path(path).chmod(PRIVATE)
            yield connection


def make_folder_of(path: str) -> None:
    """Make the folder that a file is to be in. Raises WarehouseError."""
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise WarehouseError(f"{path} cannot be created: {folder} is a file") from None
    except OSError as error:
        raise WarehouseError(f"{path} cannot be created: {error.strerror}") from None


def is_file(path: str) -> bool:
    """Whether a database is a file on this machine."""
    return not path.startswith((":memory:", "md:", "motherduck:", "ducklake:"))


def database_name(path: str) -> str:
    """What DuckDB calls the database in a file, in names of three parts."""
    name = next(filter(None, Path(path).name.split(".")), "")
    return f"{name}_db" if name in {"main", "system", "temp"} else name


@contextmanager
def connected(
    path: str,
    *,
    read_only: bool = False,
    settings: Mapping[str, Any] | None = None,
    on_wait: Callable[[str], None] = lambda message: None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose turn it is, set up as every session here, and closed in every case."""
    config = {**_config(), **(settings or {})}
    connection = _connect(path, read_only, config, on_wait)
    try:
        yield _prepared(connection, config)
    finally:
        connection.interrupt()  # of what a signal has interrupted
        connection.close()


def _config() -> dict[str, Any]:
    """No network, not even to find out what kind of file it is: extensions come from wheels."""
    return {"autoinstall_known_extensions": False, **extension_settings()}


def _prepared(
    connection: duckdb.DuckDBPyConnection, config: Mapping[str, Any]
) -> duckdb.DuckDBPyConnection:
    for setting in _SESSION.keys() - config.keys():
        connection.execute(f"SET GLOBAL {setting} = {_SESSION[setting]}")
    return connection


@contextmanager
def lock(path: str, on_wait: Callable[[str], None]) -> Iterator[None]:
    """The time in which this process alone has the file, among those of this project. Raises
    WarehouseError when the lock file cannot be written."""
    # Only for a file that is written to: with asyncio it takes 20 ms.
    from filelock import FileLock, Timeout

    # By its real path, so that a link to the file is the same file. Not bound to a thread, so that
    # a generator that another thread closes frees it too.
    lock = FileLock(f"{Path(path).resolve()}.lock", thread_local=False)
    try:
        lock.acquire(timeout=_PATIENCE, poll_interval=_POLL)
    except Timeout:
        on_wait(f"{WAITING}another run to finish with {path}")
        _wait_for(lock, path)
    except OSError as error:
        raise WarehouseError(f"{path}.lock cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def _wait_for(lock: FileLock, path: str) -> None:
    try:
        lock.acquire(poll_interval=_POLL)
    except RuntimeError:
        # It would wait for itself.
        raise WarehouseError(
            f"{path} is already open in this thread; use that connection"
        ) from None


def _connect(
    path: str, read_only: bool, config: dict[str, Any], on_wait: Callable[[str], None]
) -> duckdb.DuckDBPyConnection:
    try:
        return when_free(
            path, lambda: duckdb.connect(path, read_only=read_only, config=config), on_wait
        )
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise WarehouseError(f"{path} cannot be opened as a DuckDB database: {first}") from None


def when_free(path: str, open_it: Callable[[], _Opened], on_wait: Callable[[str], None]) -> _Opened:
    """Open a file, waiting while a program that knows nothing of the lock file holds it. Raises
    duckdb.Error for any other reason."""
    started, told = time.monotonic(), False
    while True:
        try:
            return open_it()
        except duckdb.IOException as error:
            if "Could not set lock" not in str(error):
                raise
            if not told and time.monotonic() - started > _PATIENCE:
                on_wait(f"{WAITING}another program that has {path} open: {error}")
                told = True
            time.sleep(_POLL)


def is_lake(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the tables of a connection are those of a DuckLake."""
    row = connection.execute(
        "SELECT type FROM duckdb_databases() WHERE database_name = current_database()"
    ).fetchone()
    return row is not None and row[0] == "ducklake"


def described(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """The columns of a table, a view or a (parenthesised) query: name to type, in order."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {str(row[0]): str(row[1]) for row in rows}


def types_in(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """The types of the same columns, by their names in lower case."""
    return {name.lower(): kind for name, kind in described(connection, relation).items()}


def kind_of(connection: duckdb.DuckDBPyConnection, name: str) -> str | None:
    """`table`, `view`, or None when nothing is called `name`."""
    about = about_table(name, "table_catalog", "table_schema")
    row = connection.execute(
        f"SELECT table_type FROM information_schema.tables WHERE {about}"
    ).fetchone()
    return None if row is None else "view" if row[0] == "VIEW" else "table"


def about_table(name: str, database: str, schema: str) -> str:
    """The condition for rows of a catalog about the table `name` ([[database.]schema.]table).

    `database` and `schema` are the catalog's columns. The name is written out, because for a
    parameter DuckDB imports pandas where it is installed, which takes a second.
    """
    parts = [literal(part) for part in reversed(name.split("."))]
    here = ["current_schema()", "current_database()"][len(parts) - 1 :]
    columns = ("table_name", schema, database)
    return " AND ".join(
        f"lower({column}) = lower({part})"
        for column, part in zip(columns, [*parts, *here], strict=False)
    )


def comments_of(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    """The comments on the columns of a table or a view, in lower case, and on itself by an empty
    name."""
    about = about_table(name, "database_name", "schema_name")
    rows = connection.execute(
        f"SELECT '', comment FROM duckdb_tables() WHERE comment IS NOT NULL AND {about}"
        " UNION ALL SELECT '', comment FROM duckdb_views() WHERE comment IS NOT NULL"
        f" AND {about.replace('table_name', 'view_name')}"
        " UNION ALL SELECT lower(column_name), comment FROM duckdb_columns()"
        f" WHERE comment IS NOT NULL AND {about}"
    ).fetchall()
    return dict(rows)


def roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """End the transaction, if there is one, and the statement that a signal has interrupted: DuckDB
    leaves that one at work, and the next statement would wait for it."""
    connection.interrupt()
    # There is no transaction when BEGIN itself failed or the file is gone.
    with suppress(duckdb.Error):
        connection.execute("ROLLBACK")
