"""The loads of each partition of a table, from Dagster's events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.orchestration.partitions import PARTITION_ROWS
from ecommerce_dagster.orchestration.watched_assets import Watched

_EVENTS_AT_ONCE = 1000


@dataclass(frozen=True)
class Loads:
    """The number of rows by partition after the loads of an asset up to an event, by its number."""

    last: int
    rows: Mapping[str, int]


def loads_since(
    instance: dg.DagsterInstance, watched: Iterable[Watched], before: Mapping[str, int]
) -> dict[str, Loads]:
    """The loads since other events, by asset; of all assets with partitions that have news.

    Where there is none, that takes one question for all.
    """
    keys = {
        each.name: asset_key(each.name, each.project) for each in watched if each.key is not None
    }
    records = instance.get_asset_records(list(keys.values())) if keys else ()
    entries = {record.asset_entry.asset_key: record.asset_entry for record in records}
    found = {}
    for name, key in keys.items():
        event = entries[key].last_materialization_record if key in entries else None
        last, since = event.storage_id if event else 0, before.get(name)
        if last != since:
            # At the first look all is asked for, whatever was loaded before.
            found[name] = Loads(last, {} if since is None else _rows(instance, key, since))
    return found


def _rows(instance: dg.DagsterInstance, key: dg.AssetKey, since: int) -> dict[str, int]:
    """The number of rows by partition after the loads since an event, the latest of each."""
    found: dict[str, int] = {}
    wanted = dg.AssetRecordsFilter(asset_key=key, after_storage_id=since)
    cursor, has_more = None, True
    while has_more:
        page = instance.fetch_materializations(wanted, _EVENTS_AT_ONCE, cursor)
        cursor, has_more = page.cursor, page.has_more
        for record in page.records:
            built = record.asset_materialization
            rows = built.metadata.get(PARTITION_ROWS) if built else None
            if record.partition_key and rows is not None:
                found.setdefault(record.partition_key, int(str(rows.value)))
    return found
