"""`depends: - uri: ...`: which asset of the checkout has a uri that another one depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from ecommerce_dagster.bruin.asset_files import asset_paths, read_asset
from ecommerce_dagster.bruin.model.asset import Asset, Dependency
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.located import Position, YamlMapping
from ecommerce_dagster.bruin.yaml.parsing import text_to_search


def with_owners(assets: Sequence[Asset], others: Callable[[], Iterable[Path]]) -> list[Asset]:
    """The assets, with the names of those whose uris they depend on.

    One of the same pipeline becomes an ordinary dependency; one of another pipeline is named as the
    `owner`. `others` finds the folders of these, and is asked only when it is needed.
    """
    own = {asset.uri: asset.name for asset in assets if asset.uri}

    @cache
    def of_others(uri: str) -> str:
        names = (_owner_in(folder, uri) for folder in others())
        return next((name for name in names if name), "")

    def resolved(dependency: Dependency) -> Dependency:
        if dependency.asset or not dependency.uri:
            return dependency
        if dependency.uri in own:
            return dependency.model_copy(update={"asset": own[dependency.uri]})
        return dependency.model_copy(update={"owner": of_others(dependency.uri)})

    return [
        asset.model_copy(update={"depends": tuple(map(resolved, asset.depends))})
        if any(dependency.uri for dependency in asset.depends)
        else asset
        for asset in assets
    ]


def _owner_in(folder: Path, uri: str) -> str:
    """The asset of a pipeline that has the uri; empty when none has."""
    log, nothing = ProblemLog(), YamlMapping(Position(folder, 1))
    for path in asset_paths(folder, log):
        # Only a file that names it is worth reading as YAML.
        if uri not in text_to_search(path):
            continue
        asset = read_asset(path, folder, nothing, log)
        if asset is not None and asset.uri == uri:
            return asset.name
    return ""
