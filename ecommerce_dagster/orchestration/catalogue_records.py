"""What a Dagster instance has recorded of assets beside their latest state, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.on_off import switched
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.orchestration.check_history import CheckHistory, histories_of
from ecommerce_dagster.orchestration.previews import rows_shown

_RESULTS = 20  # of each check

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Records:
    """The first rows of tables by their names, and the last results of checks by their ids."""

    rows: Mapping[str, Rows] = field(default_factory=dict, repr=False)
    histories: Mapping[str, CheckHistory] = field(default_factory=dict)


def records_of(
    instance: dg.DagsterInstance | None, project: Project, *, public: bool = False
) -> Records:
    """The records of all assets. Without an instance there are none. `public` leaves out the rows
    of tables whose files do not ask for them, by `meta: {preview: true}`."""
    if instance is None or not project.assets:
        return Records()
    shown = [asset for asset in project.assets if not public or _asks_for_rows(asset, project)]
    histories = histories_of(instance, project, project.assets, _RESULTS)
    return Records(_rows(instance, shown, project), histories)


def _asks_for_rows(asset: Asset, project: Project) -> bool:
    asked = asset.meta.get("preview", project.pipeline.meta.get("preview", False))
    return switched(asked) is True


def _rows(
    instance: dg.DagsterInstance, assets: Sequence[Asset], project: Project
) -> dict[str, Rows]:
    """The first rows as they were recorded, without what the files call private by now."""
    names = {asset_key(asset.name, project): asset for asset in assets}
    found: dict[str, Rows] = {}
    for record in instance.get_asset_records(list(names)) if names else ():
        built = record.asset_entry.last_materialization
        made = built.asset_materialization if built else None
        preview = made.metadata.get("preview") if made else None
        asset = names[record.asset_entry.asset_key]
        if isinstance(preview, dg.TableMetadataValue):
            order = [column.name for column in preview.schema.columns]
            rows = [{name: row.data[name] for name in order} for row in preview.records]
            shown = rows_shown(rows, asset, project)
            if shown:
                found[asset.name] = [{n: row.data[n] for n in order} for row in shown.records]
    return found
