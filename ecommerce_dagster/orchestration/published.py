"""The definition by which each table was last built, kept in the Dagster instance.

Dagster keeps a hash of it, which tells that something changed. With the definition `ecommerce plan`
tells what. There is one for each asset; a build replaces it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.orchestration.last_known import last_known
from ecommerce_dagster.orchestration.translator import code_version_of
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.plan.definitions import files_of
from ecommerce_dagster.runtime.plan.impact import Side
from ecommerce_dagster.runtime.plan.shared import Shared


def keep_definition(instance: dg.DagsterInstance, project: Project, asset: Asset) -> None:
    """Keep what a table was just built by. One small value is written."""
    kept = {
        "asset": asset.model_dump(mode="json"),
        "files": files_of(asset, project),
        "shared": asdict(Shared.of(project)),
    }
    values = {_name(project, asset): json.dumps(kept)}
    instance.daemon_cursor_storage.set_cursor_values(values)


def published_side(
    project: Project, instance: dg.DagsterInstance | None
) -> tuple[Side, frozenset[str]]:
    """The pipeline as its tables were last built, without the assets that never were; and those of
    which it is only known that their definition was another one."""
    states = last_known(instance, project.assets, project)
    kept = _kept(project, instance)
    assets: list[Asset] = []
    unknown: set[str] = set()
    files: dict[str, Mapping[str, str]] = {}
    shared: dict[str, Shared] = {}
    for asset in project.assets:
        state, found = states[asset.name], kept.get(asset.name)
        if asset.external_key or unsupported(project, asset) is not None:
            assets.append(asset)
        elif not state.built_at:
            continue
        elif found is not None:
            assets.append(Asset.model_validate(found["asset"]))
            files[asset.name] = found["files"]
            shared[asset.name] = Shared(**found["shared"])
        else:
            assets.append(asset)
            if state.code_version != code_version_of(asset):
                unknown.add(asset.name)
    side = Side(replace(project, assets=tuple(assets)), files, shared)
    return side, frozenset(unknown)


def _kept(project: Project, instance: dg.DagsterInstance | None) -> dict[str, Any]:
    if instance is None:
        return {}
    names = {_name(project, asset): asset.name for asset in project.assets}
    found = instance.daemon_cursor_storage.get_cursor_values(set(names))
    return {names[key]: json.loads(text) for key, text in found.items() if text}


def _name(project: Project, asset: Asset) -> str:
    return f"bruin/definition/{asset_key(asset.name, project).to_user_string()}"
