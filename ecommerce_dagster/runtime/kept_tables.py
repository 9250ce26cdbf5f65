"""The tables of `ecommerce try --keep`, and which of them a build would make again as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.platforms import dialect_of
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.schema_prefix import prefixed_name
from ecommerce_dagster.runtime.plan.impact import Side
from ecommerce_dagster.runtime.plan.template_environment import fingerprint
from ecommerce_dagster.sql.identifiers import relation
from ecommerce_dagster.sql.strategies.registry import strategy_name
from ecommerce_dagster.sql.used_tables import key_of

# What has another answer each time without being called as a function, and the functions beside
# those that DuckDB says it of.
_WORDS = (
    *("current_date", "current_time", "current_timestamp", "current_user", "session_user", "user"),
    *("localtime", "localtimestamp", "tablesample", "using sample"),
)
_CALLS = ("age", "clock_timestamp", "getvariable", "pg_sleep", "statement_timestamp", "timeofday")


@dataclass(frozen=True)
class Kept:
    """What was tried, in schemas with a `prefix`: what each of the tables was made `by`, and what
    was in the tables that they read (`fingerprints`)."""

    prefix: str
    by: Mapping[str, str]
    read: Mapping[str, str]

    @classmethod
    def of(cls, side: Side, prefix: str, tried: Collection[str], read: Mapping[str, str]) -> Kept:
        """What is kept of these assets."""
        return cls(prefix, {name: made_by(side, name) for name in tried}, read)

    def table(self, name: str) -> str:
        """What stands after FROM for the table of an asset."""
        return relation(prefixed_name(name, self.prefix))


def made_by(side: Side, name: str) -> str:
    """A short text for all that makes a table: its file, what that takes from others, and its query
    as it is rendered now."""
    asset = side.project.by_name[name]
    return fingerprint({**side.definition_of(asset), "texts": side.texts.get(name)})


def tables_read(side: Side, names: Collection[str]) -> set[str]:
    """The assets whose tables the queries of these read."""
    known = {key_of(name): name for name in side.project.by_name}
    return {known[key] for name in names for key in _keys_read(side, name) or () if key in known}


def _keys_read(side: Side, name: str) -> set[str] | None:
    """The tables that the query of an asset reads; None when that is not known."""
    texts = side.parts.get(name)
    if not texts or any(part.opaque or part.has_macros for parts in texts for part in parts):
        return None
    return {
        key
        for parts in texts
        for part in parts
        for key in part.tables - {other.name for other in parts}
    }


def reasons_to_build(
    project: Project,
    kept: Kept,
    selected: Sequence[str],
    now: Callable[[Collection[str]], Mapping[str, str]],
) -> dict[str, str]:
    """Of the tables that were tried and are to be built: why a build may make others now; empty for
    those that are as tried. `now` gives fingerprints of tables."""
    side = Side(project)
    read = tables_read(side, [name for name in selected if name in kept.by])
    return _Reasons(side, kept, selected, now(read - {*selected})).found


class _Reasons:
    """The reasons, which are `found` in the order in which the assets are built."""

    def __init__(
        self, side: Side, kept: Kept, selected: Sequence[str], now: Mapping[str, str]
    ) -> None:
        self._side, self._kept, self._selected, self._now = side, kept, selected, now
        self._known = {key_of(name): name for name in side.project.by_name}
        self.found: dict[str, str] = {}
        for name in selected:
            if name in kept.by:
                self.found[name] = self._reason(name)

    def _reason(self, name: str) -> str:
        side = self._side
        if reason := _why_never(side.project.by_name[name]):
            return reason
        if made_by(side, name) != self._kept.by[name]:
            return "its file, or what it uses, is not what was tried"
        if moving := _of_the_moment().search(" ".join(side.texts[name])):
            return f"its query depends on the moment it runs at ({moving[0]})"
        read = _keys_read(side, name)
        if read is None:
            return "it is not known what its query reads"
        return next(filter(None, map(self._of_upstream, sorted(read))), "")

    def _of_upstream(self, key: str) -> str:
        """Why the rows of a table that is read are not those that were."""
        name, kept = self._known.get(key), self._kept
        if name is None:
            return f"it reads {key.replace(chr(34), '')}, which is no asset"
        if name in kept.by:
            is_there = self.found.get(name) == ""
            return "" if is_there else f"{name} is not published as it was tried"
        if name in self._selected:
            return f"{name} is built in the same run"
        same = self._now.get(name, "") == kept.read.get(name)
        return "" if same else f"{name} has other rows now"


def _why_never(asset: Asset) -> str:
    if dialect_of(asset.type) is None:
        return "its rows come from outside of the database"
    if asset.materialization.type == "table" and strategy_name(asset) != "create+replace":
        return f"its strategy is {strategy_name(asset)}, which keeps rows of what is there"
    return ""


@cache
def _of_the_moment() -> re.Pattern[str]:
    """Finds what answers the same question in another way later."""
    with duckdb.connect(":memory:") as connection:
        rows = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE stability <> 'CONSISTENT' AND regexp_full_match(function_name, '\\w+')"
        ).fetchall()
    calls = "|".join([*_CALLS, *(str(name) for (name,) in rows)])
    return re.compile(rf"\b(?:(?:{'|'.join(_WORDS)})\b|(?:{calls})(?=\s*\())", re.IGNORECASE)
