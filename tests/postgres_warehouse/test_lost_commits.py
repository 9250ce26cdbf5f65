"""A connection that is lost while PostgreSQL commits: its answer may be lost, and not the commit."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import pytest

from ecommerce_dagster.warehouses.sql_asset import AssetError, OutsideError
from postgres_warehouse.helpers import TABLE, Warehouse, values

APPEND = TABLE.replace("table", "table, strategy: append", 1)
CHECKED = f"{APPEND}\ncolumns: [{{name: x, checks: [{{name: positive}}]}}]"
COMMIT = b"COMMIT\0"


class Line:
    """A way to a server that breaks at the first COMMIT after an INSERT: before the server gets it,
    or before the client gets the answer. When it `stays_broken`, nothing gets through after that.
    """

    def __init__(
        self, server: tuple[str, int], breaks: Literal["before", "after"], stays_broken: bool
    ) -> None:
        self._server, self._breaks, self._stays_broken = server, breaks, stays_broken
        self._written, self._broken = threading.Event(), threading.Event()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._open, daemon=True).start()

    def close(self) -> None:
        self._door.close()

    def _open(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                if self._broken.is_set() and self._stays_broken:
                    client.close()
                    continue
                server = socket.create_connection(self._server)
                breaking = threading.Event()
                for way in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(*way, breaking), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, breaking: threading.Event) -> None:
        """Pass on what comes from one end, until the line breaks or an end is closed."""
        with suppress(OSError):
            while data := one.recv(65536):
                if b"INSERT INTO" in data:
                    self._written.set()
                if COMMIT in data and self._written.is_set() and not self._broken.is_set():
                    self._broken.set()
                    breaking.set()
                    if self._breaks == "before":
                        break
                elif breaking.is_set():
                    break
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line(w: Warehouse, request: pytest.FixtureRequest) -> Iterator[Line]:
    w.run(APPEND, values("x", "1"))
    breaks, stays_broken = request.param
    found = Line((w.server.host, w.server.port), breaks, stays_broken)
    yield found
    found.close()


@pytest.mark.parametrize("line", [("after", False)], indirect=True)
@pytest.mark.parametrize("header", [APPEND, CHECKED])
def test_what_was_committed_is_built(w: Warehouse, line: Line, header: str) -> None:
    """Else it would be done again, and its rows be there twice."""
    built = w.run(header, values("x", "2"), connection=w.away(port=line.port))

    assert (built.published, built.rows) == (True, 2)
    assert all(result.passed for result in built.results)
    assert w.rows() == [(1,), (2,)]


@pytest.mark.parametrize("line", [("after", False)], indirect=True)
def test_checks_that_come_after_the_commit_have_no_answer(w: Warehouse, line: Line) -> None:
    header = f"{CHECKED}\nmeta: {{publish: always}}"
    built = w.run(header, values("x", "2"), connection=w.away(port=line.port))

    assert (built.published, built.rows, w.rows()) == (True, 2, [(1,), (2,)])
    assert [(result.passed, result.error is None) for result in built.results] == [(False, False)]


@pytest.mark.parametrize("line", [("before", False)], indirect=True)
@pytest.mark.parametrize("header", [APPEND, CHECKED])
def test_what_was_not_committed_is_worth_another_try(w: Warehouse, line: Line, header: str) -> None:
    with pytest.raises(OutsideError, match=r"^assets/mart/t.sql:1: PostgreSQL at "):
        w.run(header, values("x", "2"), connection=w.away(port=line.port))

    assert w.rows() == [(1,)]


@pytest.mark.parametrize("line", [("after", False)], indirect=True)
def test_a_transaction_that_does_not_end_is_not_waited_for_without_end(
    w: Warehouse, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecommerce_dagster.warehouses.postgres.session._NOTICED_IN", 0.0)
    with pytest.raises(AssetError, match="PostgreSQL has not ended the transaction for 0 seconds"):
        w.run(APPEND, values("x", "2"), connection=w.away(port=line.port))


@pytest.mark.parametrize("line", [("before", True), ("after", True)], indirect=True)
def test_what_cannot_be_known_is_said_and_not_tried_again(w: Warehouse, line: Line) -> None:
    with pytest.raises(AssetError) as error:
        w.run(APPEND, values("x", "2"), connection=w.away(port=line.port))

    assert not isinstance(error.value, OutsideError)
    assert str(error.value) == (
        "assets/mart/t.sql:1: the connection was lost in the commit; it is not known whether the"
        f" new rows of mart.t are public: PostgreSQL at 127.0.0.1:{line.port}/{w.server.database}"
        " cannot be reached: server closed the connection unexpectedly"
    )
