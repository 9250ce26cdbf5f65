"""The embedded server, for real: PostgreSQL is started, talked to and killed; so are parents."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from ecommerce_dagster.shop import embedded_postgres, postgres_programs
from ecommerce_dagster.shop.embedded_postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    PostgresServer,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs Linux or macOS")
needs_proc = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root has this problem"
)


@pytest.fixture(scope="module", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary folder of our own, which takes everything away again in the end."""
    tmp_path_factory.getbasetemp()  # pytest's own stays where it is
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        patch.setenv("TMPDIR", name)
        patch.setattr(tempfile, "tempdir", name)
        yield Path(name)


@pytest.fixture(scope="module")
def used_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a cluster that other tests may have used: its starts are fast."""
    return tmp_path_factory.mktemp("embedded") / "used data"


@pytest.fixture
def data_dir(used_dir: Path) -> Iterator[Path]:
    yield used_dir
    assert eventually(lambda: not processes_of(used_dir))


@pytest.fixture
def new_dir(tmp_path: Path) -> Iterator[Path]:
    """A data folder that does not exist yet, below pytest's 0700 folder."""
    yield tmp_path / "new data"
    assert eventually(lambda: not processes_of(tmp_path / "new data"))


class TestOneProcess:
    def test_a_cold_start_answers_queries(self, new_dir: Path) -> None:
        with EmbeddedPostgres(new_dir) as server:
            assert ask(server, "SELECT current_database()") == ("shop",)
            assert ask(server, "SHOW timezone") == ("UTC",)

    def test_it_listens_on_127_0_0_1_only(self, data_dir: Path) -> None:
        elsewhere = {"listen_addresses": "*", "unix_socket_directories": "/tmp"}
        with EmbeddedPostgres(data_dir, settings=elsewhere) as server:
            assert server.host == "127.0.0.1"
            assert ask(server, "SHOW listen_addresses") == ("127.0.0.1",)
            assert ask(server, "SHOW unix_socket_directories") == ("",)

    def test_settings_are_applied(self, data_dir: Path) -> None:
        settings = {"work_mem": "7MB", "timezone": "Asia/Tokyo"}
        with EmbeddedPostgres(data_dir, settings=settings) as server:
            assert ask(server, "SHOW work_mem") == ("7MB",)
            assert ask(server, "SHOW timezone") == ("Asia/Tokyo",)

    def test_what_was_committed_is_visible_to_logical_decoding_at_once(self, new_dir: Path) -> None:
        with EmbeddedPostgres(new_dir) as server:
            tell(server, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE PUBLICATION p FOR TABLE t")
            ask(server, "SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
            tell(server, "INSERT INTO t VALUES (1)")
            options = "'s', NULL, NULL, 'proto_version', '1', 'publication_names', 'p'"
            changes = f"SELECT count(*) > 0 FROM pg_logical_slot_get_binary_changes({options})"
            assert ask(server, changes) == (True,)

    def test_data_and_address_survive_a_restart(self, new_dir: Path) -> None:
        postgres = EmbeddedPostgres(new_dir)
        with postgres as first:
            tell(first, "CREATE TABLE t AS SELECT 42 AS answer")
        with postgres as second:
            assert ask(second, "SELECT answer FROM t") == (42,)
            assert second == first

    def test_another_database_is_created_in_the_same_cluster(self, data_dir: Path) -> None:
        with EmbeddedPostgres(data_dir), EmbeddedPostgres(data_dir, database='lake "1"') as server:
            assert ask(server, "SELECT current_database()") == ('lake "1"',)

    @needs_proc
    def test_nothing_runs_after_the_block(self, data_dir: Path) -> None:
        with EmbeddedPostgres(data_dir):
            assert processes_of(data_dir)
        assert not processes_of(data_dir)

    @needs_proc
    def test_nothing_runs_after_an_error_in_the_block(self, data_dir: Path) -> None:
        with pytest.raises(ZeroDivisionError), EmbeddedPostgres(data_dir):
            raise ZeroDivisionError
        assert not processes_of(data_dir)

    def test_clients_that_are_still_connected_do_not_delay_the_end(self, data_dir: Path) -> None:
        with EmbeddedPostgres(data_dir) as server:
            client = psycopg.connect(server.dsn)
            client.execute("SELECT 1")
            before_the_end = time.monotonic()
        assert time.monotonic() - before_the_end < 5
        client.close()

    def test_a_start_in_a_thread_that_ends_keeps_the_server_alive(self, data_dir: Path) -> None:
        postgres = EmbeddedPostgres(data_dir)
        servers: list[PostgresServer] = []
        starter = threading.Thread(target=lambda: servers.append(postgres.__enter__()))
        starter.start()
        starter.join()
        time.sleep(1)
        assert ask(servers[0], "SELECT 1") == (1,)
        postgres.__exit__()
        assert not answers(servers[0])


class TestSeveralProcesses:
    def test_a_second_process_joins_and_leaves_the_server_running(self, data_dir: Path) -> None:
        with EmbeddedPostgres(data_dir) as server:
            with another_process(data_dir) as (process, port):
                assert port == server.port
                process.communicate("end\n", timeout=20)
            assert process.returncode == 0
            assert ask(server, "SELECT 1") == (1,)

    def test_only_the_starter_stops_it(self, data_dir: Path) -> None:
        with another_process(data_dir) as (process, port), EmbeddedPostgres(data_dir) as server:
            assert port == server.port
            process.communicate("end\n", timeout=20)
            assert not answers(server)

    def test_processes_that_start_at_once_share_one_server(self, new_dir: Path) -> None:
        processes = [spawn(new_dir) for _ in range(3)]
        assert len({port_of(process) for process in processes}) == 1
        for process in processes:
            process.communicate("end\n", timeout=20)
        assert [process.returncode for process in processes] == [0, 0, 0]

    @needs_proc
    def test_kill_9_of_the_starter_leaves_no_process(self, data_dir: Path) -> None:
        with another_process(data_dir) as (process, _):
            assert processes_of(data_dir)
            process.kill()
            assert eventually(lambda: not processes_of(data_dir))
        assert "database system is shut down" in (data_dir / "server.log").read_text()

    @needs_proc
    def test_kill_9_of_the_starter_is_noticed_although_its_fork_lives_on(
        self, data_dir: Path
    ) -> None:
        fork = "os.fork() or (os.close(1), __import__('time').sleep(15), os._exit(0))"
        with another_process(data_dir, fork) as (process, _):
            process.kill()
            assert eventually(lambda: not processes_of(data_dir))
            with EmbeddedPostgres(data_dir) as server:
                assert ask(server, "SELECT 1") == (1,)

    def test_a_start_right_after_kill_9_does_not_join_the_dying_server(
        self, data_dir: Path
    ) -> None:
        with another_process(data_dir) as (process, _):
            process.kill()
            process.wait()
            with EmbeddedPostgres(data_dir) as server:
                time.sleep(1.5)
                assert ask(server, "SELECT 1") == (1,)

    @needs_proc
    def test_kill_9_of_everything_but_postgres_leaves_no_process(self, data_dir: Path) -> None:
        with another_process(data_dir) as (process, _):
            supervisors = [
                pid for pid, command in processes_of(data_dir).items() if "-ISc" in command
            ]
            for pid in (process.pid, *supervisors):
                os.kill(pid, signal.SIGKILL)
            assert len(supervisors) == 1
            assert eventually(lambda: not processes_of(data_dir))

    @needs_proc
    def test_kill_9_of_postgres_itself_loses_no_data(self, new_dir: Path) -> None:
        with EmbeddedPostgres(new_dir) as server:
            tell(server, "CREATE TABLE t AS SELECT 42 AS answer")
            for pid, command in processes_of(new_dir).items():
                if "-ISc" not in command:
                    os.kill(pid, signal.SIGKILL)
        with EmbeddedPostgres(new_dir) as server:
            assert ask(server, "SELECT answer FROM t") == (42,)

    def test_a_left_over_pid_file_that_names_a_living_process_is_no_obstacle(
        self, data_dir: Path
    ) -> None:
        with EmbeddedPostgres(data_dir):
            pid_file = (data_dir / "pgdata" / "postmaster.pid").read_text().splitlines()
        account = postgres_programs.run_as()  # PostgreSQL ignores processes of other users
        with subprocess.Popen(["sleep", "60"], **account) as stranger:
            pid_file[0] = str(stranger.pid)
            (data_dir / "pgdata" / "postmaster.pid").write_text("\n".join(pid_file))
            with EmbeddedPostgres(data_dir) as server:
                assert ask(server, "SELECT 1") == (1,)
            assert stranger.poll() is None
            stranger.kill()

    def test_ctrl_c_in_the_terminal_does_not_reach_the_server(self, data_dir: Path) -> None:
        deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
        with another_process(data_dir, deaf) as (process, _), EmbeddedPostgres(data_dir) as server:
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.5)
            assert ask(server, "SELECT 1") == (1,)


class TestPorts:
    def test_a_remembered_port_that_is_taken_by_now_is_replaced(self, data_dir: Path) -> None:
        with EmbeddedPostgres(data_dir) as before:
            pass
        with taken_port(before.port), EmbeddedPostgres(data_dir) as after:
            assert after.port != before.port
            assert ask(after, "SELECT 1") == (1,)

    def test_a_port_that_is_taken_at_the_last_moment_is_replaced(
        self, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find = embedded_postgres._free_port
        with taken_port() as taken:
            found = iter([taken, find(0)])
            monkeypatch.setattr(embedded_postgres, "_free_port", lambda wish: next(found))
            with EmbeddedPostgres(data_dir) as server:
                assert server.port != taken
                assert ask(server, "SELECT 1") == (1,)


class TestErrors:
    def test_a_wrong_postgres_bin_is_named(
        self, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("POSTGRES_BIN", "/nowhere/bin")
        with pytest.raises(EmbeddedPostgresError) as error, EmbeddedPostgres(data_dir):
            pass
        for part in ("/nowhere/bin", "POSTGRES_BIN", 'pip install "ecommerce-dagster[embedded]"'):
            assert part in str(error.value)

    def test_an_initdb_that_fails_is_quoted_and_leaves_nothing_behind(
        self, new_dir: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with tempfile.TemporaryDirectory(dir=temporary) as binaries:
            Path(binaries).chmod(0o755)
            for program in ("initdb", "postgres"):
                Path(binaries, program).write_text("#!/bin/sh\necho no room left >&2; exit 1\n")
                Path(binaries, program).chmod(0o755)
            monkeypatch.setenv("POSTGRES_BIN", binaries)
            failed = pytest.raises(EmbeddedPostgresError, match="initdb failed:\nno room left")
            with failed, EmbeddedPostgres(new_dir):
                pass
        monkeypatch.delenv("POSTGRES_BIN")
        with EmbeddedPostgres(new_dir) as server:
            assert ask(server, "SELECT 1") == (1,)

    @needs_proc
    def test_a_start_that_fails_shows_the_log_and_leaves_nothing_behind(
        self, data_dir: Path
    ) -> None:
        wrong = EmbeddedPostgres(data_dir, settings={"work_mem": "much"})
        with pytest.raises(EmbeddedPostgresError, match="PostgreSQL did not start") as error, wrong:
            pass
        assert '"work_mem": "much"' in str(error.value)
        assert not processes_of(data_dir)
        with EmbeddedPostgres(data_dir) as server:
            assert ask(server, "SELECT 1") == (1,)

    def test_a_lost_password_does_not_cost_the_data(self, new_dir: Path) -> None:
        with EmbeddedPostgres(new_dir):
            pass
        (new_dir / "server.json").unlink()
        with pytest.raises(EmbeddedPostgresError, match="restore it"), EmbeddedPostgres(new_dir):
            pass
        assert (new_dir / "pgdata" / "PG_VERSION").exists()


class TestSecrets:
    def test_the_password_is_in_the_dsn_and_environment_but_not_in_the_repr(self) -> None:
        server = PostgresServer("127.0.0.1", 5433, "the user", "p@ss/w:rd%", "my db")
        assert "p@ss" not in repr(server)
        assert server.dsn == "postgresql://the%20user:p%40ss%2Fw%3Ard%25@127.0.0.1:5433/my%20db"
        assert server.environment() == {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": "5433",
            "POSTGRES_USER": "the user",
            "POSTGRES_PASSWORD": "p@ss/w:rd%",
            "POSTGRES_DB": "my db",
        }

    @needs_proc
    def test_the_password_is_in_no_command_line_and_no_environment(self, new_dir: Path) -> None:
        seen: set[str] = set()
        over = threading.Event()

        def watch() -> None:
            while not over.is_set():
                seen.update(read_proc("cmdline").values(), read_proc("environ").values())

        watcher = threading.Thread(target=watch)
        watcher.start()
        with EmbeddedPostgres(new_dir) as server:
            pass
        over.set()
        watcher.join()
        assert any("initdb" in text for text in seen)
        assert not any(server.password in text for text in seen)

    def test_the_password_is_in_one_file_which_is_private(self, new_dir: Path) -> None:
        with EmbeddedPostgres(new_dir) as server:
            files = [path for path in new_dir.rglob("*") if path.is_file()]
            secret = [path for path in files if server.password.encode() in path.read_bytes()]
        assert secret == [new_dir / "server.json"]
        assert mode(new_dir / "server.json") == 0o600
        assert mode(new_dir / "server.log") == 0o600

    def test_a_wrong_password_is_refused(self, data_dir: Path) -> None:
        with EmbeddedPostgres(data_dir) as server:
            stranger = PostgresServer(server.host, server.port, server.user, "guess", "shop")
            assert not answers(stranger)


class TestRoot:
    def test_no_folder_is_opened_to_others(self, new_dir: Path) -> None:
        new_dir.parent.chmod(0o700)
        before = {folder: mode(folder) for folder in new_dir.parents}
        with EmbeddedPostgres(new_dir) as server:
            assert ask(server, "SELECT 1") == (1,)
        assert {folder: mode(folder) for folder in new_dir.parents} == before
        assert mode((new_dir / "pgdata").resolve()) == 0o700

    @needs_root
    def test_data_lies_in_the_data_folder_when_the_account_can_reach_it(
        self, temporary: Path
    ) -> None:
        reachable = temporary / "shop"
        with EmbeddedPostgres(reachable) as server:
            assert ask(server, "SHOW data_directory") == (str(reachable.resolve() / "pgdata"),)

    @needs_root
    def test_binaries_that_the_account_cannot_reach_are_copied_once(
        self, new_dir: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prefix, hidden = postgres_programs.find_programs().parent, new_dir.parent / "hidden"
        for part in (prefix, Path(f"{prefix.parent}.libs")):
            if part.exists():
                shutil.copytree(part, hidden / part.relative_to(prefix.parents[1]))
        hidden.chmod(0o700)
        moved = hidden / prefix.relative_to(prefix.parents[1]) / "bin"
        monkeypatch.setenv("POSTGRES_BIN", str(moved))
        for _ in range(2):
            with EmbeddedPostgres(new_dir) as server:
                assert ask(server, "SELECT 1") == (1,)
        assert len(list(temporary.rglob("bin/postgres"))) == 1

    @needs_root
    def test_a_deleted_data_folder_means_a_new_beginning(self, new_dir: Path) -> None:
        with EmbeddedPostgres(new_dir) as server:
            tell(server, "CREATE TABLE t ()")
        shutil.rmtree(new_dir)
        with EmbeddedPostgres(new_dir) as server:
            assert ask(server, "SELECT to_regclass('t')") == (None,)

    @needs_root
    def test_the_data_of_a_deleted_folder_goes_when_a_new_one_comes(
        self, new_dir: Path, tmp_path: Path
    ) -> None:
        with EmbeddedPostgres(tmp_path / "first"), EmbeddedPostgres(tmp_path / "second"):
            first, second = ((tmp_path / name / "pgdata").resolve() for name in ("first", "second"))
        shutil.rmtree(tmp_path / "first")
        with EmbeddedPostgres(new_dir):
            assert second.exists()
            assert not first.exists()

    @needs_root
    def test_a_cleaned_temporary_folder_means_a_new_beginning(self, new_dir: Path) -> None:
        with EmbeddedPostgres(new_dir):
            pass
        shutil.rmtree((new_dir / "pgdata").resolve())
        with EmbeddedPostgres(new_dir) as server:
            assert ask(server, "SELECT 1") == (1,)


def ask(server: PostgresServer, query: str) -> tuple[object, ...] | None:
    with psycopg.connect(server.dsn) as connection:
        return connection.execute(query).fetchone()


def tell(server: PostgresServer, *statements: str) -> None:
    with psycopg.connect(server.dsn) as connection:
        for statement in statements:
            connection.execute(statement)


def answers(server: PostgresServer) -> bool:
    try:
        return ask(server, "SELECT 1") == (1,)
    except psycopg.OperationalError:
        return False


def spawn(data_dir: Path, meanwhile: str = "pass") -> subprocess.Popen[str]:
    """Python that enters the block, prints the port, and leaves it when it is told anything."""
    script = (
        "import os, sys; from pathlib import Path;"
        "from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres\n"
        "with EmbeddedPostgres(Path(sys.argv[1])) as server:\n"
        f"    {meanwhile}\n"
        "    print(server.port, flush=True); sys.stdin.readline()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@contextmanager
def another_process(
    data_dir: Path, meanwhile: str = "pass"
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = spawn(data_dir, meanwhile)
    try:
        yield process, port_of(process)
    finally:
        process.kill()
        process.communicate()


def processes_of(data_dir: Path) -> dict[int, str]:
    """The command lines of everything that belongs to the server: its own, and its supervisor's."""
    cluster = str((data_dir / "pgdata").resolve())
    inside = [pid for pid, folder in read_proc("cwd").items() if folder.startswith(cluster)]
    return {
        pid: command
        for pid, command in read_proc("cmdline").items()
        if pid in inside or f"-D\0{cluster}\0" in command
    }


def read_proc(what: str) -> dict[int, str]:
    found = {}
    for entry in Path("/proc").glob(f"[0-9]*/{what}"):
        try:
            text = (
                str(entry.readlink()) if entry.is_symlink() else entry.read_text(errors="replace")
            )
        except OSError:  # it has ended meanwhile, or is not ours
            continue
        found[int(entry.parent.name)] = text
    return found


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@contextmanager
def taken_port(port: int = 0) -> Iterator[int]:
    with socket.socket() as occupant:
        occupant.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        occupant.bind(("127.0.0.1", port))
        occupant.listen()
        yield occupant.getsockname()[1]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
