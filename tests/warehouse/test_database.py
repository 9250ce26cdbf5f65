"""Opening the file: taking turns with other processes, and saying what is in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pytest

from ecommerce_dagster.warehouses.duckdb import database
from ecommerce_dagster.warehouses.duckdb.database import (
    WarehouseError,
    database_name,
    kind_of,
    open_warehouse,
)

as_root = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "shop.duckdb")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_PATIENCE", 0.2)


@contextmanager
def process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said `ready`; ended in any case."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            yield running
        finally:
            running.kill()


HOLDER = """
    import sys
    from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
    with open_warehouse(sys.argv[1]) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS n")
        print("ready", flush=True)
        sys.stdin.read(1)
        connection.execute("INSERT INTO t VALUES (2)")
"""
STRANGER = """
    import sys, duckdb
    connection = duckdb.connect(sys.argv[1])
    connection.execute("CREATE TABLE t AS SELECT 1 AS n")
    print("ready", flush=True)
    sys.stdin.read(1)
"""


class TestTurns:
    @pytest.mark.parametrize(
        ("code", "waited_for"),
        [
            (HOLDER, "waiting for another run to finish with {path}"),
            (STRANGER, "waiting for another program that has {path} open: IO Error: Could not set"),
        ],
        ids=["another run", "another program"],
    )
    @pytest.mark.usefixtures("impatient")
    def test_a_process_waits_for_another_and_says_so_once(
        self, path: str, code: str, waited_for: str
    ) -> None:
        with process(code, path) as other:
            told: list[str] = []

            def let_go(message: str) -> None:
                told.append(message)
                time.sleep(0.3)
                assert other.poll() is None
                assert other.stdin is not None
                other.stdin.write("x")
                other.stdin.close()

            with open_warehouse(path, on_wait=let_go) as connection:
                assert (1,) in connection.execute("FROM t").fetchall()
            (message,) = told
            assert message.startswith(waited_for.format(path=path))

    @pytest.mark.usefixtures("impatient")
    def test_the_lock_of_a_killed_process_is_free(self, path: str) -> None:
        with process(HOLDER, path) as other:

            def kill(message: str) -> None:
                other.send_signal(signal.SIGKILL)

            with open_warehouse(path, on_wait=kill) as connection:
                assert connection.execute("FROM t").fetchall() == [(1,)]

    def test_a_short_wait_is_not_worth_a_word(self, path: str) -> None:
        told: list[str] = []
        with process(HOLDER, path) as other:
            assert other.stdin is not None
            timer = threading.Timer(0.2, other.stdin.close)
            timer.start()
            with open_warehouse(path, on_wait=told.append):
                pass
            timer.join()
        assert told == []

    def test_threads_of_one_process_take_turns(self, path: str) -> None:
        inside: list[int] = []
        most: list[int] = []

        def work(number: int) -> None:
            with open_warehouse(path) as connection:
                inside.append(number)
                most.append(len(inside))
                connection.execute(f"CREATE TABLE t{number} AS SELECT 1")
                time.sleep(0.02)
                inside.remove(number)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1] * 5
        with open_warehouse(path) as connection:
            assert len(connection.execute("SHOW TABLES").fetchall()) == 5

    def test_a_link_to_the_file_is_the_file(self, path: str, tmp_path: Path) -> None:
        link = tmp_path / "link.duckdb"
        link.symlink_to(path)
        told: list[str] = []
        with process(HOLDER, path) as other:
            assert other.stdin is not None
            other.stdin.close()
            with open_warehouse(str(link), on_wait=told.append) as connection:
                assert len(connection.execute("FROM t").fetchall()) == 2
        assert told == []
        assert not Path(f"{link}.lock").exists()

    @pytest.mark.usefixtures("impatient")
    def test_a_thread_that_waits_for_itself_is_told(self, path: str) -> None:
        with open_warehouse(path):
            assert "is already open in this thread" in refused(path)

    def test_another_thread_may_close_what_one_opened(self, path: str) -> None:
        opened = open_warehouse(path)
        connection = opened.__enter__()
        thread = threading.Thread(target=opened.__exit__, args=(None, None, None))
        thread.start()
        thread.join()
        assert is_closed(connection)
        with open_warehouse(path):
            pass


def refused(path: str, *, read_only: bool = False) -> str:
    """What is said when the file cannot be opened."""
    with pytest.raises(WarehouseError) as error, open_warehouse(path, read_only=read_only):
        pass
    return str(error.value)


def is_closed(connection: duckdb.DuckDBPyConnection) -> bool:
    try:
        connection.execute("SELECT 1")
    except duckdb.ConnectionException:
        return True
    return False


class TestClosing:
    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
    @pytest.mark.parametrize("memory", [True, False])
    def test_it_closes_in_every_case(
        self, path: str, error: type[BaseException], memory: bool
    ) -> None:
        kept = []

        def work() -> None:
            with open_warehouse(":memory:" if memory else path) as connection:
                kept.append(connection)
                connection.execute("BEGIN")
                raise error

        with pytest.raises(error) as raised:
            work()
        assert is_closed(kept[0])
        assert raised.tb is not None  # which holds on to every local variable on its way
        with open_warehouse(path) as connection:
            connection.execute("SELECT 1")

    def test_a_setting_that_cannot_be_set_closes_it_too(
        self, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "_SESSION", {"no_such_setting": "1"})
        with pytest.raises(duckdb.Error), open_warehouse(path):
            pass
        monkeypatch.undo()
        with closing(duckdb.connect(path)):
            assert "different configuration" in refused(path)
        with open_warehouse(path):
            pass

    def test_an_aborted_transaction_is_not_kept(self, path: str) -> None:
        with open_warehouse(path) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS n")
            connection.execute("BEGIN")
            connection.execute("INSERT INTO t VALUES (2)")
        with open_warehouse(path) as connection:
            assert connection.execute("FROM t").fetchall() == [(1,)]


class TestWhatIsInTheWay:
    def test_a_missing_folder_is_made(self, tmp_path: Path) -> None:
        with open_warehouse(str(tmp_path / "a" / "b" / "shop.duckdb")):
            assert (tmp_path / "a" / "b" / "shop.duckdb").exists()

    @pytest.mark.parametrize(
        "content", [b"this is not a database", b"\0" * 100_000, b"SQLite format 3\0"]
    )
    def test_a_file_of_another_kind(self, path: str, content: bytes) -> None:
        Path(path).write_bytes(content)
        message = refused(path)
        assert message.startswith(f"{path} cannot be opened as a DuckDB database: ")
        assert Path(path).read_bytes() == content

    def test_a_damaged_file(self, path: str) -> None:
        with open_warehouse(path) as connection:
            connection.execute("CREATE TABLE t AS SELECT * FROM range(100000)")
        content = bytearray(Path(path).read_bytes())
        content[4096:12288] = b"\xff" * 8192
        Path(path).write_bytes(content)
        assert "cannot be opened as a DuckDB database: " in refused(path)

    def test_a_folder(self, tmp_path: Path) -> None:
        assert "cannot be opened as a DuckDB database" in refused(str(tmp_path))

    def test_a_file_where_a_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "shop.duckdb"
        assert refused(str(path)) == f"{path} cannot be created: {path.parent} is a file"

    @pytest.mark.skipif(as_root, reason="root may write everywhere")
    def test_a_folder_that_may_not_be_written(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        try:
            path = tmp_path / "shop.duckdb"
            assert refused(str(path)) == f"{path}.lock cannot be written: Permission denied"
        finally:
            tmp_path.chmod(0o700)

    def test_nothing_to_read(self, path: str) -> None:
        message = refused(path, read_only=True)
        assert message == f"{path} does not exist yet; run the pipeline first"
        assert not Path(path).exists()


class TestSession:
    @pytest.mark.parametrize("where", ["file", ":memory:"])
    def test_days_are_utc_days_and_tables_are_tables(
        self, path: str, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        values = [1]
        with open_warehouse(path if where == "file" else where) as connection:
            for session in (connection, connection.cursor()):
                found = session.execute(
                    "SELECT current_setting('TimeZone'), "
                    "CAST(TIMESTAMPTZ '2024-01-01 23:59:59+00' AS DATE)::VARCHAR, "
                    "current_setting('autoinstall_known_extensions')"
                ).fetchall()
                assert found == [("UTC", "2024-01-01", False)]
                with pytest.raises(duckdb.CatalogException):
                    session.execute("SELECT * FROM values")
        assert values == [1]

    @pytest.mark.parametrize("where", ["file", ":memory:"])
    def test_settings_are_applied(self, path: str, where: str) -> None:
        settings = {"threads": 1, "autoinstall_known_extensions": True}
        with open_warehouse(path if where == "file" else where, settings=settings) as connection:
            found = connection.execute(
                "SELECT current_setting('threads'), current_setting('autoinstall_known_extensions')"
            ).fetchall()
        assert found == [(1, True)]

    def test_a_reader_cannot_write(self, path: str) -> None:
        with open_warehouse(path) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS n")
        with open_warehouse(path, read_only=True) as connection:
            assert connection.execute("FROM t").fetchall() == [(1,)]
            with pytest.raises(duckdb.InvalidInputException, match="read-only"):
                connection.execute("INSERT INTO t VALUES (2)")

    def test_asking_for_a_table_imports_nothing_slow(self) -> None:
        code = """
            import sys
            from ecommerce_dagster.warehouses.duckdb.database import kind_of, open_warehouse
            with open_warehouse(":memory:") as connection:
                kind_of(connection, "mart.t")
            print(*{"pandas", "pyarrow", "numpy"} & set(sys.modules))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "\n"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("t", "table"), ("main.t", "table"), ("memory.main.t", "table"), ("MEMORY.Main.T", "table"),
     ("raw.v", "view"), ("raw.t", None), ("v", None), ("it's.t", None), ("", None),
     ("x.main.t", None), ("a.b.c.t", None)],
)  # fmt: skip
def test_tables_and_views_are_found_by_name(name: str, kind: str | None) -> None:
    with open_warehouse(":memory:") as connection:
        connection.execute("CREATE TABLE t AS SELECT 1; CREATE SCHEMA raw")
        connection.execute("CREATE VIEW raw.v AS SELECT 1")
        assert kind_of(connection, name) == kind


@pytest.mark.parametrize(
    "file", ["shop.duckdb", "shop", "Shop.v1.2.db", ".shop.db", "a shop.db", "main.db", "temp.db"]
)
def test_a_database_is_called_as_duckdb_calls_it(tmp_path: Path, file: str) -> None:
    path = str(tmp_path / file)
    with open_warehouse(path) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (database_name(path),)
