"""What is wrong in an ingestr file is told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.parsing import parse_file
from ecommerce_dagster.sources.parameters import (
    incremental_key_of,
    is_windowed,
    lint_ingestion,
    primary_key_of,
    strategy_of,
    unmaskable,
)
from ingestion.helpers import asset_of


def problems(asset: Asset) -> list[str]:
    log = ProblemLog()
    lint_ingestion(asset, log)
    assert all(problem.rule == "valid-ingestr" for problem in log.errors)
    return [problem.message for problem in log.errors]


@pytest.mark.parametrize(
    ("rest", "complaint"),
    [
        ("columns: [{name: mail, mask: scramble}]", "the column 'mail' has the mask 'scramble'; "
         "known: hash, sha256, md5, redact, stars, fixed:TEXT"),
        ("columns: [{name: mail, mask: hash}, {name: AT, mask: hash}]", "the column 'AT' has the "
         "mask 'hash', and as the incremental_key it must be readable"),
        ("columns: [{name: mail, mask: hash}, {name: x, mask: 'fixed:'}, {name: n}]", None),
    ],
)  # fmt: skip
def test_a_mask_that_cannot_be_applied_keeps_the_asset_out(
    rest: str, complaint: str | None
) -> None:
    found = unmaskable(asset_of("incremental_key: at", rest))
    assert (found and found.message) == complaint


@pytest.mark.parametrize(
    ("parameters", "rest"),
    [
        ("", ""),
        ("incremental_strategy: replace", ""),
        ("{incremental_strategy: append}", ""),
        ("{incremental_strategy: merge, primary_key: id}", ""),
        ("{incremental_strategy: merge}", "columns: [{name: id, primary_key: true}]"),
        ("{incremental_strategy: delete+insert, incremental_key: day}", ""),
        ("", "materialization: {type: table, strategy: delete+insert, incremental_key: day}"),
        ("incremental_strategy: replace", "materialization: {strategy: create+replace}"),
        ("incremental_key: day", "materialization: {incremental_key: day}"),
        ("sql_limit: 10", ""),
        ("{destination: '', sql_limit: ''}", ""),
        ("{destination_connection: duckdb-default, loader_file_size: 3}", ""),
        ("source_table: 'query:SELECT 1'", ""),
    ],
)
def test_a_file_that_can_work_is_not_complained_about(parameters: str, rest: str) -> None:
    assert problems(asset_of(parameters, rest)) == []


@pytest.mark.parametrize(
    ("parameters", "rest", "message"),
    [
        ("source_connection: ''", "", "an ingestr asset needs `parameters: source_connection`"),
        ("source_table:", "", "an ingestr asset needs `parameters: source_table`"),
        (
            "incremental_strategy: delete+insert",
            "",
            "the strategy 'delete+insert' needs `parameters: incremental_key`",
        ),
        (
            "incremental_strategy: merge",
            "columns: [{name: id}]",
            "the strategy 'merge' needs a column with `primary_key: true`",
        ),
        (
            "incremental_strategy: upsert",
            "",
            "unknown incremental_strategy 'upsert'; known: append, create+replace, delete+insert,"
            " merge, replace, truncate+insert",
        ),
        (
            "incremental_strategy: apend",
            "",
            "unknown incremental_strategy 'apend'; did you mean 'append'?",
        ),
        ("source_table: 'query: '", "", "source_table needs a query after `query:`"),
        ("sql_limit: ten", "", "sql_limit is 'ten'; expected a number of rows"),
        ("sql_limit: -1", "", "sql_limit is '-1'; expected a number of rows"),
        (
            "",
            "materialization: {type: view}",
            "an ingestr asset makes a table, not a view; write `type: table`",
        ),
        (
            "incremental_strategy: append",
            "materialization: {type: table, strategy: truncate+insert}",
            "incremental_strategy is 'append' and `materialization` says 'truncate+insert'; "
            "keep one",
        ),
        (
            "incremental_key: day",
            "materialization: {type: table, incremental_key: at}",
            "incremental_key is 'day' and `materialization` says 'at'; keep one",
        ),
    ],
)
def test_a_mistake_is_named(parameters: str, rest: str, message: str) -> None:
    assert problems(asset_of(parameters, rest)) == [message]


def test_every_mistake_is_named_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "t.asset.yml"
    file.write_text(
        "name: raw.t\ntype: ingestr\nparameters:\n  source_table: t\n  sql_limit: some\n"
    )
    log = ProblemLog()
    asset = parse_file(Asset, file, log)
    assert asset is not None
    lint_ingestion(asset, log)
    assert [(problem.path, problem.line) for problem in log.errors] == [
        (file, 3),
        (file, 5),
    ]


@pytest.mark.parametrize(
    ("parameters", "rest", "strategy", "key", "windowed"),
    [
        ("", "", "create+replace", None, False),
        ("{incremental_strategy: delete+insert}", "", "delete+insert", None, False),
        (
            "{incremental_strategy: delete+insert, incremental_key: d}",
            "",
            "delete+insert",
            "d",
            True,
        ),
        (
            "",
            "materialization: {strategy: delete+insert, incremental_key: d}",
            "delete+insert",
            "d",
            True,
        ),
        ("{incremental_strategy: merge, incremental_key: d}", "", "merge", "d", False),
    ],
)
def test_the_parameters_say_how_a_table_is_loaded(
    parameters: str, rest: str, strategy: str, key: str | None, windowed: bool
) -> None:
    asset = asset_of(parameters, rest)
    found = (strategy_of(asset), incremental_key_of(asset), is_windowed(asset))
    assert found == (strategy, key, windowed)


@pytest.mark.parametrize(
    ("parameters", "rest", "expected"),
    [
        ("", "", ()),
        ("primary_key: id", "", ("id",)),
        ("primary_key: 'a, b,'", "", ("a", "b")),
        ("primary_key: [a, 'b,c']", "", ("a", "b,c")),
        ("primary_key: x", "columns: [{name: a, primary_key: true}, {name: b}]", ("a",)),
    ],
)
def test_the_primary_key_is_marked_or_a_parameter(
    parameters: str, rest: str, expected: tuple[str, ...]
) -> None:
    assert primary_key_of(asset_of(parameters, rest)) == expected


def test_an_overlap_is_a_duration() -> None:
    assert problems(asset_of("", "meta: {overlap: 10m}")) == []
    assert problems(asset_of("", "meta: {overlap: soon}")) == [
        "the overlap 'soon' is not a duration; write 30s, 5m or 1h30m"
    ]
