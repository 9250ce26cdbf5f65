"""`ecommerce alerts`: whether those whom `notifications` name can be reached."""

from __future__ import annotations

import json

import click

from ecommerce_dagster.alerts.delivery import NotDelivered, send
from ecommerce_dagster.alerts.messages import trial
from ecommerce_dagster.alerts.receivers import all_receivers
from ecommerce_dagster.bruin.problems import from_here
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.environment import variables_for


def send_trial(project: Project, output: str) -> int:
    """Send a message to each receiver of the project. The exit code: 1 when one cannot be reached,
    or there is none."""
    receivers = all_receivers(project)
    variables = variables_for(project.connections.path)
    errors: dict[str, str] = {}
    for receiver in receivers:
        try:
            send(trial(project), receiver, project.connections, variables)
        except NotDelivered as error:
            errors[receiver.key] = str(error).removeprefix(f"{receiver.name}: ")
        if output == "text":
            click.echo(f"{receiver.name}: {errors.get(receiver.key, 'sent')}")
    if output == "json":
        found = [
            {"receiver": one.name, "sent": one.key not in errors, "error": errors.get(one.key)}
            for one in receivers
        ]
        print(json.dumps(found, indent=2))
    if not receivers:
        where = from_here(project.pipeline.path)
        click.echo(f"no alerts are sent: {where} has no `notifications`", err=True)
    return 1 if errors or not receivers else 0
