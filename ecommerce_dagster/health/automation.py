"""The sensors and schedules of the pipeline: whether they run, and what their last ticks said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ecommerce_dagster.health.finding import Finding, Setup, ago
from ecommerce_dagster.orchestration.alerts import alerts_name
from ecommerce_dagster.orchestration.sensors import changes_name
from ecommerce_dagster.orchestration.status import reason_of
from ecommerce_dagster.runtime.lint.watched import sources_on_postgres
from ecommerce_dagster.runtime.plain_names import job_name

_LONGEST = 300  # characters of an error
_TICKS = 20  # that are read, the latest ones
_TOO_LONG = 600.0  # between two ticks of a sensor, in seconds


@dataclass(frozen=True)
class Automation:
    """A sensor or a schedule that Dagster has recorded. `cursor` is what a sensor remembers,
    `ticked` and `succeeded` are when its last tick was and the last one without an error, in
    seconds since 1970; 0 before the first. `error` is what the last tick failed with."""

    name: str
    runs: bool
    is_sensor: bool
    cursor: str | None
    ticked: float
    succeeded: float
    error: str


def automations(setup: Setup) -> dict[str, Automation]:
    """What the instance knows of the sensors and schedules of the pipeline, by their names."""
    if setup.instance is None:
        return {}
    names = _names(setup)
    found: dict[str, Automation] = {}
    for state in setup.instance.all_instigator_state():
        # One that was moved to another code location is recorded in both.
        if state.instigator_name in names:
            each = _automation(state, setup.instance)
            known = found.get(each.name)
            if known is None or (each.runs, each.ticked) > (known.runs, known.ticked):
                found[each.name] = each
    return found


def ticks(setup: Setup) -> Iterator[Finding]:
    """Whether each runs, and what its last tick said."""
    found = automations(setup)
    yield from (_tick(each, setup) for each in found.values())
    if not found:
        text = "no sensor or schedule of the pipeline was started here"
        yield Finding("automation", "", "ok", text)


def _tick(each: Automation, setup: Setup) -> Finding:
    age = setup.now - each.ticked if each.ticked else None
    facts = {"runs": int(each.runs), "failed": int(bool(each.error)), "last_tick_seconds": age}
    if not each.runs:
        advice = "Start it in Dagster, on the page Automation, unless it is to be silent"
        return Finding("automation", each.name, "warning", "is stopped", advice, facts)
    if each.error:
        text = f"its last tick, {ago(age or 0)} ago, failed: {each.error}"
        advice = "Mend what it says; the next tick tries again"
        return Finding("automation", each.name, "problem", text, advice, facts)
    text = f"runs; its last tick was {ago(age)} ago" if age is not None else "has not ticked yet"
    if each.is_sensor and (age or 0) > _TOO_LONG:
        advice = "See whether the daemon runs and the code location loads"
        return Finding("automation", each.name, "warning", text, advice, facts)
    return Finding("automation", each.name, "ok", text, facts=facts)


def _names(setup: Setup) -> set[str]:
    project, job = setup.project, job_name(setup.project)
    schedules = {f"{job}{kind}_schedule" for kind in ("", "_maintenance", "_reconcile")}
    sensors = {changes_name(project, name) for name in sources_on_postgres(project)}
    return {*schedules, *sensors, f"{job}_automation", alerts_name(project)}


def _automation(state: Any, instance: dg.DagsterInstance) -> Automation:
    last = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_TICKS)
    # The one that goes on now has said nothing yet.
    ended = [tick for tick in last if tick.status.value != "STARTED"]
    good = [tick for tick in ended if tick.status.value != "FAILURE"]
    failed = bool(ended) and ended[0] not in good
    return Automation(
        state.instigator_name,
        state.status.value != "STOPPED",
        state.instigator_type.value == "SENSOR",
        getattr(state.instigator_data, "cursor", None),
        ended[0].timestamp if ended else 0.0,
        good[0].timestamp if good else 0.0,
        reason_of(ended[0].error)[:_LONGEST] if failed else "",
    )
