"""Send a message to a receiver, by way of a connection of `.bruin.yml`.

slack:    name, and `api_key` (of a bot) or `webhook_url`
ms_teams: name, `url` of an incoming webhook or of a workflow
discord:  name, `url` of a webhook
webhook:  name, `url`, and `username` with `password` where it asks for them
smtp:     name, `host`, `from`, and `port`, `username`, `password`, `tls` (starttls, ssl, none)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote, urlsplit

from ecommerce_dagster.alerts.messages import Message
from ecommerce_dagster.alerts.receivers import connection_of
from ecommerce_dagster.bruin.config_file import Connections
from ecommerce_dagster.bruin.model.connections import UnusableConnection
from ecommerce_dagster.bruin.model.receivers import Receiver
from ecommerce_dagster.errors import BruinError, MissingExtra

_URLS = ("url", "webhook_url", "webhook", "endpoint")
# The name of the text in what the servers of chats take.
_TEXT = {"slack": "text", "ms_teams": "text", "discord": "content"}
_PORTS = {"starttls": 587, "ssl": 465, "none": 25}
# Settings that messages may show; all others may be secrets.
_PUBLIC = {"name", "host", "port", "from", "tls"}


class NotDelivered(BruinError):
    """A message did not arrive: the text says at whom, and why."""


def require_apprise() -> None:
    """Raises MissingExtra where the package that sends messages is not installed."""
    if find_spec("apprise") is None:
        raise MissingExtra("alerts need apprise", "alerts")


def send(
    message: Message,
    receiver: Receiver,
    connections: Connections,
    variables: Mapping[str, str],
) -> None:
    """Deliver a message, in some 10 seconds at most. Raises NotDelivered, and MissingExtra where
    the package that sends it is not installed."""
    require_apprise()
    import apprise

    try:
        settings = connection_of(receiver, connections).texts(variables)
    except UnusableConnection as error:
        raise NotDelivered(f"{receiver.name}: {error}") from None
    sender = apprise.Apprise()
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as log:
        for target in _targets(receiver, settings, message):
            sender.add(target)
        arrived = sender.notify(
            title=message.title,
            body=message.body or message.title,
            notify_type=apprise.NotifyType(message.status),
            body_format=apprise.NotifyFormat.TEXT,
        )
        said = log.getvalue().strip().splitlines()
    if not arrived:
        reason = _without_secrets(said[-1] if said else "", settings)
        raise NotDelivered(f"{receiver.name}: {reason or 'the server did not take it'}")


def _targets(
    receiver: Receiver, settings: Mapping[str, str], message: Message
) -> Iterator[dict[str, Any]]:
    if receiver.kind == "email":
        yield _mail(receiver, settings)
    elif receiver.kind == "slack" and settings.get("api_key"):
        yield {"schema": "slack", "token": settings["api_key"], "targets": list(receiver.to)}
    else:
        url = next((settings[key] for key in _URLS if settings.get(key)), "")
        if not url:
            raise NotDelivered(f"{receiver.name}: its connection has no url")
        yield _chat(receiver, url) or _json(receiver, url, settings, message)


def _mail(receiver: Receiver, settings: Mapping[str, str]) -> dict[str, Any]:
    host, tls = settings.get("host", ""), (settings.get("tls") or "starttls").lower()
    sender = settings.get("from") or settings.get("username") or ""
    if not host or "@" not in sender or tls not in _PORTS:
        raise NotDelivered(
            f"{receiver.name}: its connection needs a 'host', the address 'from', and as 'tls' "
            f"one of {', '.join(_PORTS)}"
        )
    return {
        "schema": "mailto" if tls == "none" else "mailtos",
        "host": sender.rpartition("@")[2],
        "smtp_host": host,
        "port": int(settings.get("port") or _PORTS[tls]),
        "user": settings.get("username"),
        "password": settings.get("password"),
        "from_addr": sender,
        "targets": list(receiver.to),
        "secure_mode": "insecure" if tls == "none" else tls,
        "format": "text",
    }


def _chat(receiver: Receiver, url: str) -> dict[str, Any] | None:
    """The address of a chat's own server; None for one that speaks like it."""
    import apprise

    known = {"slack": "slack", "discord": "discord", "ms_teams": "msteams"}.get(receiver.kind)
    found = apprise.Apprise.instantiate(url, suppress_exceptions=True) if known else None
    if found is None or type(found).__name__ == "NotifyJSON":
        return None
    parsed: dict[str, Any] | None = type(found).parse_native_url(url)
    if parsed is not None and receiver.to:
        parsed["targets"] = list(receiver.to)
    return parsed


def _json(
    receiver: Receiver, url: str, settings: Mapping[str, str], message: Message
) -> dict[str, Any]:
    """A POST of JSON: to a webhook what the message is about, to a chat its text."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NotDelivered(f"{receiver.name}: the url of its connection is not one of http")
    payload: dict[str, Any] = {"version": "", "type": "", "attachments": ""}
    if receiver.kind in _TEXT:
        payload |= {"title": "", "message": "", _TEXT[receiver.kind]: _whole(message)}
        if receiver.kind == "slack" and receiver.to:
            payload["channel"] = receiver.to[0]
    else:
        payload |= dict(message.fields)
    query = f"?{parts.query}" if parts.query else ""
    return {
        "schema": "jsons" if parts.scheme == "https" else "json",
        "host": parts.hostname,
        "port": parts.port,
        "fullpath": f"{parts.path or '/'}{query}",
        "user": settings.get("username") or (unquote(parts.username) if parts.username else None),
        "password": settings.get("password")
        or (unquote(parts.password) if parts.password else None),
        "payload": payload,
    }


def _whole(message: Message) -> str:
    return f"{message.title}\n{message.body}".strip()


def _without_secrets(text: str, settings: Mapping[str, str]) -> str:
    hidden = {value for key, value in settings.items() if key not in _PUBLIC and len(value) > 3}
    for value in sorted(hidden, key=len, reverse=True):
        text = text.replace(value, "***")
    return text
