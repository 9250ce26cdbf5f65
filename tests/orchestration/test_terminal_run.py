"""What a run of the command line leaves in Dagster: its selection, its origin, and few tags.

That it is executed again from its page is shown with a server, in cli/test_at_once.py.
"""

from __future__ import annotations

import textwrap

import dagster as dg
import pytest

from ecommerce_dagster.cli.run import _COMMAND_LENGTH
from orchestration.helpers import Tiny

CHECKED = "columns: [{name: n, checks: [{name: not_null}]}]"
PIPELINE = {"bruin/pipeline": "tiny"}


@pytest.fixture
def pair(tiny: Tiny) -> Tiny:
    """main.a with a check, and main.b that reads it; b has a tag."""
    tiny.sql("main.a", "SELECT {{ var.n }} AS n", CHECKED)
    tiny.sql("main.b", "SELECT n FROM main.a", "depends: [main.a]\ntags: [end]")
    tiny.write("pipeline/pipeline.yml", "name: tiny\nvariables: {n: {type: integer, default: 1}}\n")
    return tiny


def recorded(tiny: Tiny, *arguments: str, **variables: str) -> dg.DagsterRun:
    outcome = tiny.ecommerce("run", *arguments, **variables)
    assert outcome.succeeded, outcome.text
    home = tiny.folder / "state" / "dagster"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return instance.get_runs(limit=1)[0]


def selection(run: dg.DagsterRun) -> tuple[set[str] | None, set[str] | None]:
    assets, checks = run.asset_selection, run.asset_check_selection
    return (
        None if assets is None else {key.to_user_string() for key in assets},
        None if checks is None else {key.name for key in checks},
    )


def shown(command: str) -> str:
    """A command as the tag has it, which is short also where the folder of the test is deep."""
    return textwrap.shorten(command, _COMMAND_LENGTH, placeholder=" ...")


def own_tags(run: dg.DagsterRun) -> dict[str, str]:
    return {name: value for name, value in run.tags.items() if not name.startswith("dagster/")}


def label(run: dg.DagsterRun) -> str | None:
    """The code location and the job that a run belongs to."""
    origin = run.remote_job_origin
    return f"{origin.repository_origin.get_label()}/{origin.job_name}" if origin else None


def test_everything_is_the_pipelines_job_and_a_part_is_its_selection(pair: Tiny) -> None:
    folder = f"--pipeline {pair.directory}"
    run = recorded(pair)
    assert label(run) == "__repository__@ecommerce_dagster.definitions/tiny"
    assert (run.job_name, selection(run), run.run_config) == ("tiny", (None, None), {})
    assert own_tags(run) == {**PIPELINE, "ecommerce": shown(f"run {folder}")}

    run = recorded(pair, "--tag", "end")
    assert label(run) == "__repository__@ecommerce_dagster.definitions/__ASSET_JOB"
    assert selection(run) == ({"main/b"}, set())
    assert own_tags(run) == {**PIPELINE, "ecommerce": shown(f"run --tag end {folder}")}

    assert selection(recorded(pair, "main.a")) == ({"main/a"}, {"n__not_null"})
    assert selection(recorded(pair, "main.a", "--only", "main")) == ({"main/a"}, set())
    assert selection(recorded(pair, "--only", "checks")) == (None, {"n__not_null"})
    dated = own_tags(recorded(pair, "main.a", "--start-date", "2025-03-05", "--full-refresh"))
    assert set(dated) == {*PIPELINE, "ecommerce", "bruin/start", "bruin/end", "bruin/full_refresh"}


def test_a_run_of_other_values_than_the_code_locations_cannot_be_executed_again_there(
    pair: Tiny,
) -> None:
    run = recorded(pair, "--var", "n=4711")
    assert label(run) is None
    assert own_tags(run)["ecommerce"] == shown(f"run --pipeline {pair.directory} --var ...")
    assert "4711" not in str(run)
    other = recorded(pair, "main.a", ECOMMERCE_CODE_LOCATION="sales")
    assert label(other) == "__repository__@sales/__ASSET_JOB"


def test_what_only_some_assets_heed_is_a_tag_where_there_are_such(pair: Tiny) -> None:
    pair.write(
        "pipeline/assets/main.wait.asset.yml",
        "name: main.wait\ntype: duckdb.sensor.query\nparameters: {query: SELECT true}\n",
    )
    pair.sql("main.wide", "SELECT 1 AS n", "interval_modifiers: {start: -2h}")
    assert set(own_tags(recorded(pair, "main.a"))) == {*PIPELINE, "ecommerce"}
    assert own_tags(recorded(pair, "main.wait"))["bruin/sensor_mode"] == "once"
    assert own_tags(recorded(pair, "main.wide"))["bruin/interval_modifiers"] == "false"
    widened = own_tags(recorded(pair, "main.wide", "--apply-interval-modifiers"))
    assert "bruin/interval_modifiers" not in widened
