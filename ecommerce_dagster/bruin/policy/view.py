"""Assets and pipelines as conditions of policies see them: by the names of Bruin's own fields."""

from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from ecommerce_dagster.bruin.model.asset import Asset, Dependency
from ecommerce_dagster.bruin.paths import from_root
from ecommerce_dagster.bruin.policy.functions import ExpressionError
from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.yaml.node import Node

# What a thing is called there and not here.
_ALIASES: dict[type[Node], dict[str, str]] = {
    Asset: {"upstreams": "depends"},
    Dependency: {"value": "asset"},
}


class View:
    """A thing of a file. Names count without case and `_`: `asset.PrimaryKey`, `primary_key`.

    A text that is not written is empty, a list has no items, and anything else is nil.
    """

    def __init__(self, node: Node, **more: Any) -> None:
        self._node = node
        self._more = {_plain(name): value for name, value in more.items()}

    def __repr__(self) -> str:
        return self._node.label

    def member(self, key: str) -> Any:
        """The value of a key. Raises ExpressionError for one that such a thing has not."""
        kind, plain = type(self._node), _plain(key)
        if plain in self._more:
            return self._more[plain]
        plain = _ALIASES.get(kind, {}).get(plain, plain)
        names = {_plain(name): name for name in (*kind.keys(), *kind.foreign)}
        if plain not in names:
            hint = did_you_mean(key, [*names.values(), *_ALIASES.get(kind, {}), *self._more])
            raise ExpressionError(f"{kind.label} has no '{key}'; {hint}")
        name = names[plain]
        if name in kind.foreign:
            return self._node.written(name)
        return _seen(getattr(self._node, name), kind.model_fields[name].annotation)


def view_of_asset(asset: Asset, root: Path) -> View:
    """An asset, with the files that it is made of, whose paths count from `root`."""
    file = {"Name": asset.path.name, "Path": shown(asset.path, root)}
    code = {"Name": asset.body_path.name, "Path": shown(asset.body_path, root)}
    return View(asset, definitionfile=file, executablefile={**code, "Content": asset.body})


def view_of_pipeline(project: Project, root: Path) -> View:
    """A pipeline, with its assets."""
    assets = [view_of_asset(asset, root) for asset in project.assets]
    return View(project.pipeline, assets=assets)


def shown(path: Path, root: Path) -> str:
    """A path as one writes it in a policy."""
    return from_root(path, root)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _seen(value: Any, annotation: Any) -> Any:
    if value is None:
        return {"bool": False, "str": ""}.get(_empty(annotation))
    if isinstance(value, Node):
        return View(value)
    if isinstance(value, list | tuple):
        return [_seen(item, None) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _seen(item, None) for key, item in value.items()}
    return value


def _empty(annotation: Any) -> str:
    """The name of the type that a key without a value would have."""
    if isinstance(annotation, types.UnionType) or get_args(annotation):
        kinds = [_empty(each) for each in get_args(annotation)]
        return next((kind for kind in kinds if kind in {"bool", "str"}), "")
    return getattr(annotation, "__name__", "")
