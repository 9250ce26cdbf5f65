"""Which time a run is about, whoever its partition belongs to, and what is then filled and recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from inspect import signature
from typing import Any

import dagster as dg
import pytest

from ecommerce_dagster import BruinTranslator
from ecommerce_dagster.bruin.model.interval import yesterday
from ecommerce_dagster.orchestration.build import definitions_of, load_project
from ecommerce_dagster.orchestration.check_history import histories_of
from ecommerce_dagster.orchestration.latest_states import latest_states
from ecommerce_dagster.orchestration.run_findings import RunFindings
from ecommerce_dagster.runtime.run_tags import RANGE_END_TAG, RANGE_START_TAG
from orchestration.helpers import QUIET, Tiny, checks_recorded, failures, run_all

DAILY = "name: tiny\nschedule: daily\nstart_date: '2024-01-01'\n"
FILTER = "{% if not full_refresh %}WHERE moment BETWEEN '{{ start_timestamp }}' AND '{{ end_timestamp }}'{% endif %}"
BY_TIME = """
depends: [raw.events]
materialization: {{type: table, strategy: time_interval, incremental_key: moment, time_granularity: {0}}}
"""
EVENTS, STAGED, WINDOW = (
    dg.AssetKey(name.split(".")) for name in ("raw.events", "stg.events", "mart.window")
)
THEIRS = dg.AssetKey("theirs")
Partitions = dg.PartitionsDefinition[Any]

HOURLY = dg.HourlyPartitionsDefinition("2024-01-01-00:00")
WEEKLY = dg.WeeklyPartitionsDefinition("2024-01-01")
MONTHLY = dg.MonthlyPartitionsDefinition("2024-01-01")
NEW_YORK = dg.DailyPartitionsDefinition("2024-01-01", timezone="America/New_York")
INDIA = dg.HourlyPartitionsDefinition("2024-01-01-00:00", timezone="Asia/Kolkata")
FROM_SIX = dg.DailyPartitionsDefinition("2024-01-01", hour_offset=6)
EUROPEAN = dg.TimeWindowPartitionsDefinition(
    cron_schedule="0 0 * * *", start="01.01.2024", fmt="%d.%m.%Y"
)
LANDS = dg.StaticPartitionsDefinition(["DE", "FR"])
OF_LANDS = dg.MultiPartitionsDefinition({"land": LANDS, "month": MONTHLY})
TWO_TIMES = dg.MultiPartitionsDefinition({"day": NEW_YORK, "month": MONTHLY})
TENANTS = dg.DynamicPartitionsDefinition(name="tenants")


def given(partitions: Partitions | None, *names: str) -> BruinTranslator:
    """A translator that gives these partitions to some assets, else to those that have some."""

    class Giving(BruinTranslator):
        def get_partitions_def(self, asset: Any, project: Any) -> Partitions | None:
            own = super().get_partitions_def(asset, project)
            wanted = asset.name in names if names else own is not None
            return partitions if wanted else own

    return Giving()


@pytest.fixture
def events(tiny: Tiny) -> Tiny:
    """Hours from New Year 2024 to the end of March, staged by time; a mart that shows the window."""
    tiny.write("pipeline/pipeline.yml", DAILY)
    hours = (
        "SELECT TIMESTAMP '2024-01-01' + n * INTERVAL 1 hour AS moment, n FROM range(91 * 24) r(n)"
    )
    tiny.sql("raw.events", hours)
    tiny.sql(
        "stg.events", f"SELECT * FROM raw.events {FILTER}", BY_TIME.format("timestamp"), table=False
    )
    shown = "SELECT '{{ start_timestamp }}' AS first, '{{ end_timestamp }}' AS last"
    tiny.sql("mart.window", shown, "depends: [stg.events]")
    return tiny


def shown_window(tiny: Tiny) -> tuple[str, str]:
    [(first, last)] = tiny.query("FROM mart.window")
    return first[:19].replace("T", " "), last[:19].replace("T", " ")


def staged(tiny: Tiny) -> tuple[int, str, str]:
    """How many hours are staged, the first and the last of them."""
    [(rows, first, last)] = tiny.query("SELECT count(*), min(moment), max(moment) FROM stg.events")
    return rows, str(first), str(last)


def stranger(partitions: Partitions) -> dg.AssetsDefinition:
    """Somebody else's asset in the same location."""

    @dg.asset(
        name="theirs", partitions_def=partitions, backfill_policy=dg.BackfillPolicy.single_run()
    )
    def theirs() -> dg.MaterializeResult:  # type: ignore[type-arg]
        return dg.MaterializeResult()

    return theirs


