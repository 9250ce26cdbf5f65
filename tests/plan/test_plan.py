"""`ecommerce plan` and `ecommerce run --modified`: what a user types and reads."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.helpers import Outcome, Tiny


def git(folder: Path, *command: str) -> None:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    subprocess.run(
        ["git", "-C", str(folder), *who, *command], check=True, capture_output=True, timeout=60
    )


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "change")


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A pipeline in a folder of a repository, with all of it committed on main."""
    found = Tiny(tmp_path / "checkout")
    found.write(".gitignore", "state/\nwarehouse*\n")
    found.sql("raw.people", "SELECT 1 AS id, 20 AS age, 'a@x' AS email, 'NL' AS country")
    found.sql(
        "mart.ages",
        "SELECT age,\n    count(*) AS people\nFROM raw.people\nGROUP BY age",
        "depends: [raw.people]",
    )
    found.sql(
        "mart.mails",
        "SELECT id, lower(email) AS mail\nFROM raw.people",
        "depends: [raw.people]\ncolumns: [{name: id, checks: [{name: not_null}]}]",
    )
    git(found.folder, "init", "--quiet", "--initial-branch", "main")
    commit(found.folder)
    return found


def planned(tiny: Tiny, *arguments: str) -> dict[str, Any]:
    outcome = tiny.ecommerce("plan", "--output", "json", *arguments)
    assert outcome.succeeded, outcome.text
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def verdicts(plan: dict[str, Any]) -> dict[str, str]:
    return {impact["asset"]: impact["verdict"] for impact in plan["impacts"]}


def change(tiny: Tiny, name: str, old: str, new: str) -> None:
    path = tiny.directory / f"assets/{name}.sql"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


class TestAgainstACommit:
    def test_uncommitted_changes_count_and_are_told_with_file_and_line(self, tiny: Tiny) -> None:
        change(tiny, "raw.people", "20 AS age", "21 AS age")
        plan = planned(tiny, "--against", "main")
        [told] = plan["changes"]
        assert (told["asset"], told["kind"]) == ("raw.people", "query")
        assert told["file"].endswith("pipeline/assets/raw.people.sql")
        assert told["line"] == 9
        assert told["message"] == "the column age is computed in another way"
        assert verdicts(plan) == {
            "raw.people": "changed",
            "mart.ages": "changed",
            "mart.mails": "unaffected",
        }
        assert plan["run"] == ["raw.people", "mart.ages"]

    def test_it_is_the_commit_at_which_the_work_left_a_branch(self, tiny: Tiny) -> None:
        git(tiny.folder, "checkout", "--quiet", "-b", "mine")
        git(tiny.folder, "checkout", "--quiet", "main")
        change(tiny, "mart.mails", "lower", "upper")
        commit(tiny.folder)
        git(tiny.folder, "checkout", "--quiet", "mine")
        change(tiny, "mart.ages", "count(*)", "count(id)")
        commit(tiny.folder)
        assert [one["asset"] for one in planned(tiny, "--against", "main")["changes"]] == [
            "mart.ages"
        ]

    def test_a_query_that_no_longer_binds_is_shown_and_is_exit_code_1(self, tiny: Tiny) -> None:
        change(tiny, "raw.people", "AS email", "AS mail")
        outcome = tiny.ecommerce("plan", "--against", "HEAD")
        assert outcome.code == 1
        assert "mart.mails.sql:10: " in outcome.stderr
        assert "raw.people  removed   removed: email; added: mail" in outcome.stdout
        assert "mart.mails  breaking  all columns; by raw.people" in outcome.stdout

    def test_comments_and_white_space_are_no_change(self, tiny: Tiny) -> None:
        change(tiny, "mart.ages", "SELECT age,", "-- by age\nselect   age ,")
        outcome = tiny.ecommerce("plan", "--against", "main")
        assert outcome.stdout == "tiny: nothing changed since main\n"
        run = tiny.ecommerce("run", "--modified", "--against", "main")
        assert run.code == 0
        assert "changed since main: nothing; there is nothing to run" in run.stderr
        run = tiny.ecommerce("run", "--modified+", "--against", "main", "--output", "json")
        assert (run.code, json.loads(run.stdout)["assets"]) == (0, {})

    def test_markdown_for_a_pull_request(self, tiny: Tiny) -> None:
        change(tiny, "mart.mails", "not_null", "unique")
        text = tiny.ecommerce("plan", "--against", "main", "--output", "markdown").stdout
        assert text.startswith("### tiny: 1 asset changed since main, 0 tables affected")
        assert "| mart.mails | `" in text
        assert "id: the check 'unique' is new" in text
        assert "Checked again, with the same rows: mart.mails." in text
        assert "ecommerce run mart.mails --only checks" in text

    def test_the_glossary_counts(self, tiny: Tiny) -> None:
        words = "entities:\n  Person:\n    attributes:\n      ID: {name: id, type: integer}\n"
        tiny.write("glossary.yml", words)
        change(tiny, "mart.mails", "{name: id, ", "{extends: Person.ID, ")
        commit(tiny.folder)
        tiny.write("glossary.yml", words.replace("integer", "bigint"))
        plan = planned(tiny, "--against", "HEAD")
        [told] = plan["changes"]
        assert (Path(told["file"]).name, told["line"]) == ("glossary.yml", 4)
        [impact] = plan["impacts"]
        assert impact["columns"] == {"id": "breaking", "mail": "unaffected"}


