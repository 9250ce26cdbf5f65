"""`notifications`: read for their mistakes only. Dagster has its own ways to tell people."""

from __future__ import annotations

from ecommerce_dagster.bruin.problems import TYPING_ERROR, ProblemLog, nearest
from ecommerce_dagster.bruin.yaml.located import YamlList, YamlMapping
from ecommerce_dagster.bruin.yaml.node import Node

# What an entry of each kind must say.
_NEEDED = {
    "slack": "channel",
    "ms_teams": "connection",
    "discord": "connection",
    "webhook": "connection",
}
_KINDS = {*_NEEDED, "email"}


def lint_notifications(node: Node, rule: str, log: ProblemLog) -> None:
    """Report entries without a receiver."""
    written = node.written("notifications")
    if not isinstance(written, YamlMapping):
        return
    for kind, entries in written.items():
        match = nearest(kind, _KINDS, TYPING_ERROR)
        if kind not in _KINDS and match:
            message = f"unknown notification '{kind}'; did you mean '{match}'?"
            log.error(*written.key_at[kind], rule, message)
        if not isinstance(entries, YamlList):
            continue
        needed = _NEEDED.get(kind)
        for entry, at in zip(entries, entries.item_at, strict=True):
            if needed and not (isinstance(entry, YamlMapping) and entry.get(needed)):
                log.error(*at, rule, f"a notification by {kind} needs a '{needed}'")
