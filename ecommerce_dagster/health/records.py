"""The latest build of each asset and the latest result of each check, from Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ecommerce_dagster.health.finding import Setup
from ecommerce_dagster.orchestration.asset_keys import asset_key, check_key
from ecommerce_dagster.orchestration.latest_states import latest_results, number_in
from ecommerce_dagster.orchestration.results import NOT_PUBLISHED
from ecommerce_dagster.sql.checks import Check, checks_of


@dataclass(frozen=True)
class Built:
    """When an asset was published last (seconds since 1970), with how many rows, in how many
    seconds, and the bytes of its table. None is what was not recorded."""

    at: float
    rows: float | None
    seconds: float | None
    size: float | None


def built_assets(setup: Setup) -> dict[str, Built]:
    """The builds by the names of the assets; those that never were are left out."""
    if setup.instance is None or not setup.project.assets:
        return {}
    names = {asset_key(asset.name, setup.project): asset.name for asset in setup.project.assets}
    found = {}
    for record in setup.instance.get_asset_records(list(names)):
        event = record.asset_entry.last_materialization_record
        made = event.asset_materialization if event else None
        if event is not None and made is not None:
            told = made.metadata
            seconds = [number_in(told, f"{what}_seconds") for what in ("build", "check")]
            found[names[record.asset_entry.asset_key]] = Built(
                event.timestamp,
                number_in(told, "dagster/row_count"),
                None if seconds[0] is None else sum(each or 0.0 for each in seconds),
                number_in(told, "size_bytes"),
            )
    return found


@dataclass(frozen=True)
class Result:
    """The latest result of a check. `bad_rows` is 0 when it passed, and 1 for one that failed and
    counts no rows; `at` is in seconds since 1970. `kept` tells whether it was one of rows that were
    not published."""

    asset: str
    check: str
    at: float
    passed: bool
    blocking: bool
    bad_rows: float
    kept: bool


def latest_checks(setup: Setup) -> list[Result]:
    """The results of all checks that have run."""
    if setup.instance is None:
        return []
    checks = [check for asset in setup.project.assets for check in checks_of(asset)]
    keys = {check_key(check, setup.project): check for check in checks}
    found = latest_results(setup.instance, list(keys))
    # There are results, too, of checks that are no longer in the files.
    return [_result(keys[key], record) for key, record in found.items() if key in keys]


def _result(check: Check, record: Any) -> Result:
    evaluation = record.evaluation
    counted = number_in(evaluation.metadata, "bad_rows")
    return Result(
        check.asset.name,
        check.label,
        record.event.timestamp,
        evaluation.passed,
        check.blocking,
        float(not evaluation.passed) if counted is None else counted,
        NOT_PUBLISHED in evaluation.metadata,
    )
