"""How old a table may be, and tables that are rebuilt as soon as something above them is."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from ecommerce_dagster import build_defs, local
from ecommerce_dagster.bruin.problems import ProjectError
from orchestration.helpers import Tiny, run_all

DAILY = 'name: tiny\nschedule: daily\nstart_date: "2025-03-01"\n'
HOW = "type: table, strategy: time_interval, incremental_key: at, time_granularity: timestamp"
QUERY = "SELECT TIMESTAMPTZ '{{ start_timestamp }}' AS at, 1 AS n"


@pytest.fixture
def pipeline(tiny: Tiny) -> Tiny:
    """main.total, which is read by nobody, below main.days, which has partitions."""
    tiny.write("pipeline/pipeline.yml", DAILY)
    tiny.sql("main.days", QUERY, f"materialization: {{{HOW}}}", table=False)
    write_total(tiny)
    return tiny


def write_total(tiny: Tiny, meta: str = "") -> None:
    tiny.sql("main.total", "SELECT count(*) n FROM main.days", f"depends: [main.days]\n{meta}")


def window(definitions: dg.Definitions, asset: str) -> timedelta | None:
    policy = definitions.resolve_asset_graph().get(dg.AssetKey(asset.split("."))).freshness_policy
    return None if policy is None else policy.fail_window.to_timedelta()  # type: ignore[attr-defined]


class TestFreshness:
    @pytest.mark.parametrize(
        ("schedule", "hours"),
        [("daily", 26), ("hourly", 65 / 60), ("weekly", 182), ("'0 2 * * 1-5'", 78)],
    )
    def test_it_follows_the_schedule(self, pipeline: Tiny, schedule: str, hours: float) -> None:
        pipeline.write("pipeline/pipeline.yml", DAILY.replace("daily", schedule))

        definitions = pipeline.definitions()

        assert window(definitions, "main.total") == timedelta(hours=hours)
        assert window(definitions, "main.days") is None

    def test_a_schedule_is_followed_once_for_all_assets(
        self, pipeline: Tiny, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        windows, counted = dg.TimeWindowPartitionsDefinition, []
        follow = windows.get_next_partition_window
        monkeypatch.setattr(
            windows,
            "get_next_partition_window",
            lambda self, *a, **b: (counted.append(self), follow(self, *a, **b))[1],
        )
        pipeline.write("pipeline/pipeline.yml", DAILY.replace("daily", "'17 3 * * *'"))
        for name in "abcde":
            pipeline.sql(f"main.{name}", "SELECT 1 AS n")

        assert window(pipeline.definitions(), "main.e") == timedelta(hours=26)
        assert len({*map(id, counted)}) == 1

    def test_every_mart_of_the_shop_has_one(self) -> None:
        definitions = build_defs(local.PIPELINE)
        marts = [spec for spec in definitions.resolve_all_asset_specs() if "mart" in spec.tags]
        assert marts
        assert {window(definitions, ".".join(spec.key.path)) for spec in marts} == {
            timedelta(hours=26)
        }

    @pytest.mark.parametrize(
        ("written", "expected"), [("90m", timedelta(minutes=90)), ("off", None)]
    )
    def test_the_file_can_say_otherwise(
        self, pipeline: Tiny, written: str, expected: timedelta | None
    ) -> None:
        write_total(pipeline, f"meta: {{freshness: {written}}}")

        assert window(pipeline.definitions(), "main.total") == expected

    def test_a_pipeline_without_a_schedule_promises_nothing(self, pipeline: Tiny) -> None:
        pipeline.write("pipeline/pipeline.yml", "name: tiny\n")

        assert window(pipeline.definitions(), "main.total") is None

    @pytest.mark.parametrize(
        ("meta", "told"),
        [
            ("freshness: soon", "'soon' is not a duration"),
            ("freshness: 10s", "'10s' is too short"),
            ("automation: always", "the automation 'always' is unknown; expected eager"),
        ],
    )
    def test_what_means_nothing_is_an_error_with_its_line(
        self, pipeline: Tiny, meta: str, told: str
    ) -> None:
        write_total(pipeline, f"meta:\n  {meta}")

        with pytest.raises(ProjectError, match=rf"main\.total\.sql:8: .*{told}"):
            pipeline.definitions()


class TestEager:
    @pytest.fixture
    def definitions(self, pipeline: Tiny) -> dg.Definitions:
        write_total(pipeline, "meta: {automation: eager}")
        return pipeline.definitions(watch=True)

    def test_it_is_rebuilt_once_when_one_partition_above_it_was_filled(
        self, definitions: dg.Definitions, instance: dg.DagsterInstance
    ) -> None:
        first = dg.evaluate_automation_conditions(definitions, instance)
        days = [dg.AssetKey(["main", "days"])]
        assert run_all(definitions, instance, days, partition_key="2025-03-05").success
        then = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)
        last = dg.evaluate_automation_conditions(definitions, instance, cursor=then.cursor)

        assert [found.total_requested for found in (first, then, last)] == [0, 1, 0]
        assert then.get_num_requested(dg.AssetKey(["main", "total"])) == 1

    def test_a_run_that_built_it_too_leaves_nothing_to_do(
        self, definitions: dg.Definitions, instance: dg.DagsterInstance
    ) -> None:
        first = dg.evaluate_automation_conditions(definitions, instance)
        assert run_all(definitions, instance, partition_key="2025-03-05").success
        then = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)

        assert then.total_requested == 0

    def test_its_sensor_runs_where_data_is_watched(self, definitions: dg.Definitions) -> None:
        sensor = definitions.resolve_sensor_def("tiny_automation")

        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING

    def test_without_such_assets_there_is_no_sensor(self, pipeline: Tiny) -> None:
        assert not list(pipeline.definitions().sensors or [])