def succeed(definitions: dg.Definitions, instance: dg.DagsterInstance, **options: Any) -> None:
    result = run_all(definitions, instance, **options)
    assert result.success, failures(result)


SINCE = "2024-02-01 00:00:00"
NONE = tuple(f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (yesterday().start, yesterday().last))


class TestAMartInARunOverPartitionsOfOthers:
    @pytest.mark.parametrize(
        ("partitions", "key", "window"),
        [
            pytest.param(HOURLY, "2024-02-01-05:00", ("2024-02-01 05:00:00", "2024-02-01 05:59:59"), id="hour"),
            pytest.param(MONTHLY, "2024-02-01", (SINCE, "2024-02-29 23:59:59"), id="month"),
            pytest.param(WEEKLY, "2024-02-04", ("2024-02-04 00:00:00", "2024-02-10 23:59:59"), id="week"),
            pytest.param(NEW_YORK, "2024-02-01", ("2024-02-01 05:00:00", "2024-02-02 04:59:59"), id="zone"),
            pytest.param(INDIA, "2024-02-01-05:00", ("2024-01-31 23:30:00", "2024-02-01 00:29:59"), id="half hour"),
            pytest.param(FROM_SIX, "2024-02-01", ("2024-02-01 06:00:00", "2024-02-02 05:59:59"), id="offset"),
            pytest.param(EUROPEAN, "01.02.2024", (SINCE, "2024-02-01 23:59:59"), id="format"),
            pytest.param(OF_LANDS, "DE|2024-02-01", (SINCE, "2024-02-29 23:59:59"), id="two dimensions"),
            pytest.param(LANDS, "DE", NONE, id="static"),
            pytest.param(TWO_TIMES, "2024-02-01|2024-02-01", NONE, id="two times"),
            pytest.param(TENANTS, "acme", NONE, id="dynamic"),
        ],
    )  # fmt: skip
    def test_it_sees_the_time_of_that_partition_or_none(
        self,
        events: Tiny,
        instance: dg.DagsterInstance,
        partitions: Partitions,
        key: str,
        window: tuple[str, str],
    ) -> None:
        instance.add_dynamic_partitions("tenants", ["acme"])
        both = dg.Definitions.merge(
            events.definitions(), dg.Definitions(assets=[stranger(partitions)])
        )
        succeed(both, instance, selection=[THEIRS, WINDOW], partition_key=key)
        assert shown_window(events) == window

    @pytest.mark.parametrize(
        ("partitions", "first", "last", "window"),
        [
            pytest.param(HOURLY, "2024-02-01-05:00", "2024-02-01-07:00", ("2024-02-01 05:00:00", "2024-02-01 07:59:59"), id="hours"),
            pytest.param(OF_LANDS, "DE|2024-02-01", "FR|2024-03-01", (SINCE, "2024-03-31 23:59:59"), id="two dimensions"),
            pytest.param(LANDS, "DE", "FR", NONE, id="static"),
        ],
    )  # fmt: skip
    def test_it_sees_the_time_of_a_range(
        self,
        events: Tiny,
        instance: dg.DagsterInstance,
        partitions: Partitions,
        first: str,
        last: str,
        window: tuple[str, str],
    ) -> None:
        both = dg.Definitions.merge(
            events.definitions(), dg.Definitions(assets=[stranger(partitions)])
        )
        tags = {RANGE_START_TAG: first, RANGE_END_TAG: last}
        succeed(both, instance, selection=[THEIRS, WINDOW], tags=tags)
        assert shown_window(events) == window

    def test_what_a_run_did_not_finish_is_about_the_same_time(
        self, events: Tiny, instance: dg.DagsterInstance
    ) -> None:
        """Dagster tries again with the tags of the run, and without the assets that are done."""
        succeed(events.definitions(), instance, selection=[EVENTS])
        days = {RANGE_START_TAG: "2024-02-01", RANGE_END_TAG: "2024-02-02"}
        job = events.definitions().resolve_implicit_global_asset_job_def()
        again = job.get_subset(asset_selection={WINDOW})
        assert again.execute_in_process(instance=instance, tags=days).success
        assert shown_window(events) == (SINCE, "2024-02-02 23:59:59")