def unrelated(folder: Path) -> None:
    """A branch that begins anew."""
    git(folder, "checkout", "--quiet", "--orphan", "other")
    (folder / "other.txt").write_text("other")
    commit(folder)


def broken_before(folder: Path) -> None:
    """A pipeline.yml that cannot be read is committed, and mended since."""
    file = folder / "pipeline/pipeline.yml"
    file.write_text("name: [")
    commit(folder)
    file.write_text("name: tiny\n")


class TestWhatCannotBeCompared:
    @pytest.mark.parametrize(
        ("arrange", "ref", "said"),
        [
            (lambda folder: None, "nowhere", "there is no commit 'nowhere' in this repository"),
            (lambda folder: None, "--all", "there is no commit '--all' in this repository"),
            (
                lambda folder: git(folder, "checkout", "--quiet", "--orphan", "other"),
                "main",
                "this repository has no commit yet",
            ),
            (
                unrelated,
                "main",
                "'main' and the work here have no commit in common",
            ),
            (
                broken_before,
                "main",
                "the pipeline in main cannot be read: pipeline.yml:1: this is not valid YAML",
            ),
        ],
    )
    def test_a_commit_that_there_is_not(
        self, tiny: Tiny, arrange: Callable[[Path], object], ref: str, said: str
    ) -> None:
        arrange(tiny.folder)
        outcome = tiny.ecommerce("plan", "--against", ref)
        assert outcome.code == 2
        assert outcome.stderr.startswith(said)

    def test_a_machine_without_git(self, tiny: Tiny) -> None:
        outcome = tiny.ecommerce("plan", "--against", "main", PATH="/nowhere")
        assert (outcome.code, outcome.stderr) == (2, "git is not installed; --against needs it\n")

    def test_a_folder_that_is_in_no_repository(self, tmp_path: Path) -> None:
        outcome = Tiny(tmp_path / "plain").ecommerce("plan", "--against", "main")
        assert outcome.code == 2
        assert "is not in a git repository; --against needs one" in outcome.stderr

    def test_a_clone_knows_branches_of_its_origin_and_says_when_it_is_shallow(
        self, tiny: Tiny, tmp_path: Path
    ) -> None:
        change(tiny, "mart.ages", "count(*)", "count(id)")
        commit(tiny.folder)
        clone = tmp_path / "clone"
        git(tmp_path, "clone", "--quiet", "--depth", "1", tiny.folder.as_uri(), str(clone))
        shallow = Tiny.__new__(Tiny)
        shallow.folder, shallow.directory = clone, clone / "pipeline"
        git(clone, "checkout", "--quiet", "-b", "mine")
        git(clone, "branch", "--quiet", "-D", "main")
        assert planned(shallow, "--against", "main")["changes"] == []
        outcome = shallow.ecommerce("plan", "--against", "HEAD~1")
        assert outcome.code == 2
        assert (
            "there is no commit 'HEAD~1' in this repository; this clone is shallow"
            in outcome.stderr
        )


