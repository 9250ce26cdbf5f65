"""The definition by which each table was last built, kept in the Dagster instance.

Dagster keeps a hash of it, which tells that something changed. With the definition `ecommerce plan`
tells what. There is one for each asset; a build replaces it. One that builds some partitions of a
table keeps the earlier one, until it has been followed by builds of all the others.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.orchestration.latest_states import latest_states
from ecommerce_dagster.orchestration.translator import code_version_of
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.plan.impact import Side
from ecommerce_dagster.runtime.plan.template_environment import Shared, fingerprint


@dataclass(frozen=True)
class Published:
    """The pipeline as its tables were last built, without the assets that never were.

    Of the `unknown` it is only known that they were built by another definition. `done` are the
    partitions that were built by the one of now, of tables in which others were not.
    """

    side: Side
    unknown: frozenset[str]
    done: Mapping[str, frozenset[str]]


def keep_definition(
    instance: dg.DagsterInstance,
    project: Project,
    asset: Asset,
    partitions: Collection[str] | None = None,
) -> None:
    """Keep what a table was just built by, all of it or these `partitions`. One small value is
    written."""
    key = _name(project, asset)
    kept = Side(project).definition_of(asset)
    if partitions is not None:
        text = instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
        built = instance.get_materialized_partitions(asset_key(asset.name, project))
        kept = _merged(json.loads(text), kept, set(partitions), built) if text else kept
    instance.daemon_cursor_storage.set_cursor_values({key: json.dumps(kept)})


def _merged(
    old: dict[str, Any], new: dict[str, Any], partitions: set[str], built: Collection[str]
) -> dict[str, Any]:
    """What is kept after a build of some partitions of a table that others were built of before."""
    newer = old.get("newer", {"definition": "", "partitions": []})
    done = set(newer["partitions"])
    if _fingerprint(old) == _fingerprint(new):
        done -= partitions
    else:
        same = newer["definition"] == _fingerprint(new)
        done = (done if same else set()) | partitions
        newer = {"definition": _fingerprint(new)}
        if done.issuperset(built):
            return new
    kept = {name: value for name, value in old.items() if name != "newer"}
    return {**kept, "newer": {**newer, "partitions": sorted(done)}} if done else kept


def _fingerprint(kept: Mapping[str, Any]) -> str:
    return fingerprint({name: kept[name] for name in ("asset", "files", "shared")})


def published(project: Project, instance: dg.DagsterInstance | None) -> Published:
    """The pipeline as its tables were last built."""
    states = latest_states(instance, project.assets, project)
    kept = _kept(project, instance)
    assets: list[Asset] = []
    unknown: set[str] = set()
    files: dict[str, Mapping[str, str]] = {}
    shared: dict[str, Shared] = {}
    done: dict[str, frozenset[str]] = {}
    side = Side(project)
    for asset in project.assets:
        name, found = asset.name, kept.get(asset.name)
        if asset.external_key or unsupported(project, asset) is not None:
            assets.append(asset)
        elif not states[name].built_at:
            continue
        elif found is None:
            assets.append(asset)
            if states[name].code_version != code_version_of(asset):
                unknown.add(name)
        else:
            assets.append(Asset.model_validate(found["asset"]))
            files[name], shared[name] = found["files"], Shared(**found["shared"])
            newer, now = found.get("newer"), _fingerprint(side.definition_of(asset))
            if newer and newer["definition"] == now:
                done[name] = frozenset(newer["partitions"])
            elif newer and _fingerprint(found) == now:
                # Some partitions were built in between by another one.
                unknown.add(name)
    last = Side(replace(project, assets=tuple(assets)), files, shared)
    return Published(last, frozenset(unknown), done)


def _kept(project: Project, instance: dg.DagsterInstance | None) -> dict[str, Any]:
    if instance is None:
        return {}
    names = {_name(project, asset): asset.name for asset in project.assets}
    found = instance.daemon_cursor_storage.get_cursor_values(set(names))
    return {names[key]: json.loads(text) for key, text in found.items() if text}


def _name(project: Project, asset: Asset) -> str:
    return f"bruin/definition/{asset_key(asset.name, project).to_user_string()}"
