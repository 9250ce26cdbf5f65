"""An asset that a run leaves out because something upstream failed says so on its page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from orchestration.helpers import Tiny, config_with_source, run_all

CHECKED = "columns: [{name: n, checks: [{name: positive}]}]"
BY_DAY = """
materialization:
  {type: table, strategy: time_interval, incremental_key: day, time_granularity: date}
"""
SINCE = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"


def observed(
    instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult
) -> list[dg.AssetObservation]:
    """What a run observed, in order, of the assets that it did not run."""
    entries = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    found: list[Any] = [entry.dagster_event for entry in entries]
    every = [event.event_specific_data.asset_observation for event in found]
    return [each for each in every if each.description.startswith("Not run")]


def said(observations: Sequence[dg.AssetObservation]) -> dict[str, str]:
    """What each asset says; each says it once."""
    assert len({each.asset_key for each in observations}) == len(observations)
    return {
        each.asset_key.to_user_string(): re.sub(SINCE, "TIME", str(each.description))
        for each in observations
    }


@pytest.fixture
def chain(tiny: Tiny) -> Tiny:
    """main.top and main.error, and below both main.table, main.view, main.script."""
    tiny.sql("main.top", "SELECT 1 AS n", CHECKED)
    tiny.sql("main.error", "SELECT 1 AS n")
    tiny.sql("main.table", "SELECT n FROM main.top", "depends: [main.top, main.error]")
    tiny.sql(
        "main.view",
        "SELECT n FROM main.table",
        "materialization: {type: view}\ndepends: [main.table]",
        table=False,
    )
    tiny.sql("main.script", "SELECT n FROM main.view", "depends: [main.view]", table=False)
    tiny.sql("main.other", "SELECT 1 AS o")
    return tiny


def test_it_says_once_why_and_how_old_its_data_is(
    chain: Tiny, instance: dg.DagsterInstance
) -> None:
    assert run_all(chain.definitions(), instance).success
    table = dg.AssetKey(["main", "table"])
    built = instance.get_latest_materialization_event(table)
    assert built is not None
    chain.sql("main.top", "SELECT -1 AS n", CHECKED)
    failed = run_all(chain.definitions(), instance)
    because = "Not run: main.top failed its check 'n: positive'; "
    assert said(observed(instance, failed)) == {
        "main/table": because + "data of TIME is still served",
        "main/view": because + "the view of TIME is still served",
        "main/script": because + "it last ran at TIME",
    }
    [first] = [each.metadata for each in observed(instance, failed) if each.asset_key == table]
    assert first["upstream"].value == dg.AssetKey(["main", "top"])
    assert first["failed_checks"].value == "n: positive"
    assert first["data_since"].value == built.timestamp

    # Both fail, and the first one is named.
    chain.sql("main.error", "SELECT nothing AS n")
    both = run_all(chain.definitions(), instance)
    assert set(said(observed(instance, both))) == {"main/table", "main/view", "main/script"}
    chain.sql("main.top", "SELECT 1 AS n", CHECKED)
    error = observed(instance, run_all(chain.definitions(), instance))
    assert said(error)["main/table"] == "Not run: main.error failed; data of TIME is still served"
    assert "nothing" in str(error[0].metadata["error"].value)

    [check] = [each for each in failed.get_asset_check_evaluations() if not each.passed]
    kept = str(check.metadata["published"].value)
    pattern = f"The rows were not published: the table still shows the data of {SINCE}."
    assert re.fullmatch(pattern, kept)


def test_a_run_in_which_nothing_upstream_failed_says_nothing(
    chain: Tiny, instance: dg.DagsterInstance
) -> None:
    chain.sql("main.script", "SELECT nothing FROM main.view", "depends: [main.view]", table=False)
    failed = run_all(chain.definitions(), instance)
    assert not failed.success
    assert observed(instance, failed) == []
    chain.sql("main.top", "SELECT -1 AS n", CHECKED)
    selected = run_all(chain.definitions(), instance, [dg.AssetKey(["main", "top"])])
    assert not selected.success
    assert observed(instance, selected) == []


def test_a_step_that_is_tried_again_is_waited_for(tiny: Tiny, instance: dg.DagsterInstance) -> None:
    tiny.write("pipeline/pipeline.yml", "name: tiny\nretries: 1\n")
    tiny.write(
        "pipeline/assets/main.py",
        '"""@bruin\nname: main.top\ntype: python\n@bruin"""\n1 / 0\n',
    )
    tiny.sql("main.below", "SELECT 1 AS n", "depends: [main.top]")
    result = run_all(tiny.definitions(), instance)
    kinds = [
        entry.dagster_event.event_type_value
        for entry in instance.all_logs(result.run_id)
        if entry.dagster_event
    ]
    assert kinds.index("STEP_RESTARTED") < kinds.index("ASSET_OBSERVATION")
    assert said(observed(instance, result)) == {
        "main/below": "Not run: main.top failed; it was not built before"
    }


def test_the_partitions_of_the_run_are_named(tiny: Tiny, instance: dg.DagsterInstance) -> None:
    tiny.write("pipeline/pipeline.yml", "name: tiny\nschedule: daily\nstart_date: 2025-03-01\n")
    tiny.sql("main.top", "SELECT 1 AS n", CHECKED)
    tiny.sql(
        "main.days",
        "SELECT DATE '{{ start_date }}' AS day",
        f"{BY_DAY}\ndepends: [main.top]",
        table=False,
    )
    assert run_all(tiny.definitions(), instance, partition_key="2025-03-02").success
    tiny.sql("main.top", "SELECT -1 AS n", CHECKED)
    because = "main.top failed its check 'n: positive'"
    for day, kept in {
        "2025-03-02": "data of TIME is still served",
        "2025-03-03": "it was not built before",
    }.items():
        [one] = observed(instance, run_all(tiny.definitions(), instance, partition_key=day))
        assert one.partition == day
        assert said([one]) == {"main/days": f"Not run for {day}: {because}; {kept}"}
    ends = ("2025-03-01", "2025-03-02")
    tags = dict(zip(("start", "end"), ends, strict=True))
    [one] = observed(
        instance,
        run_all(
            tiny.definitions(),
            instance,
            tags={f"dagster/asset_partition_range_{end}": day for end, day in tags.items()},
        ),
    )
    assert one.partition is None
    kept = "data of TIME or earlier is still served"
    assert said([one]) == {"main/days": f"Not run for {' to '.join(ends)}: {because}; {kept}"}


def test_assets_of_other_code_are_left_alone_and_those_after_them_are_not(
    tiny: Tiny, instance: dg.DagsterInstance
) -> None:
    tiny.sql("main.top", "SELECT -1 AS n", CHECKED)
    tiny.rates()

    @dg.asset(key=["finance", "rates"], deps=[dg.AssetKey(["main", "top"])])
    def hers() -> None: ...

    definitions = dg.Definitions.merge(tiny.definitions(), dg.Definitions(assets=[hers]))
    assert said(observed(instance, run_all(definitions, instance))) == {
        "mart/t": "Not run: main.top failed its check 'n: positive'; it was not built before"
    }


@pytest.mark.postgres
def test_it_is_the_same_in_postgresql(
    tiny: Tiny, instance: dg.DagsterInstance, database: PostgresServer
) -> None:
    place = (database.host, database.port, database.password, database.user, database.database)
    tiny.write(".bruin.yml", config_with_source(*place))
    for asset, header in (("main.top", CHECKED), ("main.below", "depends: [main.top]")):
        tiny.write(
            f"pipeline/assets/{asset}.sql",
            f"/* @bruin\nname: {asset}\ntype: pg.sql\nconnection: pg\n"
            f"materialization: {{type: table}}\n{header}\n@bruin */\nSELECT 1 AS n\n",
        )
    assert run_all(tiny.definitions(), instance).success
    top = tiny.directory / "assets" / "main.top.sql"
    top.write_text(top.read_text().replace("SELECT 1", "SELECT -1"))
    result = run_all(tiny.definitions(), instance)
    assert said(observed(instance, result)) == {
        "main/below": "Not run: main.top failed its check 'n: positive'; "
        "data of TIME is still served"
    }
    [check] = result.get_asset_check_evaluations()
    assert "not published: the table still shows" in str(check.metadata["published"].value)
