"""Names of assets as Dagster's keys and ops."""

from __future__ import annotations

import dagster as dg

from ecommerce_dagster.runtime.names import key_parts


def asset_key(name: str) -> dg.AssetKey:
    """`raw.my-orders` is raw/my_orders."""
    return dg.AssetKey(key_parts(name))


def op_name(key: dg.AssetKey) -> str:
    """raw/orders is built by the op raw__orders."""
    return "__".join(key.path)
