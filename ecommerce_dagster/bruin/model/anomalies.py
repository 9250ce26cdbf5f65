"""Checks that need no threshold: `meta: {anomalies: "volume, freshness"}` of an asset, or of a
column. They stand in `meta` because it is free in Bruin, whose own checks have fixed names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.bruin.yaml.node import Node

# The key in `meta`, and whether a value out of the expected range keeps a table from being
# published.
KEYS = {"anomalies": False, "blocking_anomalies": True}
OF_ASSETS = ("volume", "freshness")
OF_COLUMNS = ("average", "distinct_percent", "freshness", "null_percent")
# What the same is called elsewhere.
SYNONYMS = {
    "avg": "average",
    "mean": "average",
    "distinct": "distinct_percent",
    "distinct_share": "distinct_percent",
    "duplicate_percent": "distinct_percent",
    "unique_percent": "distinct_percent",
    "missing_percent": "null_percent",
    "null_share": "null_percent",
    "nulls": "null_percent",
    "row_count": "volume",
    "rows": "volume",
}
_NONE = "none"


class AnomalyCheck(Node):
    """A measure of a table or of a column that is to stay in the range that its past lets
    expect."""

    label = "a check for anomalies"

    name: str
    blocking: bool = False
    description: str = ""
    retries: None = None


def anomaly_checks(node: Asset | Column) -> Iterator[AnomalyCheck]:
    """The checks for anomalies that `meta` of an asset or a column asks for, known or not."""
    for key, blocking in KEYS.items() if node.meta else ():
        for name in names_in(node.meta.get(key)):
            path, line = position_of(node, key)
            yield AnomalyCheck(name=name, blocking=blocking, path=path, line=line)


def names_in(written: Any) -> list[str]:
    """The names in a value of `meta`: separated by commas, `none` for none of the glossary's."""
    found = [name.strip().lower() for name in str(written or "").split(",")]
    return [name for name in dict.fromkeys(found) if name and name != _NONE]


def position_of(node: Asset | Column, key: str) -> Position:
    """Where the names under a key of `meta` stand: in the file or, for a column that extends a
    term, in the glossary."""
    term = node.term if isinstance(node, Column) else None
    return (term or node).at("meta", key)


def inherited_anomalies(own: Mapping[str, Any], of_term: Mapping[str, Any]) -> dict[str, Any]:
    """What a column without an answer of its own takes of the `meta` of its term."""
    if KEYS.keys() & own.keys():
        return {}
    return {key: value for key, value in of_term.items() if key in KEYS}