class TestPartitionsThatATranslatorGives:
    @pytest.mark.parametrize(
        ("partitions", "key", "found"),
        [
            pytest.param(WEEKLY, "2024-02-04", (168, "2024-02-04 00:00:00", "2024-02-10 23:00:00"), id="week"),
            pytest.param(MONTHLY, "2024-02-01", (29 * 24, SINCE, "2024-02-29 23:00:00"), id="month"),
            pytest.param(HOURLY, "2024-02-01-05:00", (1, "2024-02-01 05:00:00", "2024-02-01 05:00:00"), id="hour"),
            pytest.param(NEW_YORK, "2024-03-10", (23, "2024-03-10 05:00:00", "2024-03-11 03:00:00"), id="zone"),
            pytest.param(EUROPEAN, "01.02.2024", (24, SINCE, "2024-02-01 23:00:00"), id="format"),
            pytest.param(OF_LANDS, "DE|2024-02-01", (29 * 24, SINCE, "2024-02-29 23:00:00"), id="two dimensions"),
        ],
    )  # fmt: skip
    def test_what_is_recorded_is_what_was_filled(
        self,
        events: Tiny,
        instance: dg.DagsterInstance,
        partitions: Partitions,
        key: str,
        found: tuple[int, str, str],
    ) -> None:
        definitions = events.definitions(translator=given(partitions))
        succeed(definitions, instance, partition_key=key)
        succeed(definitions, instance, partition_key=key)
        assert staged(events) == found
        assert instance.get_materialized_partitions(STAGED) == {key}
        assert shown_window(events)[0] == found[1]

    def test_a_range_of_weeks_is_one_window(
        self, events: Tiny, instance: dg.DagsterInstance
    ) -> None:
        tags = {RANGE_START_TAG: "2024-02-04", RANGE_END_TAG: "2024-02-18"}
        succeed(events.definitions(translator=given(WEEKLY)), instance, tags=tags)
        assert staged(events) == (3 * 168, "2024-02-04 00:00:00", "2024-02-24 23:00:00")
        weeks = {"2024-02-04", "2024-02-11", "2024-02-18"}
        assert instance.get_materialized_partitions(STAGED) == weeks

    @pytest.mark.parametrize(
        ("partitions", "keys"),
        [
            pytest.param(MONTHLY, {"2024-01-01", "2024-02-01", "2024-03-01"}, id="months"),
            pytest.param(
                OF_LANDS,
                {f"{land}|2024-0{month}-01" for land in ("DE", "FR") for month in (1, 2, 3)},
                id="two dimensions",
            ),
        ],
    )
    def test_a_run_without_dates_fills_and_records_all_of_them(
        self, events: Tiny, instance: dg.DagsterInstance, partitions: Partitions, keys: set[str]
    ) -> None:
        job = events.definitions(translator=given(partitions)).resolve_job_def("tiny")
        assert job.execute_in_process(instance=instance).success
        assert staged(events) == (91 * 24, "2024-01-01 00:00:00", "2024-03-31 23:00:00")
        assert instance.get_materialized_partitions(STAGED) == keys

    def test_days_of_another_zone_are_recorded_by_its_hours(
        self, events: Tiny, instance: dg.DagsterInstance
    ) -> None:
        job = events.definitions(translator=given(INDIA)).resolve_job_def("tiny")
        assert job.execute_in_process(instance=instance).success
        recorded = instance.get_materialized_partitions(STAGED)
        # The first partition is from 18:30 on in UTC, the last row of 23:00.
        assert (min(recorded), max(recorded)) == ("2024-01-01-05:00", "2024-04-01-04:00")
        assert len(recorded) == 91 * 24

    def test_partitions_can_be_taken_away(self, events: Tiny, instance: dg.DagsterInstance) -> None:
        succeed(events.definitions(translator=given(None)), instance)
        assert staged(events) == (91 * 24, "2024-01-01 00:00:00", "2024-03-31 23:00:00")
        assert instance.get_materialized_partitions(STAGED) == set()

    @pytest.mark.parametrize("partitions", [LANDS, MONTHLY, TENANTS])
    def test_a_table_that_is_rebuilt_whole_may_have_any(
        self, events: Tiny, instance: dg.DagsterInstance, partitions: Partitions
    ) -> None:
        instance.add_dynamic_partitions("tenants", ["acme"])
        key = {LANDS: "DE", MONTHLY: "2024-02-01", TENANTS: "acme"}[partitions]
        (events.directory / "assets/stg.events.sql").unlink()
        (events.directory / "assets/mart.window.sql").unlink()
        definitions = events.definitions(translator=given(partitions, "raw.events"))
        succeed(definitions, instance, partition_key=key)
        assert instance.get_materialized_partitions(EVENTS) == {key}

    @pytest.mark.parametrize(
        ("partitions", "what"),
        [
            (LANDS, "StaticPartitionsDefinition"),
            (TENANTS, "DynamicPartitionsDefinition"),
            (TWO_TIMES, "MultiPartitionsDefinition"),
            (dg.MultiPartitionsDefinition({"land": LANDS, "tenant": TENANTS}), "MultiPart"),
        ],
    )
    def test_those_that_are_no_time_are_refused_for_what_is_rebuilt_by_time(
        self, events: Tiny, partitions: Partitions, what: str
    ) -> None:
        message = (
            f"stg.events.sql:2: the translator gives 'stg.events' a {what}.*; it is rebuilt by "
            "'moment', so that its partitions must be windows of time"
        )
        with pytest.raises(dg.DagsterInvalidDefinitionError, match=message):
            events.definitions(translator=given(partitions))

    def test_a_pipeline_has_one_kind_of_them(self, events: Tiny) -> None:
        message = (
            "stg.events.sql:2: 'stg.events' and 'raw.events' have different partitions; "
            "one run has one partition, so that all assets of a pipeline must have the same, or none"
        )
        with pytest.raises(dg.DagsterInvalidDefinitionError, match=message):
            events.definitions(translator=given(WEEKLY, "raw.events"))

    def test_a_key_of_others_is_refused_in_a_sentence(
        self, events: Tiny, instance: dg.DagsterInstance
    ) -> None:
        """As a run has that somebody tags by hand."""
        tags = {"dagster/partition": "2024-02-01-05:00"}
        ran = run_all(events.definitions(), instance, selection=[STAGED], tags=tags)
        message = failures(ran)["stg__events"]
        assert message.strip().endswith(
            "stg.events.sql:2: the partition '2024-02-01-05:00' of the run is none of the asset's, "
            "which are called like '2024-01-01'"
        )


