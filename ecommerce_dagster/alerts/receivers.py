"""The receivers of messages about a subject, and the connection that delivers to each."""

from __future__ import annotations

from collections.abc import Iterator

from ecommerce_dagster.alerts.incidents import Subject
from ecommerce_dagster.alerts.messages import check_of
from ecommerce_dagster.bruin.config_file import Connections
from ecommerce_dagster.bruin.model.connections import Connection, UnusableConnection
from ecommerce_dagster.bruin.model.receivers import KINDS, Receiver, receivers_of
from ecommerce_dagster.bruin.problems import did_you_mean, listed
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.yaml.node import Node

# What the lists of connections are called that deliver messages.
CONNECTIONS = frozenset(kind for _, kinds in KINDS.values() for kind in kinds)


def naming(project: Project) -> Iterator[Node]:
    """All that may have `notifications`: the pipeline, its assets, their checks."""
    yield project.pipeline
    for asset in project.assets:
        yield asset
        yield from asset.rules


def all_receivers(project: Project) -> tuple[Receiver, ...]:
    """All receivers that the files of a project name."""
    return receivers_of(naming(project))


def receivers_for(subject: Subject, project: Project) -> tuple[Receiver, ...]:
    """The receivers for a subject: those that the check, its asset and the pipeline name."""
    asset, check = project.by_name.get(subject.name), check_of(subject, project)
    nodes = [check.rule if check else None, asset, project.pipeline]
    return receivers_of(node for node in nodes if node is not None)


def connection_of(receiver: Receiver, connections: Connections) -> Connection:
    """The connection that delivers to a receiver: the one that it names, or else the only one of
    its kind. Raises UnusableConnection."""
    file = connections.path.name if connections.path else ".bruin.yml"
    where = f"{file} (environment '{connections.environment}')"
    if receiver.connection:
        named = connections.by_name.get(receiver.connection)
        if named is None:
            hint = did_you_mean(receiver.connection, connections.by_name)
            raise UnusableConnection(
                f"there is no connection '{receiver.connection}' in {where}; {hint}"
            )
        return named
    _, kinds = KINDS[receiver.kind]
    known = [one for one in connections.by_name.values() if one.kind in kinds]
    if len(known) == 1:
        return known[0]
    if known:
        names = listed([one.name for one in known])
        raise UnusableConnection(
            f"there are {len(known)} connections of type {kinds[0]} in {where}: {names}; name one "
            "by `connection:`"
        )
    raise UnusableConnection(f"there is no connection of type {kinds[0]} in {where}; add one")
