"""Alerts that wait to be delivered."""

from __future__ import annotations

from collections.abc import Iterator

from ecommerce_dagster.alerts.receivers import all_receivers
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.health.automation import automations
from ecommerce_dagster.health.finding import Finding, Setup
from ecommerce_dagster.orchestration.alerts import Memory, alerts_name


def waiting_alerts(setup: Setup) -> Iterator[Finding]:
    """What the sensor of alerts could not deliver when it last tried, by receiver."""
    receivers = {receiver.key: receiver for receiver in all_receivers(setup.project)}
    if not receivers:
        text = "no alerts are sent: the files have no `notifications`"
        yield Finding("alert", "", "ok", text, facts={"waiting": 0, "broken": 0})
        return
    sensor = automations(setup).get(alerts_name(setup.project))
    memory = Memory.of(sensor.cursor) if sensor is not None else None
    if sensor is None or not sensor.runs:
        name = alerts_name(setup.project)
        text, advice = f"no alerts are sent: the sensor {name} does not run", "Start it in Dagster"
        yield Finding("alert", "", "warning", text, advice, {"waiting": None, "broken": None})
        return
    boxes = {key: box for key, box in memory.outboxes.items() if key in receivers} if memory else {}
    number = sum(len(box.messages) for box in boxes.values())
    facts = {"waiting": number, "broken": len(memory.incidents.open) if memory else 0}
    failing = [receivers[key].name for key, box in boxes.items() if box.messages and box.tries]
    if failing:
        text = f"{counted(number, 'message')} not delivered to {', '.join(failing)}"
        advice = "`ecommerce alerts test` says why; they are tried again every five minutes"
        yield Finding("alert", "", "problem", text, advice, facts)
        return
    yield Finding("alert", "", "ok", f"{counted(number, 'message')} to be sent", facts=facts)
