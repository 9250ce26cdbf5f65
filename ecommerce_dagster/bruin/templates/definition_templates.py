"""Templates that are rendered when files are read, before any run: names, and `enabled`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ecommerce_dagster.bruin.model.asset import Asset, as_text
from ecommerce_dagster.bruin.model.pipeline import Pipeline
from ecommerce_dagster.bruin.on_off import switched
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.templates.render import RenderError, RunContext, render
from ecommerce_dagster.bruin.yaml.node import Node

N = TypeVar("N", bound=Node)


def named_pipeline(pipeline: Pipeline, context: RunContext, log: ProblemLog) -> Pipeline:
    """A pipeline with its name, or in its place the `id` of older files, and its times rendered:
    variants differ in them."""
    if not pipeline.name and isinstance(old_name := as_text(pipeline.written("id")), str):
        pipeline = pipeline.model_copy(update={"name": old_name})
    return _rendered(pipeline, ("name", "schedule", "start_date"), context, log)


def named_asset(asset: Asset, context: RunContext, log: ProblemLog) -> Asset:
    """An asset with the names in it rendered: its own, and those of what it depends on."""
    asset = _rendered(asset, ("name", "connection"), context, log)
    depends = tuple(_rendered(upstream, ("asset",), context, log) for upstream in asset.depends)
    return asset if depends == asset.depends else asset.model_copy(update={"depends": depends})


def is_enabled(asset: Asset, context: RunContext, log: ProblemLog) -> bool:
    """What `enabled` says, as a word or as a template."""
    if isinstance(asset.enabled, bool):
        return asset.enabled
    try:
        text = render(asset.enabled, context, asset.name)
    except RenderError as error:
        log.error(*asset.at("enabled"), "valid-enabled", f"'enabled': {error}")
        return True
    enabled = switched(text)
    if enabled is None:
        message = f"'enabled' is '{text.strip()}'; expected true or false"
        log.error(*asset.at("enabled"), "valid-enabled", message)
    return enabled is not False


def _rendered(node: N, keys: Sequence[str], context: RunContext, log: ProblemLog) -> N:
    update: dict[str, str] = {}
    for key in keys:
        text = getattr(node, key)
        if not text or "{" not in text:
            continue
        try:
            update[key] = render(text, context, "").strip()
        except RenderError as error:
            log.error(*node.at(key), "valid-template", f"'{key}': {error}")
    return node.model_copy(update=update) if update else node
