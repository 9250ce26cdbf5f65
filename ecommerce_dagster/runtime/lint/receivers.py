"""`notifications` that cannot be delivered."""

from __future__ import annotations

from ecommerce_dagster.alerts.delivery import require_apprise
from ecommerce_dagster.alerts.receivers import connection_of, naming
from ecommerce_dagster.bruin.model.connections import UnusableConnection
from ecommerce_dagster.bruin.model.receivers import receivers_of
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.errors import MissingExtra


def lint_receivers(project: Project, log: ProblemLog) -> None:
    """Report receivers without a connection, each once. Bruin Cloud has connections of its own, so
    this is no error."""
    reported: set[str] = set()
    for node in naming(project):
        for receiver in receivers_of([node]):
            if receiver.key in reported:
                continue
            reported.add(receiver.key)
            try:
                connection_of(receiver, project.connections)
                require_apprise()
            except (UnusableConnection, MissingExtra) as error:
                message = f"'{receiver.name}' gets no messages: {error}"
                log.warning(*node.at("notifications"), "valid-connection", message)