@pytest.mark.skipif(
    "partitions_def" not in signature(dg.AssetCheckSpec).parameters,
    reason="comes with Dagster 1.13",
)
class TestChecksByPartition:
    """`meta: {checks_by_partition: true}`: Dagster shows which days failed."""

    CHECK = dg.AssetCheckKey(STAGED, "n__positive")

    @pytest.fixture
    def checked(self, events: Tiny) -> Tiny:
        rules = "columns: [{name: n, checks: [{name: positive}, {name: unique}]}]\n"
        header = f"{BY_TIME.format('timestamp')}{rules}meta: {{checks_by_partition: true}}\n"
        events.sql(
            "raw.events",
            "SELECT TIMESTAMP '2024-01-01' + n * INTERVAL 1 hour AS moment, n FROM range(1, 120) r(n)",
        )
        events.sql("stg.events", f"SELECT * FROM raw.events {FILTER}", header, table=False)
        return events

    def bad(self, checked: Tiny, *days: str) -> None:
        """From now on a row of each of these days is wrong."""
        moments = ", ".join(f"TIMESTAMP '{day} 12:00:00'" for day in days) or "NULL"
        query = (
            "SELECT TIMESTAMP '2024-01-01' + n * INTERVAL 1 hour AS moment,"
            f" CASE WHEN moment IN ({moments}) THEN -n ELSE n END AS n FROM range(1, 120) r(n)"
        )
        checked.sql("raw.events", query)

    def run(self, checked: Tiny, instance: dg.DagsterInstance, *days: str) -> Any:
        tags = {RANGE_START_TAG: days[0], RANGE_END_TAG: days[-1]}
        how = {"tags": tags} if len(days) > 1 else {"partition_key": days[0]}
        return run_all(checked.definitions(), instance, **how)

    def shown(self, checked: Tiny, instance: dg.DagsterInstance) -> dict[str, set[str]]:
        """The days by how Dagster's page of the check shows them."""
        graph = checked.definitions().resolve_asset_graph()
        partitions = graph.get(self.CHECK).partitions_def
        state = instance.event_log_storage.get_asset_check_state([(self.CHECK, partitions)])
        found = {
            status.value.lower(): set(subset.subset_value.get_partition_keys())
            for status, subset in state[self.CHECK].subsets.items()
        }
        return {status: days for status, days in found.items() if days}

    def test_each_day_of_a_range_has_its_result(
        self, checked: Tiny, instance: dg.DagsterInstance
    ) -> None:
        assert self.run(checked, instance, "2024-01-01", "2024-01-02", "2024-01-04").success
        four = {f"2024-01-0{n}" for n in range(1, 5)}
        assert self.shown(checked, instance) == {"succeeded": four}
        self.bad(checked, "2024-01-03")
        ran = self.run(checked, instance, "2024-01-02", "2024-01-04")
        assert "(1 of 2024-01-03)" in failures(ran)["stg__events"]
        bad, good = {"2024-01-03"}, four - {"2024-01-03"}
        assert self.shown(checked, instance) == {"succeeded": good, "failed": bad}
        # What a check says last is what it said of all: in the catalogue, too.
        project = load_project(checked.directory)
        state = latest_states(instance, project.assets, project)["stg.events"]
        assert [check.status for check in state.checks] == ["failed", "passed"]
        history = histories_of(instance, project, project.assets, 10)["stg.events:n:positive"]
        assert [(r.passed, r.bad_rows) for r in history.results] == [(True, 0), (False, 1)]
        [record] = instance.get_run_records(dg.RunsFilter(run_ids=[ran.run_id]))
        found = RunFindings(project).of(record, instance)
        told = [(one.subject.check, one.failed) for one in found if one.subject.kind == "check"]
        assert told == [("stg.events:n:positive", True), ("stg.events:n:unique", False)]

        assert not self.run(checked, instance, "2024-01-03").success
        self.bad(checked)
        assert self.run(checked, instance, "2024-01-03").success
        assert self.shown(checked, instance) == {"succeeded": four}
        # A range of one day, as the terminal asks for it.
        self.bad(checked, "2024-01-02")
        assert not self.run(checked, instance, "2024-01-02", "2024-01-02").success
        assert self.shown(checked, instance)["failed"] == {"2024-01-02"}
        # `unique` compares rows of all days.
        graph = checked.definitions().resolve_asset_graph()
        assert graph.get(dg.AssetCheckKey(STAGED, "n__unique")).partitions_def is None

    def test_a_run_without_partitions_is_about_all_of_them(
        self, checked: Tiny, instance: dg.DagsterInstance
    ) -> None:
        self.bad(checked, "2024-01-03")
        assert not self.run(checked, instance, "2024-01-02", "2024-01-04").success
        self.bad(checked)
        assert checked.ecommerce("run").succeeded
        whole = definitions_of(load_project(checked.directory), partitioned=False)
        assert run_all(whole, instance).success
        assert self.shown(checked, instance) == {}

    def test_it_is_not_asked_for_and_a_translator_may_give_them_all_the_same(
        self, events: Tiny, instance: dg.DagsterInstance
    ) -> None:
        class ByPartition(BruinTranslator):
            def get_asset_check_spec(self, check: Any, project: Any) -> dg.AssetCheckSpec:
                spec = super().get_asset_check_spec(check, project)
                return spec._replace(partitions_def=self.get_partitions_def(check.asset, project))

        rule = "columns: [{name: n, checks: [{name: non_negative}]}]\n"
        header = f"{BY_TIME.format('timestamp')}{rule}"
        query = f"SELECT moment, n - 24 AS n FROM raw.events {FILTER}"
        events.sql("stg.events", query, header, table=False)
        check = dg.AssetCheckKey(STAGED, "n__non_negative")
        assert events.definitions().resolve_asset_graph().get(check).partitions_def is None
        job = events.definitions(translator=ByPartition()).resolve_job_def("tiny")
        for key, passed in (("2024-01-02", True), ("2024-01-01", False)):
            ran = job.execute_in_process(
                instance=instance, partition_key=key, raise_on_error=False, run_config=QUIET
            )
            [found] = ran.get_asset_check_evaluations()
            assert (found.partition, found.passed) == (key, passed)
        assert staged(events)[0] == 24


