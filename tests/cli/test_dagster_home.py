"""A DAGSTER_HOME of the user's own."""

from __future__ import annotations

import pytest
from orchestration.helpers import Tiny


@pytest.mark.parametrize("settings", [None, "telemetry: {enabled: false}\n"])
def test_nothing_of_dagsters_is_printed_into_a_run(tiny: Tiny, settings: str | None) -> None:
    home = tiny.folder / "home"
    if settings is not None:
        home.mkdir()
        (home / "dagster.yaml").write_text(settings)
    tiny.sql("main.t", "SELECT 1 AS n")
    outcome = tiny.ecommerce("run", DAGSTER_HOME=str(home))
    assert (outcome.code, outcome.stderr) == (0, "")
    assert (home / "dagster.yaml").read_text() == settings or settings is None
    assert tiny.ecommerce("run", DAGSTER_HOME=str(home)).stderr == ""


def test_a_file_in_the_place_of_the_local_state_is_named(tiny: Tiny) -> None:
    tiny.sql("main.t", "SELECT 1 AS n")
    tiny.write("state/dagster", "in the way")
    outcome = tiny.ecommerce("run")
    assert outcome.code == 1
    assert f"{tiny.folder}/state/dagster is a file; move it" in outcome.text
    assert "Traceback" not in outcome.text
