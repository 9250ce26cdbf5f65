"""The past values with which a run compares the measures of anomaly checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from ecommerce_dagster.bruin.model.anomalies import AnomalyCheck
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.runtime.asset_run import AssetRun
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.sources.parameters import incremental_key_of
from ecommerce_dagster.sql.checks import Check
from ecommerce_dagster.sql.comparison import Comparison

_DAY = timedelta(days=1)
# Of a run over more days only the last is judged: a long backfill contains known holidays.
_MOST_DAYS = 7


def compared(run: AssetRun, checks: Sequence[Check]) -> list[Check]:
    """The checks of a run, over the tables of this environment, with what those that need no
    threshold are compared with. What earlier runs measured is looked up for them alone."""
    checks = [run.here(check) for check in checks]
    measures = [check for check in checks if isinstance(check.rule, AnomalyCheck)]
    if not measures:
        return checks
    found = _comparison(run)
    past = run.info.past_measures(measures) if found.key is None else {}
    return [
        replace(check, compared=replace(found, past=tuple(past.get(check.id, ()))))
        if isinstance(check.rule, AnomalyCheck)
        else check
        for check in checks
    ]


def _comparison(run: AssetRun) -> Comparison:
    """Of a table that is rebuilt by time its days are compared, when they are over; of any other
    the measures of runs."""
    now, key = datetime.now(UTC), incremental_key_of(run.asset)
    until = min(now, run.interval.end) if run.interval else now
    if key is None or not is_partitioned(run.asset):
        return Comparison(min(now, run.interval.last) if run.interval else now, time=key)
    if run.interval is None:
        return Comparison(until, key, time=key)
    yesterday = until.date() - _DAY
    days = _whole_days(run.interval, until)
    first = days[0] if days and (days[1] - days[0]).days < _MOST_DAYS else yesterday
    return Comparison(until, key, (first, yesterday), days is not None, time=key)


def _whole_days(interval: Interval, until: datetime) -> tuple[date, date] | None:
    """The first and the last day that lie in an interval as a whole, and are over."""
    whole = interval.start == datetime.combine(interval.start.date(), datetime.min.time(), UTC)
    first = interval.start.date() if whole else interval.start.date() + _DAY
    last = until.date() - _DAY
    return (first, last) if first <= last else None