class TestSinceTheLastBuilds:
    def test_each_build_is_what_the_next_plan_compares_with(self, tiny: Tiny) -> None:
        assert {one["message"] for one in planned(tiny)["changes"]} == {"it was never built"}
        assert tiny.ecommerce("run").succeeded
        assert planned(tiny)["changes"] == []
        change(tiny, "raw.people", "20 AS age", "21 AS age")
        plan = planned(tiny)
        assert [one["message"] for one in plan["changes"]] == [
            "the column age is computed in another way"
        ]
        assert verdicts(plan)["mart.mails"] == "unaffected"
        costs = {one["asset"]: (one["how"], one["rows"]) for one in plan["rebuilds"]}
        assert costs == {"raw.people": ("run", 1), "mart.ages": ("run", 1)}
        run = tiny.ecommerce("run", "--modified+")
        assert (
            "changed since the last builds: raw.people; affected by that: mart.ages" in run.stderr
        )
        assert names_run(run) == ["raw.people", "mart.ages"]
        assert planned(tiny)["changes"] == []

    def test_modified_takes_part_in_a_selector(self, tiny: Tiny) -> None:
        assert tiny.ecommerce("run").succeeded
        change(tiny, "raw.people", "20 AS age", "21 AS age")
        run = tiny.ecommerce("run", "--selector", "state:modified+")
        assert names_run(run) == ["raw.people", "mart.ages", "mart.mails"]
        change(tiny, "mart.ages", "count(*)", "count(id)")
        assert names_run(tiny.ecommerce("run", "--modified", "mart.ages")) == ["mart.ages"]


def names_run(outcome: Outcome) -> list[str]:
    assert outcome.succeeded, outcome.text
    return [line.split()[1] for line in outcome.stdout.splitlines() if line.startswith("PASS")]


class TestPartitions:
    def test_those_that_were_built_before_the_change_are_to_be_built_again(
        self, tmp_path: Path
    ) -> None:
        tiny = Tiny(tmp_path)
        start = "schedule: daily\nstart_date: 2026-01-01\n"
        tiny.write("pipeline/pipeline.yml", f"name: tiny\n{start}")
        tiny.write(
            "pipeline/assets/days.sql",
            "/* @bruin\nname: days\ntype: duckdb.sql\nmaterialization: {type: table, strategy: "
            "time_interval, incremental_key: day, time_granularity: date}\n@bruin */\n"
            "SELECT DATE '{{ start_date }}' + i::INTEGER AS day, 1 AS n\nFROM range(9) r(i)\n"
            "WHERE DATE '{{ start_date }}' + i::INTEGER <= DATE '{{ end_date }}'\n",
        )
        dates = ("--start-date", "2026-01-02", "--end-date", "2026-01-05")
        assert tiny.ecommerce("run", *dates).succeeded
        change(tiny, "days", "1 AS n", "2 AS n")
        [rebuild] = planned(tiny)["rebuilds"]
        assert (rebuild["how"], rebuild["partitions"]) == (
            "partitions",
            [["2026-01-02", "2026-01-05"]],
        )
        assert (rebuild["partition_count"], rebuild["rows"]) == (4, 4)
        assert rebuild["seconds"] >= 0
        # A night in between builds its own day only.
        assert tiny.ecommerce("run", "--start-date", "2026-01-03").succeeded
        plan = planned(tiny)
        assert plan["rebuilds"][0]["partitions"] == [
            ["2026-01-02", "2026-01-02"],
            ["2026-01-04", "2026-01-05"],
        ]
        command = "ecommerce run --modified+ --start-date 2026-01-02 --end-date 2026-01-05"
        assert command in tiny.ecommerce("plan").stdout
        assert tiny.ecommerce("run", "--modified+", *dates).succeeded
        assert planned(tiny)["changes"] == []
        assert tiny.query("SELECT DISTINCT n FROM days") == [(2,)]
