"""The sensors and schedules of the pipeline: whether they run, and what their last ticks said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.problems import printable
from ecommerce_dagster.health.finding import Finding, Setup, ago
from ecommerce_dagster.orchestration.alerts import alerts_name
from ecommerce_dagster.orchestration.sensors import changes_name
from ecommerce_dagster.orchestration.status import reason_of
from ecommerce_dagster.runtime.lint.watched import sources_on_postgres
from ecommerce_dagster.runtime.names import job_name

_LONGEST = 300  # characters of an error
_TICKS = 20  # that are read, the latest ones


@dataclass(frozen=True)
class Automation:
    """A sensor or a schedule that Dagster has recorded. `cursor` is what a sensor remembers,
    `ticked` and `succeeded` are when its last tick was and the last one without an error, in
    seconds since 1970; 0 before the first. `error` is what the last tick failed with."""

    name: str
    runs: bool
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
    """Whether the last tick of each failed."""
    found = automations(setup)
    for each in found.values():
        age = setup.now - each.ticked if each.ticked else None
        facts = {"runs": int(each.runs), "failed": int(bool(each.error)), "last_tick_seconds": age}
        if each.error and each.runs:
            text = printable(f"its last tick, {ago(age or 0)} ago, failed: {each.error}")
            advice = "Mend what it says; the next tick tries again"
            yield Finding("automation", each.name, "problem", text, advice, facts)
        elif each.runs:
            when = f"its last tick was {ago(age)} ago" if age is not None else "it has not ticked"
            yield Finding("automation", each.name, "ok", f"runs; {when}", facts=facts)
        else:
            advice = "Start it in Dagster, on the page Automation, if that is over"
            yield Finding("automation", each.name, "warning", "is stopped", advice, facts)
    if not found:
        text = "no sensor or schedule of the pipeline was started here"
        yield Finding("automation", "", "ok", text)


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
        getattr(state.instigator_data, "cursor", None),
        ended[0].timestamp if ended else 0.0,
        good[0].timestamp if good else 0.0,
        reason_of(ended[0].error)[:_LONGEST] if failed else "",
    )
