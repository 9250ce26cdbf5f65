"""Mistakes in `meta: {anomalies: ...}`, and checks of it that are not possible here."""

from __future__ import annotations

from collections.abc import Iterator

from ecommerce_dagster.bruin.model.anomalies import (
    KEYS,
    OF_ASSETS,
    OF_COLUMNS,
    SYNONYMS,
    names_in,
    position_of,
)
from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.problems import TYPING_ERROR, ProblemLog, did_you_mean, nearest
from ecommerce_dagster.sources.parameters import incremental_key_of
from ecommerce_dagster.sql.column_kinds import in_duckdb
from ecommerce_dagster.sql.measures import unmeasurable
from ecommerce_dagster.sql.types import known_type

_RULE = "valid-anomalies"


def lint_anomalies(asset: Asset, log: ProblemLog) -> None:
    """Report names that are unknown, and measures that the asset or the column cannot have."""
    nodes: tuple[Asset | Column, ...] = (asset, *asset.columns)
    for node in nodes:
        for key in node.meta:
            if key in KEYS:
                for message in _wrong(asset, node, key):
                    log.error(*position_of(node, key), _RULE, message)
            elif (match := nearest(key, KEYS, TYPING_ERROR)) is not None:
                message = f"'{key}' in `meta` has no meaning here; did you mean '{match}'?"
                log.warning(*node.at("meta", key), _RULE, message)


def _wrong(asset: Asset, node: Asset | Column, key: str) -> Iterator[str]:
    written = node.meta[key]
    if not isinstance(written, str):
        yield f"'{key}' must be text, as in `{key}: volume, freshness`: Bruin reads nothing else"
        return
    other = set().union(*(names_in(node.meta.get(k)) for k in KEYS if k < key))
    for name in names_in(written):
        known = OF_COLUMNS if isinstance(node, Column) else OF_ASSETS
        if name not in known:
            yield f"unknown anomaly '{name}'; {_hint(name, known)}"
        elif name in other:
            yield f"'{name}' stands in both `anomalies` and `blocking_anomalies`; remove one"
        elif (reason := _impossible(asset, node, name)) is not None:
            yield f"the anomaly '{name}' {reason}"


def _hint(name: str, known: tuple[str, ...]) -> str:
    meant = SYNONYMS.get(name, name)
    if meant in known:
        return f"did you mean '{meant}'?"
    if meant in {*OF_ASSETS, *OF_COLUMNS}:
        of = "a column" if meant in OF_COLUMNS else "the asset"
        return f"'{meant}' belongs in `meta` of {of}"
    return did_you_mean(name, known)


def _impossible(asset: Asset, node: Asset | Column, name: str) -> str | None:
    if not isinstance(node, Column):
        lacks_time = name == "freshness" and incremental_key_of(asset) is None
        right = "write it in `meta` of a column of time"
        return f"of an asset needs an incremental_key; {right}" if lacks_time else None
    if name == "average" and node.mask:
        return f"would show what the mask of '{node.name}' hides; remove it"
    lack = unmeasurable(name, in_duckdb(known_type(node.type) or ""))
    return f"{lack}; '{node.name}' is {node.type}" if lack else None
