"""Servers of mail and of webhooks on this machine, which keep what they are sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class Webhook:
    """A webhook at `url`. It answers with `status`, and with nothing what it does not `accept`."""

    port: int
    status: int = 200
    taken: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    accept: Callable[[dict[str, Any]], bool] = lambda message: True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/s3cr3t-path"

    @property
    def titles(self) -> list[str]:
        return [each["title"] for each in self.taken]


@contextmanager
def webhook() -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not found.accept(message):
                return
            if found.status == 200:
                found.taken.append(message)
                found.headers.append(dict(self.headers))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Webhook(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Mail:
    """A message that arrived."""

    sender: str
    to: tuple[str, ...]
    subject: str
    text: str


@dataclass
class MailServer:
    port: int = 0
    taken: list[Mail] = field(default_factory=list)

    async def handle_DATA(  # noqa: N802 - a name of the package's
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        message = message_from_bytes(envelope.content, policy=default)
        body = message.get_body(("plain", "html"))
        assert body is not None
        subject = str(make_header(decode_header(str(message["Subject"]))))
        to = tuple(envelope.rcpt_tos)
        self.taken.append(Mail(envelope.mail_from, to, subject, body.get_content()))
        return "250 taken"


@contextmanager
def mail_server(port: int) -> Iterator[MailServer]:
    server = MailServer(port)
    controller = Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
