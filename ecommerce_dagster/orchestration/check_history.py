"""How the checks of assets ended over time, as Dagster's event log has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import sqlalchemy as sa

from ecommerce_dagster._compat import AssetCheckExecutionRecordStatus as Status
from ecommerce_dagster._compat import AssetCheckExecutionsTable, SqlEventLogStorage
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import check_key
from ecommerce_dagster.orchestration.unfinished_runs import moment
from ecommerce_dagster.sql.checks import checks_of

_DONE = [Status.SUCCEEDED.value, Status.FAILED.value]
_ASSETS_AT_ONCE = 500  # SQLite takes so many values in a statement


@dataclass(frozen=True)
class PastResult:
    """How a check ended at a moment, in ISO 8601, UTC. `bad_rows`, and their share of all that were
    looked at, are None where no number was recorded; `failed_partitions` has the bad rows by
    partition or day."""

    passed: bool
    at: str
    message: str = ""
    bad_rows: int | None = None
    bad_share: float | None = None
    failed_partitions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckHistory:
    """The last results of a check, the latest last; at least one. There `are_more`, or they are all
    that there are."""

    results: Sequence[PastResult]
    are_more: bool = False

    @property
    def is_passing(self) -> bool:
        """How it ended last."""
        return self.results[-1].passed

    @property
    def streak(self) -> Sequence[PastResult]:
        """The last results that ended alike."""
        changes = [n for n, r in enumerate(self.results) if r.passed != self.is_passing]
        return self.results[changes[-1] + 1 if changes else 0 :]

    @property
    def began_earlier(self) -> bool:
        """Whether it may have ended like this before the first of the results, too."""
        return self.are_more and len(self.streak) == len(self.results)


def histories_of(
    instance: dg.DagsterInstance | None,
    project: Project,
    assets: Sequence[Asset],
    limit: int,
) -> dict[str, CheckHistory]:
    """The last `limit` results of each check of these assets that has any, by the ids of checks.

    One query for each 500 assets; it is read once how many checks there are, not once for each.
    """
    if instance is None:
        return {}
    ids = {
        (key.asset_key.to_string(), key.name): check.id
        for asset in assets
        for check in checks_of(asset)
        for key in (check_key(check, project),)
    }
    found: dict[str, list[PastResult]] = {}
    for key, event in _events(instance, sorted({asset for asset, _ in ids}), limit + 1):
        if key in ids:
            found.setdefault(ids[key], []).append(_result(event))
    return {
        id: CheckHistory(results[-limit:], are_more=len(results) > limit)
        for id, results in found.items()
    }


def _events(
    instance: dg.DagsterInstance, assets: Sequence[str], limit: int
) -> Iterator[tuple[tuple[str, str], dg.EventLogEntry]]:
    """The last events of the checks of assets, the first ones first, each with the key of its asset
    and the name of its check. None where Dagster keeps its events in no database."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return
    table = AssetCheckExecutionsTable.c
    for first in range(0, len(assets), _ASSETS_AT_ONCE):
        nth = sa.func.row_number().over(
            partition_by=(table.asset_key, table.check_name), order_by=table.id.desc()
        )
        ended = sa.and_(
            table.asset_key.in_(assets[first : first + _ASSETS_AT_ONCE]),
            table.execution_status.in_(_DONE),
            sa.not_(_is_part()),
        )
        latest = sa.select(table.id, nth.label("nth")).where(ended).subquery()
        query = (
            sa.select(table.asset_key, table.check_name, table.evaluation_event)
            .join(latest, latest.c.id == table.id)
            .where(latest.c.nth <= limit)
            .order_by(table.id)
        )
        with storage.index_connection() as connection:
            rows = connection.execute(query).fetchall()
        for asset, name, event in rows:
            yield (asset, name), dg.deserialize_value(event, dg.EventLogEntry)


def _is_part() -> sa.ColumnElement[bool]:
    """Whether a result is about one of several partitions, beside one about all of them."""
    part, whole = AssetCheckExecutionsTable.c, AssetCheckExecutionsTable.alias().c
    same = [part[name] == whole[name] for name in ("asset_key", "check_name", "run_id")]
    beside = sa.select(whole.id).where(*same, whole.partition.is_(None)).exists()
    return sa.and_(part.partition.is_not(None), beside)


def _result(event: dg.EventLogEntry) -> PastResult:
    evaluation = event.asset_check_evaluation
    assert evaluation is not None
    known = evaluation.metadata
    return PastResult(
        evaluation.passed,
        moment(event.timestamp),
        str(evaluation.description or ""),
        _value(known, "bad_rows"),
        _value(known, "bad_share"),
        _value(known, "failed_partitions") or {},
    )


def _value(metadata: Mapping[str, Any], name: str) -> Any:
    found = metadata.get(name)
    return None if found is None else found.value
