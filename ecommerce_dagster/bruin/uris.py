"""Dependencies on other pipelines of the checkout: by `uri:`, or by the name of the asset."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from pathlib import Path

from ecommerce_dagster.bruin.asset_files import asset_paths, possible_names, read_asset
from ecommerce_dagster.bruin.model.asset import Asset, Dependency
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.located import Position, YamlMapping
from ecommerce_dagster.bruin.yaml.parsing import text_to_search


def with_owners(
    assets: Sequence[Asset], own: Collection[str], others: Callable[[], Iterable[Path]]
) -> list[Asset]:
    """The assets, with the names of those of other pipelines that they depend on.

    A uri of the same pipeline becomes an ordinary dependency; an asset of another pipeline is named
    as the `owner`. `own` are the names that the pipeline knows. `others` finds the folders of the
    other pipelines, and is asked only when it is needed.
    """
    own_uris = {asset.uri: asset.name for asset in assets if asset.uri}

    @cache
    def of_others(name: str, uri: str) -> str:
        names = (_owner_in(folder, name, uri) for folder in others())
        return next((found for found in names if found), "")

    def resolved(dependency: Dependency) -> Dependency:
        name, uri = dependency.asset, dependency.uri
        if not _is_elsewhere(dependency, own):
            return dependency
        if not name and uri in own_uris:
            return dependency.model_copy(update={"asset": own_uris[uri]})
        return dependency.model_copy(update={"owner": of_others(name, "" if name else uri)})

    return [
        asset.model_copy(update={"depends": tuple(map(resolved, asset.depends))})
        if any(_is_elsewhere(dependency, own) for dependency in asset.depends)
        else asset
        for asset in assets
    ]


def _is_elsewhere(dependency: Dependency, own: Collection[str]) -> bool:
    if dependency.asset:
        return dependency.asset not in own
    return bool(dependency.uri) and not dependency.external_key


def _owner_in(folder: Path, name: str, uri: str) -> str:
    """The asset of a pipeline that has the name, or the uri; empty when none has."""
    log, nothing = ProblemLog(), YamlMapping(Position(folder, 1))
    for path in asset_paths(folder, log):
        # Only a file that names it is worth reading as YAML.
        if (name or uri) not in text_to_search(path) and name not in possible_names(path, folder):
            continue
        asset = read_asset(path, folder, nothing, log)
        if asset is not None and (asset.name == name if name else asset.uri == uri):
            return asset.name
    return ""
