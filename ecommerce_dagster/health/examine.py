"""All findings of `ecommerce doctor`, each part within a time limit."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from queue import Empty, Queue
from time import monotonic

from ecommerce_dagster.errors import BruinError
from ecommerce_dagster.health.automation import ticks
from ecommerce_dagster.health.connections import connection_parts
from ecommerce_dagster.health.disk import disk_parts
from ecommerce_dagster.health.failures import failures, unpublished
from ecommerce_dagster.health.finding import Finding, Level, Part, Setup
from ecommerce_dagster.health.lag import lag_parts
from ecommerce_dagster.health.locks import lock_parts
from ecommerce_dagster.health.messages import waiting_alerts
from ecommerce_dagster.health.runs import daemon, queue
from ecommerce_dagster.health.versions import versions

# Within which a part has to be done, in seconds.
PATIENCE = 10.0


def health_of(setup: Setup) -> list[Finding]:
    """All findings. Connections come first, alone: what else is done would count in their times."""
    tried = examine(setup, connection_parts(setup))
    # A part that does not answer is not asked again.
    away = frozenset(one.name for one in tried if one.level != "ok")
    setup = replace(setup, away=away)
    recorded = _recorded(setup)
    if setup.has_unread_records:
        recorded = {name: partial(_unread, name) for name in recorded}
    others = {**lock_parts(setup), **disk_parts(setup), **recorded, "version": versions}
    return tried + examine(setup, others)


def _recorded(setup: Setup) -> dict[str, Part]:
    """The parts that are about Dagster's records. The first word of the name of a part is that of
    its findings, the rest what they are about."""
    return {
        "daemon": daemon,
        "automation": ticks,
        **lag_parts(setup),
        "queue": queue,
        "failure": failures,
        "unpublished": unpublished,
        "alert": waiting_alerts,
    }


def _unread(name: str, setup: Setup) -> Iterator[Finding]:
    yield _unknown(name, "the records of runs cannot be read")


def examine(setup: Setup, parts: Mapping[str, Part], patience: float = PATIENCE) -> list[Finding]:
    """The findings of some parts, by their names. They are looked for at the same time, and one
    that is not done after `patience` seconds is left alone."""
    answers: Queue[tuple[str, Sequence[Finding]]] = Queue()
    for name, part in parts.items():
        # A thread of this kind keeps no process from ending.
        threading.Thread(
            target=lambda n=name, p=part: answers.put((n, _answer(n, p, setup))), daemon=True
        ).start()
    found: dict[str, Sequence[Finding]] = {}
    until = monotonic() + patience
    while len(found) < len(parts):
        try:
            name, findings = answers.get(timeout=max(until - monotonic(), 0.001))
        except Empty:
            break
        found[name] = findings
    late, advice = f"no answer within {patience:g} s", "See whether a disk or a server hangs"
    return [
        finding for name in parts for finding in found.get(name, [_unknown(name, late, advice)])
    ]


def _answer(name: str, part: Part, setup: Setup) -> Sequence[Finding]:
    try:
        return [*part(setup)]
    except (BruinError, OSError) as error:
        return [_unknown(name, str(error))]
    except Exception as error:  # one part that fails keeps none of the others back
        why = f"a fault of this program or of Dagster's: {type(error).__name__}"
        return [_unknown(name, why, "Please report it")]


def _unknown(name: str, why: str, advice: str = "") -> Finding:
    part, _, about = name.partition(" ")
    level: Level = "problem" if part == "connection" else "warning"
    return Finding(part, about, level, f"not known: {why}", advice)
