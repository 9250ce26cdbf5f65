"""What sensors take for a yes, for not yet, and for a mistake."""

from __future__ import annotations

import pytest

from ecommerce_dagster.runtime.sensor_questions import (
    duckdb_says_yes,
    postgres_has_table,
    postgres_says_yes,
)
from ecommerce_dagster.warehouses.sql_asset import AssetError
from ingestion.helpers import World, asset_of


@pytest.mark.parametrize(
    ("answer", "yes"),
    [
        ("true", True),
        ("false", False),
        ("NULL", False),
        ("2", True),
        ("0", False),
        ("-1", False),
        ("0.5::numeric", True),
        ("'1'", True),
        ("'0'", False),
        ("' Yes '", True),
        ("'t'", True),
        ("'no'", False),
        ("1 WHERE false", False),
    ],
)
def test_an_answer_is_yes_or_not_yet(w: World, answer: str, yes: bool) -> None:
    assert duckdb_says_yes(w.duck, asset_of(), f"SELECT {answer}") is yes
    assert postgres_says_yes(w.connection, asset_of(), f"SELECT {answer}") is yes


def test_a_table_that_does_not_exist_is_not_yet(w: World) -> None:
    assert not duckdb_says_yes(w.duck, asset_of(), "SELECT count(*) FROM late")
    assert not postgres_says_yes(w.connection, asset_of(), "SELECT count(*) FROM late")
    assert not postgres_has_table(w.connection, "late")
    w.sql("CREATE TABLE late AS SELECT 1 AS n")
    assert postgres_says_yes(w.connection, asset_of(), "SELECT count(*) FROM late")
    assert postgres_has_table(w.connection, "late")
    assert postgres_has_table(w.connection, "public.late")
    assert not postgres_has_table(w.connection, "other.late")


def test_a_query_that_cannot_be_answered_fails_with_its_line(w: World) -> None:
    with pytest.raises(AssetError, match=r"^assets/raw/t\.asset\.yml:3: .*gone"):
        duckdb_says_yes(w.duck, asset_of(), "SELECT gone")
    with pytest.raises(AssetError, match=r"^assets/raw/t\.asset\.yml:3: .*gone"):
        postgres_says_yes(w.connection, asset_of(), "SELECT gone")
