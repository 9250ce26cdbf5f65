"""The queue of runs, and the daemon that starts what waits in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.health.automation import automations
from ecommerce_dagster.health.finding import Facts, Finding, Level, Setup, ago
from ecommerce_dagster.orchestration.status import reason_of
from ecommerce_dagster.orchestration.unfinished_runs import living_runs

# A run that waits for longer than this waits for something that does not end.
_TOO_LONG = 3600.0
_LONGEST = 300  # characters of an error


def queue(setup: Setup) -> Iterator[Finding]:
    """The runs that have not ended."""
    runs = living_runs(setup.instance) if setup.instance is not None else []
    states = ("queued", "running", "gone")
    by_state = {state: [run for run in runs if run.state == state] for state in states}
    waits = _oldest(setup, [run.since for run in by_state["queued"]])
    facts = {
        **{state: len(found) for state, found in by_state.items()},
        "oldest_queued_seconds": waits,
        "oldest_running_seconds": _oldest(setup, [run.since for run in by_state["running"]]),
    }
    text = ", ".join(f"{len(found)} {state}" for state, found in by_state.items())
    if waits:
        text += f"; the oldest waits for {ago(waits)}"
    level: Level = "ok"
    advice = ""
    if by_state["gone"]:
        level = "problem"
        advice = "The process of a run is gone: `ecommerce run --continue` does the rest"
    elif waits > _TOO_LONG:
        level, advice = "warning", "See what runs or blocks: `ecommerce status`"
    yield Finding("queue", "", level, text, advice, facts)


def _oldest(setup: Setup, moments: list[str]) -> float:
    """The seconds since the first of some moments; 0 without any."""
    ages = [setup.now - datetime.fromisoformat(moment).timestamp() for moment in moments]
    return max([*ages, 0.0])


def daemon(setup: Setup) -> Iterator[Finding]:
    """Whether Dagster's daemon runs, which only who uses schedules, sensors or a queue needs."""
    statuses = setup.instance.get_daemon_statuses() if setup.instance is not None else {}
    beats = [s.last_heartbeat.timestamp for s in statuses.values() if s.last_heartbeat]
    dead = [name.lower() for name, status in statuses.items() if not status.healthy]
    age = setup.now - max(beats) if beats else None
    facts: Facts = {"runs": int(bool(beats) and not dead), "heartbeat_seconds": age}
    if not dead:
        text = "runs" if statuses else "Dagster has not run here yet"
        level: Level = "ok"
        if errors := _errors(statuses):
            level, text = "warning", f"runs, and says: {errors[0]}"
        advice = "See its log, and whether the code location loads" if errors else ""
        yield Finding("daemon", "", level, text, advice, facts)
        return
    whole = len(dead) == len(statuses)
    text = "does not run" if whole else f"these parts of it do not run: {', '.join(dead)}"
    if age is not None:
        text += f"; its last sign of life was {ago(age)} ago"
    if not (needed := _needs_daemon(setup)):
        yield Finding("daemon", "", "ok", f"{text}; nothing waits for it", facts=facts)
        return
    text += f"; it is needed for {', '.join(needed)}"
    advice = "Start it: `dagster-daemon run`, or `ecommerce dev`, which has one"
    yield Finding("daemon", "", "problem", text, advice, facts)


def _errors(statuses: Mapping[str, Any]) -> list[str]:
    """What went wrong in the last rounds of the daemon."""
    beats = [status.last_heartbeat for status in statuses.values() if status.last_heartbeat]
    return [reason_of(error)[:_LONGEST] for beat in beats for error in beat.errors or ()]


def _needs_daemon(setup: Setup) -> list[str]:
    """What goes on only when the daemon runs."""
    assert setup.instance is not None
    queued = setup.instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    started = [each.name for each in automations(setup).values() if each.runs]
    return [*([f"{counted(queued, 'run')} in the queue"] if queued else []), *started]
