"""Receivers of messages: the `notifications` of a pipeline, an asset or a check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ecommerce_dagster.bruin.model.asset import as_text
from ecommerce_dagster.bruin.on_off import switched
from ecommerce_dagster.bruin.yaml.located import YamlList, YamlMapping
from ecommerce_dagster.bruin.yaml.node import Node

# By each kind of notification: what an entry must say, and what the connections of `.bruin.yml`
# are called that deliver it.
KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "slack": ("channel", ("slack",)),
    "ms_teams": ("connection", ("ms_teams", "msteams", "teams")),
    "discord": ("connection", ("discord",)),
    "webhook": ("connection", ("webhook",)),
    "email": ("to", ("smtp", "email")),
}
# Other words for an address, which people write.
_ADDRESS = ("to", "email", "emails", "address", "addresses", "recipient", "recipients")


@dataclass(frozen=True)
class Receiver:
    """One entry below `notifications`.

    `connection` is the name of one of `.bruin.yml`; empty for the only one of the kind. `to` are
    channels or addresses. `success` is None where the file does not say whether to tell of it.
    """

    kind: str
    connection: str = ""
    to: tuple[str, ...] = ()
    failure: bool = True
    success: bool | None = None

    @property
    def name(self) -> str:
        """What people call it: `slack #data`."""
        return " ".join(filter(None, [self.kind, ", ".join(self.to) or self.connection]))

    @property
    def key(self) -> str:
        """The same text for the same receiver, whatever it wants to be sent."""
        return "|".join([self.kind, self.connection, *self.to])


def receivers_of(nodes: Iterable[Node]) -> tuple[Receiver, ...]:
    """The receivers that these things of files name, each once, with the failures and successes
    that any of them asks for."""
    found: dict[str, Receiver] = {}
    for receiver in (each for node in nodes for each in _written(node.written("notifications"))):
        known = found.setdefault(receiver.key, receiver)
        if known is not receiver:
            wishes = [one.success for one in (known, receiver) if one.success is not None]
            success = any(wishes) if wishes else None
            failure = known.failure or receiver.failure
            found[receiver.key] = replace(known, failure=failure, success=success)
    return tuple(found.values())


def _written(notifications: object) -> Iterator[Receiver]:
    if not isinstance(notifications, YamlMapping):
        return
    for kind, entries in notifications.items():
        if kind not in KINDS or not isinstance(entries, YamlList):
            continue
        for entry in entries:
            receiver = _receiver(kind, entry)
            if receiver is not None:
                yield receiver


def _receiver(kind: str, entry: object) -> Receiver | None:
    """None for an entry without a receiver."""
    needed, _ = KINDS[kind]
    values: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {needed: entry}
    connection = str(as_text(values.get("connection") or ""))
    keys = {"channel": ("channel", "channels"), "to": _ADDRESS}.get(needed, ())
    to = tuple(text for key in keys for text in _texts(values.get(key)))
    if not (to or (needed == "connection" and connection)):
        return None
    failure, success = switched(values.get("failure", True)), values.get("success")
    told = None if success is None else switched(success) is True
    return Receiver(kind, connection, to, failure is not False, told)


def _texts(value: object) -> list[str]:
    """One text, or several in a list or with commas between them."""
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    parts = str(as_text(value)).split(",") if value not in (None, "") else []
    return [part.strip() for part in parts if part.strip()]


def complaint(kind: str, entry: object) -> str | None:
    """What an entry lacks, as a sentence; None when it names a receiver."""
    if _receiver(kind, entry) is not None:
        return None
    return f"a notification by {kind} needs a '{KINDS[kind][0]}'"
