"""Nothing unchecked is published: what a failed check keeps back, and what it does not."""

from __future__ import annotations

import dagster as dg
import pytest

from ecommerce_dagster import build_defs
from orchestration.helpers import Tiny, checks_recorded, failures, materialized, run_all

NOT_NULL = "columns: [{name: n, checks: [{name: not_null%s}]}]"
BLOCKING, NOT_BLOCKING = NOT_NULL % "", NOT_NULL % ", blocking: false"


@pytest.fixture
def chain(tiny: Tiny) -> Tiny:
    """main.top, below it main.middle and main.bottom; main.other beside them."""
    write_top(tiny, "SELECT 1 AS n")
    tiny.sql("main.middle", "SELECT n AS m FROM main.top", "depends: [main.top]")
    tiny.sql("main.bottom", "SELECT m AS b FROM main.middle", "depends: [main.middle]")
    tiny.sql("main.other", "SELECT 1 AS o")
    return tiny


def write_top(tiny: Tiny, query: str, checks: str = BLOCKING, more: str = "") -> None:
    tiny.sql("main.top", query, f"{checks}\n{more}")


class TestABlockingCheckThatFails:
    @pytest.fixture
    def result(self, chain: Tiny, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
        assert run_all(chain.definitions(), instance).success
        write_top(chain, "SELECT * FROM (VALUES (2), (NULL)) AS t(n)")
        chain.sql("main.other", "SELECT 2 AS o")
        return run_all(chain.definitions(), instance)

    def test_the_run_fails(self, result: dg.ExecuteInProcessResult) -> None:
        assert not result.success

    def test_the_check_is_recorded_as_an_error(self, result: dg.ExecuteInProcessResult) -> None:
        check = checks_recorded(result)["main/top:n__not_null"]
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)

    def test_the_table_keeps_its_old_rows(
        self, chain: Tiny, result: dg.ExecuteInProcessResult
    ) -> None:
        assert chain.query("FROM main.top") == [(1,)]

    def test_dagster_has_no_new_materialization_of_it(
        self, result: dg.ExecuteInProcessResult
    ) -> None:
        assert "main/top" not in materialized(result)

    def test_everything_below_is_skipped(
        self, chain: Tiny, result: dg.ExecuteInProcessResult
    ) -> None:
        assert {"main/middle", "main/bottom"}.isdisjoint(materialized(result))
        assert set(failures(result)) == {"main__top"}
        assert chain.query("FROM main.bottom") == [(1,)]

    def test_other_branches_run(self, chain: Tiny, result: dg.ExecuteInProcessResult) -> None:
        assert materialized(result) == ["main/other"]
        assert chain.query("FROM main.other") == [(2,)]

    def test_the_failure_says_what_was_kept(self, result: dg.ExecuteInProcessResult) -> None:
        message = failures(result)["main__top"]
        assert "main.top: 1 blocking check failed; the table is as it was before" in message
        assert "n: not_null: 1 of 2 rows break the rule" in message

    def test_the_first_build_of_all_leaves_no_table(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        write_top(tiny, "SELECT NULL::INTEGER AS n")
        assert not run_all(tiny.definitions(), instance).success
        assert tiny.query("SELECT count(*) FROM duckdb_tables() WHERE NOT temporary") == [(0,)]

    def test_a_full_rebuild_after_the_repair_publishes_again(
        self, chain: Tiny, result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance
    ) -> None:
        write_top(chain, "SELECT 3 AS n")
        again = run_all(chain.definitions(), instance)
        assert again.success
        assert len(materialized(again)) == 4
        assert chain.query("FROM main.bottom") == [(3,)]


class TestACheckThatDoesNotBlock:
    @pytest.fixture
    def chain_with_warning(self, chain: Tiny) -> Tiny:
        write_top(chain, "SELECT * FROM (VALUES (2), (NULL)) AS t(n)", NOT_BLOCKING)
        return chain

    def test_it_is_a_warning_and_everything_below_runs(
        self, chain_with_warning: Tiny, instance: dg.DagsterInstance
    ) -> None:
        result = run_all(chain_with_warning.definitions(), instance)
        check = checks_recorded(result)["main/top:n__not_null"]
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert result.success
        assert len(materialized(result)) == 4
        assert chain_with_warning.query("SELECT count(*) FROM main.bottom") == [(2,)]

    def test_the_command_ends_with_exit_code_1_as_bruins_does(
        self, chain_with_warning: Tiny
    ) -> None:
        outcome = chain_with_warning.ecommerce("run")
        assert outcome.code == 1
        assert [line.split()[:2] for line in outcome.stdout.splitlines() if "rows  " in line] == [
            ["PASS", "main.other"],
            ["FAIL", "main.top"],
            ["PASS", "main.middle"],
            ["PASS", "main.bottom"],
        ]
        assert "(does not block): 1 of 2 rows break the rule" in outcome.stdout


class TestRetries:
    @pytest.fixture
    def retrying(self, tiny: Tiny) -> Tiny:
        tiny.write("pipeline/pipeline.yml", "name: tiny\nretries: 2\n")
        return tiny

    def test_a_failed_check_is_not_retried(
        self, retrying: Tiny, instance: dg.DagsterInstance
    ) -> None:
        write_top(retrying, "SELECT NULL::INTEGER AS n")
        result = run_all(retrying.definitions(), instance)
        assert not result.success
        assert kinds(result).count("STEP_UP_FOR_RETRY") == 0
        assert kinds(result).count("ASSET_CHECK_EVALUATION") == 1

    def test_a_query_that_can_never_work_is_not_retried(
        self, retrying: Tiny, instance: dg.DagsterInstance
    ) -> None:
        write_top(retrying, "SELECT nothing AS n FROM nowhere")
        result = run_all(retrying.definitions(), instance)
        assert not result.success
        assert kinds(result).count("STEP_UP_FOR_RETRY") == 0

    @pytest.mark.parametrize(
        ("code", "tries"),
        [
            ("import beside", 0),
            ("import no_such_module_anywhere", 0),
            ("eval('1 +')", 2),
            ("1 / 0", 2),
        ],
    )
    def test_python_that_can_never_run_is_not_retried(
        self, retrying: Tiny, instance: dg.DagsterInstance, code: str, tries: int
    ) -> None:
        retrying.write("pipeline/assets/beside.py", "x = (")
        header = "name: main.made\nrerun_cooldown: 1"
        retrying.write("pipeline/assets/made.py", f'"""@bruin\n{header}\n@bruin"""\n{code}\n')
        result = run_all(build_defs(retrying.directory), instance)
        assert not result.success
        assert kinds(result).count("STEP_UP_FOR_RETRY") == tries


class TestPublishAlways:
    """An asset can ask for Bruin's own order: build, publish, then check."""

    def test_the_bad_rows_are_published_and_the_rest_stops(
        self, chain: Tiny, instance: dg.DagsterInstance
    ) -> None:
        write_top(chain, "SELECT NULL::INTEGER AS n", more="meta: {publish: always}")
        result = run_all(chain.definitions(), instance)
        assert not result.success
        assert chain.query("FROM main.top") == [(None,)]
        assert set(materialized(result)) == {"main/top", "main/other"}
        assert "the new rows are published" in failures(result)["main__top"]


class TestAnAssetThatBreaks:
    def test_its_old_table_stays_and_what_is_below_is_skipped(
        self, chain: Tiny, instance: dg.DagsterInstance
    ) -> None:
        assert run_all(chain.definitions(), instance).success
        write_top(chain, "SELECT CAST('x' AS INTEGER) AS n FROM range(2)")
        result = run_all(chain.definitions(), instance)
        assert materialized(result) == ["main/other"]
        assert chain.query("FROM main.top") == [(1,)]
        assert "main.top.sql:" in failures(result)["main__top"]


def kinds(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.event_type_value for event in result.all_events]