class TestBadRowsByPartition:
    """A check that failed says from which partitions its bad rows are."""

    def ran(
        self, events: Tiny, instance: dg.DagsterInstance, most: int, *names: Any, **options: Any
    ) -> dg.AssetCheckEvaluation:
        rule = f"columns: [{{name: n, checks: [{{name: max, value: {most}}}]}}]\n"
        header = f"{BY_TIME.format('timestamp')}{rule}"
        events.sql("stg.events", f"SELECT * FROM raw.events {FILTER}", header, table=False)
        definitions = events.definitions(translator=given(*names))
        return checks_recorded(run_all(definitions, instance, **options))["stg/events:n__max"]

    def test_in_numbers_and_in_words(self, events: Tiny, instance: dg.DagsterInstance) -> None:
        run_all(events.definitions(), instance, selection=[EVENTS])
        tags = {
            "dagster/asset_partition_range_start": "2024-01-01",
            "dagster/asset_partition_range_end": "2024-01-03",
        }
        range_of_days = {"selection": [STAGED], "tags": tags}
        failed = self.ran(events, instance, 40, None, "mart.window", **range_of_days)
        assert failed.description == (
            "31 of 72 rows (7 of 2024-01-02, 24 of 2024-01-03) break the rule: Each n is at most 40."
        )
        by_day = {"2024-01-02": 7, "2024-01-03": 24}
        assert failed.metadata["failed_partitions"].value == by_day
        # The rows were not published; what is there is checked as it is.
        passed = self.ran(events, instance, 99, None, "mart.window", **range_of_days)
        numbers = {name: passed.metadata[name].value for name in ("bad_rows", "bad_share")}
        assert (numbers, "failed_partitions" in passed.metadata) == (
            {"bad_rows": 0, "bad_share": 0.0},
            False,
        )
        check = dg.AssetSelection.checks_for_assets(STAGED)
        alone = self.ran(events, instance, 40, None, "mart.window", selection=check)
        assert alone.metadata["failed_partitions"].value == by_day

    def test_months_are_counted_by_months_and_named_by_days(
        self, events: Tiny, instance: dg.DagsterInstance
    ) -> None:
        failed = self.ran(events, instance, 1459, MONTHLY)
        assert (
            "(24 of 2024-03-02, 24 of 2024-03-03, 24 of 2024-03-04, 652 of 28 other days)"
            in str(failed.description)
        )
        assert failed.metadata["failed_partitions"].value == {"2024-03-01": 724}

    def test_what_has_no_partitions_is_counted_by_day(
        self, events: Tiny, instance: dg.DagsterInstance
    ) -> None:
        failed = self.ran(events, instance, 2182, None, "stg.events")
        assert failed.metadata["failed_partitions"].value == {"2024-03-31": 1}
        masked = "columns: [{name: moment, mask: redact}, "
        file = next(events.directory.rglob("stg.events.sql"))
        file.write_text(file.read_text().replace("columns: [", masked))
        [private] = checks_recorded(run_all(events.definitions(), instance)).values()
        assert "2024" not in str(private.description)
        assert "failed_partitions" not in private.metadata


