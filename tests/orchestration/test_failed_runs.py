"""A run that failed is requested again when that can help."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import psycopg
import pytest

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from orchestration.helpers import Tiny
from orchestration.watcher import Watcher, later

WAITS = (
    "nothing changed in 1 table; a run failed by a check or by its query; it is requested again "
    "when the source or the files change"
)
RULE = (
    "depends: [raw.sizes]\ncolumns: [{name: size, checks: [{name: accepted_values, value: [%s]}]}]"
)


@pytest.fixture
def sizes(tiny: Tiny, server: PostgresServer, instance: dg.DagsterInstance) -> Watcher:
    """stg.sizes of raw.sizes, which was loaded once."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS failing WITH (FORCE)")
        connection.execute("CREATE DATABASE failing")
    watched = Watcher(tiny, replace(server, database="failing"), instance)
    watched.execute("CREATE TABLE sizes (id int PRIMARY KEY, size text)")
    watched.execute("INSERT INTO sizes VALUES (1, 'S')")
    watched.load("sizes")
    stage(watched.tiny)
    assert watched.work() == "SUCCESS"
    return watched


def stage(tiny: Tiny, values: str = "S, M", query: str = "SELECT * FROM raw.sizes") -> None:
    tiny.sql("stg.sizes", query, RULE % values)


def test_a_failed_check_waits_for_the_source(sizes: Watcher) -> None:
    sizes.execute("INSERT INTO sizes VALUES (2, 'XL')")
    assert sizes.work() == "FAILURE"

    for minutes in (0, 2, 70, 600):
        with later(minutes):
            assert sizes.work() == WAITS

    sizes.execute("UPDATE sizes SET size = 'M'")
    assert sizes.work() == "SUCCESS"
    assert sizes.work() == "nothing changed in 1 table"
    assert sizes.tiny.query("SELECT count(*) FROM stg.sizes") == [(2,)]


@pytest.mark.parametrize("wrong", ["a rule", "a query"])
def test_what_is_wrong_in_a_file_waits_for_the_file(sizes: Watcher, wrong: str) -> None:
    if wrong == "a rule":
        stage(sizes.tiny, values="M, L")
    else:
        stage(sizes.tiny, query="SELECT *, no_such_column FROM raw.sizes")
    sizes.execute("INSERT INTO sizes VALUES (2, 'M')")
    assert sizes.work() == "FAILURE"
    with later(70):
        assert sizes.work() == WAITS

    stage(sizes.tiny)

    assert sizes.work() == "SUCCESS"
    assert sizes.tiny.query("SELECT count(*) FROM stg.sizes") == [(2,)]


def test_what_failed_from_outside_is_tried_until_the_sensor_is_red(sizes: Watcher) -> None:
    """The file that a query reads comes back."""
    rates = sizes.tiny.folder / "rates.csv"
    stage(sizes.tiny, query=f"SELECT s.* FROM raw.sizes s, read_csv('{rates}')")
    sizes.execute("INSERT INTO sizes VALUES (2, 'M')")
    minutes = 0.0
    assert sizes.work() == "FAILURE"
    for pause in (1, 2, 4, 8):
        assert sizes.work() == "nothing changed in 1 table"
        minutes += pause + 0.1
        with later(minutes):
            assert sizes.work() == "FAILURE"
    with pytest.raises(dg.Failure, match="has failed 5 times for reasons outside of the files"):
        sizes.work()

    rates.write_text("rate\n1\n")

    with later(minutes + 17):
        assert sizes.work() == "SUCCESS"
    assert sizes.work() == "nothing changed in 1 table"
