"""What the file of an ingestr asset says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from ecommerce_dagster.bruin.model.asset import Asset, as_text
from ecommerce_dagster.bruin.model.durations import seconds_in
from ecommerce_dagster.bruin.model.interval import Interval, interval_between
from ecommerce_dagster.bruin.on_off import switched
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.sources.known_parameters import QUERY, lint_parameters
from ecommerce_dagster.sources.masks import Unmaskable, first_unmaskable
from ecommerce_dagster.sql.column_names import lint_naming
from ecommerce_dagster.sql.identifiers import literal

# How far before the largest loaded time a merge reads again, in seconds.
_OVERLAP = 600.0
_PART = re.compile(
    r"\b(now|today|yesterday|timeofday|current_date|current_time|localtime"
    r"|(current_|local|transaction_|statement_|clock_)timestamp"
    r"|limit|fetch|offset|random|tablesample)\b",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"(?<!:):interval_(start|end)\b")

# The incremental strategies of ingestr and the warehouse's names for them.
_STRATEGIES = {
    "replace": "create+replace",
    "create+replace": "create+replace",
    "append": "append",
    "merge": "merge",
    "delete+insert": "delete+insert",
    "truncate+insert": "truncate+insert",
}


def strategy_of(asset: Asset) -> str:
    """The warehouse's name of an ingestr asset's strategy."""
    how = asset.parameter("incremental_strategy") or asset.materialization.strategy or "replace"
    return _STRATEGIES.get(how, how)


def incremental_key_of(asset: Asset) -> str | None:
    """The column that windows and watermarks are about."""
    return asset.parameter("incremental_key") or asset.materialization.incremental_key


def primary_key_of(asset: Asset) -> tuple[str, ...]:
    """The key columns: those marked in `columns`, else the parameter `primary_key`."""
    return asset.primary_key or _names(asset, "primary_key")


def start_of(asset: Asset) -> datetime | None:
    """The first instant of a full refresh, as the asset's `start_date` says."""
    day = interval_between(asset.start_date, None)
    return day.start if day else None


def source_table_of(asset: Asset, interval: Interval | None, since: datetime | None = None) -> str:
    """The source, the placeholders of a `query:` filled in for an interval; without one, for all
    that is not before `since`."""
    table, last = asset.parameter("source_table").strip(), "infinity"
    first = since.isoformat() if since else "-infinity"
    if not table.startswith(QUERY):
        return table
    if interval:
        first, last = interval.start.isoformat(), interval.last.isoformat()
    return _PLACEHOLDER.sub(lambda m: literal(first if m[1] == "start" else last), table)


def excluded_of(asset: Asset) -> tuple[str, ...]:
    """The columns of the source that are not loaded."""
    return _names(asset, "sql_exclude_columns")


def overlap_of(asset: Asset) -> float:
    """How many seconds before the largest loaded time a merge starts. Raises ValueError."""
    written = asset.meta.get("overlap")
    return _OVERLAP if written is None else seconds_in(str(as_text(written)))


def is_reconcilable(asset: Asset) -> bool:
    """Whether rows that are gone from the source can be found by their keys, and should."""
    return (
        asset.type == "ingestr"
        and strategy_of(asset) == "merge"
        and not asset.is_refresh_restricted
    )


def compares_keys(asset: Asset) -> bool:
    """Whether each load compares the keys of the table with those of the source: `compare_keys`.

    Not of what takes a part of the rows by itself: what else is in the table would be gone. Where
    nothing is said, a query that asks for the time or has a limit is not compared either.
    """
    strategy, source = strategy_of(asset), asset.parameter("source_table").strip()
    is_query, word = source.startswith(QUERY), asset.meta.get("compare_keys")
    if strategy not in {"merge", "append"} or asset.parameter("sql_limit"):
        return False
    if strategy == "append" and incremental_key_of(asset) is None:
        return False
    if is_query and _PLACEHOLDER.search(source):
        return False
    if word is None:
        return not (is_query and _PART.search(source))
    return switched(word) is True


def is_windowed(asset: Asset) -> bool:
    """Whether the file says how one interval of the table is loaded anew."""
    return strategy_of(asset) == "delete+insert" and incremental_key_of(asset) is not None


def unmaskable(asset: Asset) -> Unmaskable | None:
    """Why an ingestr asset cannot be loaded as masked as its file asks for; None when it can."""
    return first_unmaskable(asset, incremental_key_of(asset))


def lint_ingestion(asset: Asset, log: ProblemLog) -> None:
    """Report an ingestr asset that cannot work."""
    lint_naming(asset, log)
    lint_parameters(asset, log)
    for name, message in (*_missing(asset), *_wrong(asset), *_contradictions(asset)):
        log.error(*asset.at("parameters", name), "valid-ingestr", message)
    try:
        overlap_of(asset)
    except ValueError as error:
        log.error(*asset.at("meta", "overlap"), "valid-ingestr", f"the overlap {error}")
    word = asset.meta.get("compare_keys", True)
    if switched(word) is None:
        message = f"compare_keys is '{word}'; expected on or off"
        log.error(*asset.at("meta", "compare_keys"), "valid-ingestr", message)


def _missing(asset: Asset) -> Iterator[tuple[str, str]]:
    for name in ("source_connection", "source_table"):
        if not asset.parameter(name):
            yield name, f"an ingestr asset needs `parameters: {name}`"
    strategy, name = strategy_of(asset), "incremental_strategy"
    if strategy == "delete+insert" and not incremental_key_of(asset):
        yield name, "the strategy 'delete+insert' needs `parameters: incremental_key`"
    if strategy == "merge" and not primary_key_of(asset):
        yield name, "the strategy 'merge' needs a column with `primary_key: true`"


def _wrong(asset: Asset) -> Iterator[tuple[str, str]]:
    strategy, limit = strategy_of(asset), asset.parameter("sql_limit")
    if strategy not in _STRATEGIES.values():
        hint = did_you_mean(strategy, _STRATEGIES)
        yield "incremental_strategy", f"unknown incremental_strategy '{strategy}'; {hint}"
    if asset.parameter("source_table").strip() == QUERY:
        yield "source_table", f"source_table needs a query after `{QUERY}`"
    if limit and not limit.isdecimal():
        yield "sql_limit", f"sql_limit is '{limit}'; expected a number of rows"


def _contradictions(asset: Asset) -> Iterator[tuple[str, str]]:
    """The same said twice, in the parameters and in `materialization`, and not the same way."""
    how = asset.materialization
    if how.type == "view":
        message = "an ingestr asset makes a table, not a view; write `type: table`"
        yield "incremental_strategy", message
    pairs = (("incremental_strategy", how.strategy), ("incremental_key", how.incremental_key))
    for name, other in pairs:
        own = asset.parameter(name)
        if own and other and _STRATEGIES.get(own, own) != _STRATEGIES.get(other, other):
            yield name, f"{name} is '{own}' and `materialization` says '{other}'; keep one"


def _names(asset: Asset, parameter: str) -> tuple[str, ...]:
    """A parameter that lists names, with commas or as a YAML list."""
    value = asset.parameters.get(parameter)
    names = value if isinstance(value, list | tuple) else str(value or "").split(",")
    return tuple(str(name).strip() for name in names if str(name).strip())