class TestTheSchedule:
    """`schedule: daily` ticks each midnight, whatever the partitions are."""

    def ticks(self, events: Tiny, partitions: Partitions, *days: str) -> list[tuple[str, ...]]:
        """The partitions that each tick asks for: none, or the first and the last."""
        definitions = events.definitions(translator=given(partitions))
        schedule, found = definitions.resolve_schedule_def("tiny_schedule"), []
        with dg.instance_for_test() as instance:
            for day in days:
                at = datetime.fromisoformat(day).replace(tzinfo=UTC)
                with dg.build_schedule_context(instance, scheduled_execution_time=at) as context:
                    requests = schedule.evaluate_tick(context).run_requests or []
                for request in requests:
                    instance.create_run_for_job(
                        definitions.resolve_job_def("tiny"),
                        tags={**request.tags, "dagster/schedule_name": "tiny_schedule"},
                    )
                tags = (RANGE_START_TAG, RANGE_END_TAG)
                found.append(tuple(r.tags[t] for r in requests for t in tags if t in r.tags))
        return found

    def test_it_asks_for_each_week_once_when_it_is_over(self, events: Tiny) -> None:
        days = ("2024-02-11", "2024-02-12", "2024-02-17", "2024-02-18", "2024-03-03")
        asked = self.ticks(events, WEEKLY, *days)
        weeks = ["2024-02-04", None, None, "2024-02-11", "2024-02-18:2024-02-25"]
        expected = [tuple((w.split(":") * 2)[:2]) if w else () for w in weeks]
        assert asked == expected

    def test_keys_that_are_not_in_the_order_of_time_are_followed_all_the_same(
        self, events: Tiny
    ) -> None:
        asked = self.ticks(events, EUROPEAN, "2024-02-01", "2024-02-03")
        assert asked == [("31.01.2024", "31.01.2024"), ("01.02.2024", "02.02.2024")]

    def test_partitions_of_two_dimensions_are_rebuilt_together(self, events: Tiny) -> None:
        assert self.ticks(events, OF_LANDS, "2024-02-01") == [()]


