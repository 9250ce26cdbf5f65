"""Names of assets as Dagster's keys and ops."""

from __future__ import annotations

import re

import dagster as dg

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.plain_names import asset_key_parts, check_name, in_copy, key_parts
from ecommerce_dagster.sql.checks import Check

_OTHER = re.compile(r"[^A-Za-z0-9_]")


def asset_key(name: str, project: Project) -> dg.AssetKey:
    """The key of an asset, of `project` or of another pipeline. `raw.my-orders` is raw/my_orders,
    unless a translator or a file says otherwise."""
    return dg.AssetKey(asset_key_parts(name, project))


def check_key(check: Check, project: Project) -> dg.AssetCheckKey:
    """The key of the check of a rule. Copies of a pipeline check the same asset of other code, each
    by names of its own."""
    name = check_name(check)
    own = in_copy(name, project) if check.asset.external_key else name
    return dg.AssetCheckKey(asset_key(check.asset.name, project), own)


# What Dagster hands to the function of an asset, and to that of checks alone.
Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext


def op_name(name: str, project: Project) -> str:
    """The asset raw/orders is built by the op raw__orders. The checks of a source that other code
    makes are an op that is called otherwise than the one that makes it."""
    asset = project.by_name.get(name)
    if asset is not None and asset.external_key:
        return in_copy("__".join((*key_parts(name), "checks")), project)
    return op_of(asset_key(name, project))


def op_of(key: dg.AssetKey) -> str:
    """The name of the op that builds an asset with this key."""
    return _OTHER.sub("_", "__".join(key.path))
