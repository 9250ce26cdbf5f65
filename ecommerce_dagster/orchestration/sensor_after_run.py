"""The first tick of a sensor after a run does not request what that run has loaded.

A sensor that never looked requests everything, since it cannot know what is loaded. A process that
is about to load everything looks in its place; the sensor goes on from there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import dagster as dg

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.resources import resources_of
from ecommerce_dagster.orchestration.run_requests import with_downstream
from ecommerce_dagster.orchestration.sensor_cursor import Cursor
from ecommerce_dagster.orchestration.shared_partitions import shared_partitions
from ecommerce_dagster.orchestration.source_changes import Look
from ecommerce_dagster.orchestration.translator import BruinTranslator
from ecommerce_dagster.orchestration.watched_assets import watched_of
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.lint.watched import sources_on_postgres
from ecommerce_dagster.runtime.plain_names import resource_key


def look_before_loading(
    project: Project, instance: dg.DagsterInstance, translator: BruinTranslator
) -> Callable[[dg.DagsterInstance], None]:
    """See what the sensors of a project would see, before a run loads all of it.

    Args:
        project: The pipeline.
        instance: Where its loads are recorded.
        translator: The one of its code location, which says what partitions there are.

    Returns:
        What to call when the run has succeeded: the sensors then go on from what was seen.

    Raises:
        SourceError: When a database cannot be asked.
    """
    shared = shared_partitions(
        (asset, translator.get_partitions_def(asset, project))
        for asset in project.assets
        if unsupported(project, asset) is None and not asset.external_key
    )
    resources, looks = resources_of(project), {}
    for connection, assets in sources_on_postgres(project).items():
        key = resource_key(connection)
        watched, _ = watched_of(project, assets, shared)
        look = Look(shared.windows, resources[key].settings(), instance, Cursor())
        look.at(watched)
        look.cursor.built = sorted(with_downstream(project, {each.name for each in watched}))
        looks[key] = look

    def hand_over(instance: dg.DagsterInstance) -> None:
        for key, look in looks.items():
            look.follow()
            kept = {"at": time.time(), "cursor": look.cursor.write(instance)}
            values = {_name(project, key): json.dumps(kept)}
            instance.daemon_cursor_storage.set_cursor_values(values)

    return hand_over


def handed_over(
    project: Project, key: str, instance: dg.DagsterInstance, last_tick: float | None
) -> str | None:
    """The cursor that the sensor on a connection (by its resource key) goes on from, when one was
    handed over since its last tick (seconds since 1970)."""
    name = _name(project, key)
    text = instance.daemon_cursor_storage.get_cursor_values({name}).get(name)
    kept = json.loads(text) if text else None
    return kept["cursor"] if kept and kept["at"] > (last_tick or 0) else None


def _name(project: Project, key: str) -> str:
    return f"bruin/handed over/{project.pipeline.name}/{key}"