class TestDaysOfATable:
    """`time_granularity: date` replaces whole days, whatever part of them a run is about."""

    @pytest.fixture
    def by_day(self, events: Tiny) -> Tiny:
        events.sql(
            "stg.events", f"SELECT * FROM raw.events {FILTER}", BY_TIME.format("date"), table=False
        )
        return events

    @pytest.mark.parametrize(
        ("partitions", "key", "found"),
        [
            pytest.param(HOURLY, "2024-02-01-05:00", (24, SINCE, "2024-02-01 23:00:00"), id="hour"),
            pytest.param(NEW_YORK, "2024-02-01", (48, SINCE, "2024-02-02 23:00:00"), id="zone"),
        ],
    )
    def test_part_of_a_day_loads_all_of_it(
        self,
        by_day: Tiny,
        instance: dg.DagsterInstance,
        partitions: Partitions,
        key: str,
        found: tuple[int, str, str],
    ) -> None:
        definitions = by_day.definitions(translator=given(partitions))
        succeed(definitions, instance, partition_key=key)
        assert staged(by_day) == found

    def test_an_hour_takes_nothing_from_the_day(
        self, by_day: Tiny, instance: dg.DagsterInstance
    ) -> None:
        by_day.write("pipeline/pipeline.yml", DAILY.replace("daily", "hourly"))
        succeed(by_day.definitions(), instance, partition_key="2024-02-01-05:00")
        succeed(by_day.definitions(), instance, partition_key="2024-02-01-06:00")
        assert staged(by_day) == (24, SINCE, "2024-02-01 23:00:00")

    @pytest.mark.parametrize(
        "how",
        [
            ("--start-date", "2024-02-01 05:00:00", "--end-date", "2024-02-01 06:00:00"),
            ("--start-date", "2024-02-01", "--apply-interval-modifiers"),
        ],
    )
    def test_nor_do_dates_and_modifiers(self, by_day: Tiny, how: tuple[str, ...]) -> None:
        shifted = BY_TIME.format("date") + "interval_modifiers: {start: -2h}\n"
        by_day.sql("stg.events", f"SELECT * FROM raw.events {FILTER}", shifted, table=False)
        assert by_day.ecommerce("run").succeeded
        ran = by_day.ecommerce("run", *how)
        assert ran.succeeded, ran.text
        assert staged(by_day) == (91 * 24, "2024-01-01 00:00:00", "2024-03-31 23:00:00")
