"""`notifications` that name no receiver."""

from __future__ import annotations

from ecommerce_dagster.bruin.model.receivers import KINDS, complaint
from ecommerce_dagster.bruin.problems import TYPING_ERROR, ProblemLog, nearest
from ecommerce_dagster.bruin.yaml.located import YamlList, YamlMapping
from ecommerce_dagster.bruin.yaml.node import Node


def lint_notifications(node: Node, rule: str, log: ProblemLog) -> None:
    """Report entries without a receiver."""
    written = node.written("notifications")
    if not isinstance(written, YamlMapping):
        return
    for kind, entries in written.items():
        if kind not in KINDS:
            match = nearest(kind, KINDS, TYPING_ERROR)
            at = written.key_at[kind]
            if match:
                message = f"unknown notification '{kind}'; did you mean '{match}'?"
                log.error(*at, rule, message)
            else:
                message = f"'{kind}' sends no alerts; known: {', '.join(KINDS)}"
                log.warning(*at, rule, message)
            continue
        if not isinstance(entries, YamlList):
            continue
        for entry, at in zip(entries, entries.item_at, strict=True):
            if missing := complaint(kind, entry):
                log.error(*at, rule, missing)
