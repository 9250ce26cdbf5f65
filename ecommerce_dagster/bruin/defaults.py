"""`default:` of pipeline.yml: what every asset takes over where its own file is silent."""

from __future__ import annotations

from typing import Any

from ecommerce_dagster.bruin.yaml.located import YamlList, YamlMapping

# What tells two entries of a list apart.
_IDENTITY = ("name", "extends", "asset", "uri", "key")


def with_defaults(own: YamlMapping, default: YamlMapping) -> YamlMapping:
    """The definition of an asset, with what it leaves open filled in.

    Empty values are filled, mappings merged, entries that a list lacks appended. Hooks are taken
    over for SQL only, and a list of them only as a whole.
    """
    own, default = normalised(own), normalised(default)
    kind = str(own.get("type") or default.get("type") or "")
    merged = _merged(own, default.without({"hooks"}))
    if isinstance(default.get("hooks"), YamlMapping) and kind.endswith(".sql"):
        hooks = YamlMapping(default.at)
        hooks.put("hooks", _hooks_for(kind, default["hooks"]), default.key_at["hooks"])
        merged = _merged(merged, hooks, whole_lists=True)
    return merged


def normalised(definition: YamlMapping) -> YamlMapping:
    """`definition` with each dependency as a mapping at its own position."""
    depends = definition.get("depends")
    if not isinstance(depends, str | YamlList | YamlMapping):
        return definition
    at = definition.key_at["depends"]
    written = depends if isinstance(depends, YamlList) else YamlList(at, [depends], [at])
    items = YamlList(written.at)
    for item, item_at in zip(written, written.item_at, strict=True):
        dependency = item
        if isinstance(item, str):
            dependency = YamlMapping(item_at)
            dependency.put("asset", item, item_at)
        items.add(dependency, item_at)
    changed = definition.without({"depends"})
    changed.put("depends", items, at)
    return changed


def _merged(own: YamlMapping, default: YamlMapping, *, whole_lists: bool = False) -> YamlMapping:
    result = own.without(())
    for key, value in default.items():
        mine = own.get(key)
        if mine is None or mine == "":
            result.take(key, default)
        elif isinstance(mine, YamlMapping) and isinstance(value, YamlMapping):
            result[key] = _merged(mine, value, whole_lists=whole_lists)
        elif isinstance(mine, YamlList) and isinstance(value, YamlList) and not whole_lists:
            result[key] = _appended(mine, value)
    return result


def _appended(own: YamlList, default: YamlList) -> YamlList:
    result = own.without(())
    known = {_identity(item) for item in own}
    for item, at in zip(default, default.item_at, strict=True):
        if _identity(item) not in known:
            result.add(item, at)
    return result


def _identity(item: Any) -> str:
    if not isinstance(item, YamlMapping):
        return repr(item)
    return next((f"{key}: {item[key]!r}" for key in _IDENTITY if item.get(key)), repr(item))


def _hooks_for(kind: str, hooks: YamlMapping) -> YamlMapping:
    """The hooks that apply to assets of type `kind`."""
    result = hooks.without(())
    for side, items in hooks.items():
        if isinstance(items, YamlList):
            other = {index for index, item in enumerate(items) if not _applies(item, kind)}
            result[side] = items.without(other)
    return result


def _applies(hook: Any, kind: str) -> bool:
    kinds = hook.get("applicable_type") if isinstance(hook, YamlMapping) else None
    return not isinstance(kinds, YamlList) or not kinds or kind in kinds
