"""docs/bruin.md names every key, type, strategy and source that the code knows, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecommerce_dagster.bruin.model.asset import (
    Asset,
    Column,
    ColumnCheck,
    CustomCheck,
    Materialization,
)
from ecommerce_dagster.bruin.model.pipeline import Pipeline
from ecommerce_dagster.bruin.model.platforms import MOTHERDUCK_KEYS, PLATFORMS
from ecommerce_dagster.bruin.yaml.node import Node
from ecommerce_dagster.runtime.asset_types import ASSET_TYPES
from ecommerce_dagster.runtime.readers import READERS
from ecommerce_dagster.sources import known_parameters
from ecommerce_dagster.sql.strategies import registry

PAGE = Path(__file__).parents[2] / "docs" / "bruin.md"
# Types that are given by their first word alone.
ALIKE = ("looker", "metabase", "qlik", "quicksight", "tableau")
DASHBOARDS = {"domo", "gooddata", "grafana", "modebi", "powerbi", "redash", "sisense", "superset"}


def rows(section: str, header: str) -> Iterator[str]:
    """The first cells of a table of docs/bruin.md, by its section and its own first cell."""
    text = PAGE.read_text().split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    table = re.split(rf"\n\| {re.escape(header)} \|[^\n]*\n\|---[^\n]*\n", text)[1]
    for line in table.split("\n\n", 1)[0].splitlines():
        yield re.split(r"(?<!\\)\|", line)[1]


def words(section: str, header: str) -> set[str]:
    """What is written as code in those cells."""
    return {word for cell in rows(section, header) for word in re.findall(r"`([^`]+)`", cell)}


def keys_of(*nodes: type[Node]) -> tuple[set[str], set[str]]:
    """The keys that are read, and those that are known and left to others."""
    fields = {
        field.alias or name
        for node in nodes
        for name, field in node.model_fields.items()
        if name not in node.internal
    }
    return fields, {key for node in nodes for key in node.foreign}


@pytest.mark.parametrize(
    ("section", "header", "nodes"),
    [
        ("pipeline.yml", "key", (Pipeline,)),
        ("Assets", "key", (Asset,)),
        ("Assets", "`materialization`", (Materialization,)),
        ("Assets", "column", (Column,)),
        ("Assets", "check", (ColumnCheck, CustomCheck)),
    ],
)
def test_keys(section: str, header: str, nodes: tuple[type[Node], ...]) -> None:
    said, (fields, foreign) = words(section, header), keys_of(*nodes)
    # Of the checks that tutorials write so, which have a section of their own.
    assert fields - said - {"min", "max", "pattern"} == set()
    assert said - fields - foreign == set()


def test_types() -> None:
    known = {name for name in ASSET_TYPES if not name.startswith(ALIKE)} - DASHBOARDS
    said = words("Assets", "type")
    assert known - said == set()


def test_strategies() -> None:
    assert set(registry.STRATEGIES) - words("Assets", "strategy") == set()


def test_parameters() -> None:
    said = words("Assets", "`parameters` of `ingestr`")
    assert {word for word in said if word.isidentifier()} - known_parameters.KNOWN == set()
    for word in ("schema_naming", "schema_contract", "trim_whitespace", "mask", "stream", "cdc"):
        assert word in said


def test_sources() -> None:
    assert set(READERS) - words("Sources of `ingestr` assets", "connection") == set()


def test_connections() -> None:
    said = words(".bruin.yml", "key")
    assert (PLATFORMS["postgres"].keys | PLATFORMS["duckdb"].keys | MOTHERDUCK_KEYS) - said == set()
