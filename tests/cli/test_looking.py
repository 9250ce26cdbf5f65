"""The commands that only look, and `new asset`, on a pipeline that a stranger wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from orchestration.helpers import Outcome, Tiny, clean_environment, invoke

from ecommerce_dagster.bruin.model.platforms import TYPES


@pytest.fixture
def weather(tiny: Tiny) -> Tiny:
    tiny.write(
        "pipeline/pipeline.yml",
        'name: "weather_{{ var.country }}"\nschedule: daily\nstart_date: "2024-01-01"\n'
        'variables:\n  country: {type: string, default: de}\n  version: {type: string, default: "1"}'
        "\n  n: {type: int, default: 1, maximum: 5}\n  tags: {type: array, items: {type: string}, "
        "default: []}\nvariants: {de: {}, fr: {country: fr}}\n",
    )
    tiny.write(
        ".bruin.yml",
        "environments:\n  default:\n    connections:\n      duckdb:\n        - name: duckdb-default\n"
        "          path: warehouse.duckdb\n      postgres:\n        - {name: pg-default, host: "
        "localhost, port: 1, username: u, password: s3cret, database: d}\n",
    )
    tiny.write(
        "glossary.yml",
        "entities: {Day: {attributes: {Date: {name: d, type: date, "
        "checks: [{name: not_null}]}}}}\n",
    )
    tiny.write(
        "pipeline/assets/readings.sql",
        '/* @bruin\nname: "raw.{{ var.country }}"\ntype: duckdb.sql\ntags: [raw]\n'
        "materialization: {type: table}\n"
        'parameters: {x: "{{ start_date }}", y: ["{{ var.country }}"]}\n'
        "columns: [{name: v, type: varchar, primary_key: true, checks: [{name: accepted_values, "
        "value: ['1']}]}]\n@bruin */\nSELECT '{{ var.version }}' AS v, {{ var.n }} AS n\n",
    )
    tiny.write(
        "pipeline/assets/mart/daily.sql",
        '/* @bruin\ntype: duckdb.sql\ndepends: ["raw.{{ var.country }}"]\ncolumns: [{extends: '
        "Day.Date}]\ncustom_checks: [{name: few, query: SELECT 0}]\n@bruin */\n"
        "SELECT CAST('{{ start_date }}' AS DATE) AS d FROM raw.{{ var.country }}\n",
    )
    return tiny


def from_folder(weather: Tiny, folder: Path, *arguments: str) -> Outcome:
    """A command in another current folder, without --pipeline."""
    environment = clean_environment(ECOMMERCE_HOME=str(weather.folder / "state"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return invoke(environment, *arguments)


def shown(weather: Tiny, *arguments: str) -> dict[str, Any]:
    outcome = weather.ecommerce("show", *arguments, "--output", "json")
    assert outcome.succeeded, outcome.text
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


class TestShow:
    def test_everything_is_resolved(self, weather: Tiny) -> None:
        found = shown(weather)
        assert (found["pipeline"]["name"], found["pipeline"]["schedule"]) == ("weather_de", "daily")
        raw, mart = found["assets"]
        assert (raw["name"], raw["type"], raw["tags"]) == ("raw.de", "duckdb.sql", ["raw"])
        assert raw["path"] == "pipeline/assets/readings.sql"
        assert raw["parameters"] == {"x": "{{ start_date }}", "y": ["de"]}
        assert raw["materialization"]["type"] == "table"
        [column] = raw["columns"]
        assert (column["name"], column["type"], column["primary_key"]) == ("v", "varchar", True)
        assert column["checks"] == [
            {"name": "accepted_values", "blocking": True, "description": "", "value": ["1"]}
        ]
        assert (mart["name"], mart["depends"]) == ("mart.daily", ["raw.de"])
        assert [(c["name"], c["type"]) for c in mart["columns"]] == [("d", "date")]
        assert [c["name"] for c in mart["columns"][0]["checks"]] == ["not_null"]
        assert mart["custom_checks"][0]["query"] == "SELECT 0"

    def test_a_variant_changes_names(self, weather: Tiny) -> None:
        found = shown(weather, "--variant", "fr")
        assert found["pipeline"]["name"] == "weather_fr"
        assert [asset["name"] for asset in found["assets"]] == ["raw.fr", "mart.daily"]
        assert found["assets"][0]["parameters"]["y"] == ["fr"]

    def test_one_asset_by_its_name_or_file(self, weather: Tiny) -> None:
        [by_name] = shown(weather, "mart.daily")["assets"]
        file = weather.directory / "assets/mart/daily.sql"
        assert shown(weather, str(file))["assets"] == [by_name]
        outcome = weather.ecommerce("show", "mart.daly")
        assert (outcome.code, outcome.stdout) == (2, "")
        assert outcome.stderr == "there is no asset 'mart.daly'; did you mean 'mart.daily'?\n"


class TestWhichPipeline:
    def test_the_one_that_the_current_folder_is_in(self, weather: Tiny) -> None:
        for folder in (weather.directory, weather.directory / "assets" / "mart"):
            outcome = from_folder(weather, folder, "lineage", "mart.daily")
            assert outcome.stdout.split("\n")[1] == "  raw.de"

    def test_a_folder_and_its_pipeline_yml_and_an_assets_file_name_it(self, weather: Tiny) -> None:
        directory, elsewhere = weather.directory, weather.folder
        for arguments in (
            ("show", "--pipeline", str(directory)),
            ("show", "--pipeline", str(directory / "pipeline.yml")),
            ("show", str(directory)),
            ("show", str(directory / "pipeline.yml")),
            ("show", str(directory / "assets" / "readings.sql")),
        ):
            outcome = from_folder(weather, elsewhere, *arguments)
            assert outcome.stdout.startswith("raw.de\n"), (arguments, outcome.text)

    def test_another_file_is_none(self, weather: Tiny) -> None:
        file = str(weather.folder / ".bruin.yml")
        outcome = from_folder(weather, weather.folder, "show", "--pipeline", file)
        assert outcome.code == 2
        assert f"'{file}' is neither a folder nor a pipeline.yml." in outcome.stderr


class TestVariables:
    @pytest.mark.parametrize(
        ("given", "name", "value"),
        [
            ("country=fr", "country", "fr"),
            ('country="fr"', "country", "fr"),
            ('{"country": "fr", "n": 3}', "country", "fr"),
            ("version=1.10", "version", "1.10"),
            ("version=007", "version", "007"),
            ("n=3", "n", 3),
            ("country=NaN", "country", "NaN"),
            ('tags=["a", "b=c"]', "tags", ["a", "b=c"]),
        ],
    )
    def test_forms_of_a_value(self, weather: Tiny, given: str, name: str, value: Any) -> None:
        assert shown(weather, "--var", given)["pipeline"]["variables"][name] == value

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ("n=9", "the value given for the variable 'n' is 9; expected at most 5"),
            ("n=x", "the value given for the variable 'n' is 'x'; expected integer"),
            ("tags=[1]", "the value given for the variable 'tags' is 1 at [0]; expected string"),
            ("contry=fr", "no such variable \"contry\"; did you mean 'country'?"),
            ("country", "--var country: write name=value"),
            ("{country", "--var {country: this is not JSON"),
        ],
    )
    def test_values_that_cannot_be(self, weather: Tiny, given: str, error: str) -> None:
        outcome = weather.ecommerce("show", "--var", given)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert error in outcome.stderr


def test_the_query_of_a_file_can_be_asked(weather: Tiny) -> None:
    assert weather.ecommerce("run", "raw.de", "--variant", "de").succeeded
    file = str(weather.directory / "assets/readings.sql")
    for asset in ("raw.de", file):
        outcome = weather.ecommerce("query", "--asset", asset, "-o", "json", "--var", "n=2")
        assert json.loads(outcome.stdout) == [{"v": "1", "n": 2}]


@pytest.mark.parametrize(
    "sql", ["COPY (SELECT 1) TO '{}'", "ATTACH '{}' AS x", "EXPORT DATABASE '{}'"]
)
def test_a_query_writes_no_other_file(weather: Tiny, tmp_path: Path, sql: str) -> None:
    assert weather.ecommerce("run", "raw.de", "--variant", "de").succeeded
    outcome = weather.ecommerce("query", sql.format(tmp_path / "out"))
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.endswith(" can change something; this command only reads\n")
    assert not (tmp_path / "out").exists()


class TestConnections:
    def test_they_are_listed_without_their_secrets(self, weather: Tiny) -> None:
        text, data = (weather.ecommerce("connections", "list", "-o", o) for o in ("text", "json"))
        assert [(c["name"], c["type"], c["line"]) for c in json.loads(data.stdout)] == [
            ("duckdb-default", "duckdb", 5),
            ("pg-default", "postgres", 8),
        ]
        assert "pg-default" in text.stdout
        assert "s3cret" not in text.text + data.text

    def test_what_cannot_be_reached_fails(self, weather: Tiny) -> None:
        outcome = weather.ecommerce("connections", "test", "--output", "json")
        duck, postgres = json.loads(outcome.stdout)
        assert outcome.code == 1
        assert duck == {"name": "duckdb-default", "works": True, "error": None}
        assert (postgres["works"], "localhost:1" in postgres["error"]) == (False, True)
        assert "s3cret" not in outcome.text
        assert not weather.warehouse.exists()
        assert weather.ecommerce("connections", "test", "duckdb-default").stdout == (
            f"duckdb-default: {weather.warehouse} does not exist yet; the first run makes it\n"
        )

    def test_what_only_loads_try_is_not_called_unusable(self, tiny: Tiny) -> None:
        text = (tiny.folder / ".bruin.yml").read_text()
        tiny.write(".bruin.yml", f"{text}      sqlite: [{{name: old, path: old.db}}]\n")
        said = tiny.ecommerce("connections", "test", "old")
        assert said.succeeded
        assert said.stdout == "old: not tried; runs that load from it do\n"
        found = json.loads(tiny.ecommerce("connections", "test", "old", "-o", "json").stdout)
        assert found == [{"name": "old", "works": None, "error": None}]


def test_lineage_knows_neighbours_and_all_that_can_be_reached(weather: Tiny) -> None:
    weather.sql("top", "SELECT * FROM mart.daily", "depends: [mart.daily]")
    near = json.loads(weather.ecommerce("lineage", "raw.de", "-o", "json").stdout)
    assert near == {"asset": "raw.de", "upstream": [], "downstream": ["mart.daily"]}
    far = json.loads(weather.ecommerce("lineage", "raw.de", "--full", "-o", "json").stdout)
    assert far["downstream"] == ["mart.daily", "top"]


@pytest.mark.parametrize("kind", [*TYPES, "ingestr", "python", "empty"])
def test_a_new_asset_is_valid_without_a_warning(weather: Tiny, kind: str) -> None:
    made = weather.ecommerce("new", "asset", "made.things", "--type", kind)
    assert made.succeeded, made.text
    outcome = weather.ecommerce("validate", "--fast", "--output", "json")
    issues = [i["message"] for i in json.loads(outcome.stdout)["issues"] if "made" in i["file"]]
    if kind in {"pg.sql", "pg.seed", "pg.source"}:
        issues = [i for i in issues if "is left out: the type" not in i]
    assert issues == []
    assert shown(weather, "made.things")["assets"][0]["type"] == kind
    checked = invoke(
        clean_environment(), "format", "--check", str(weather.directory / "assets/made")
    )
    assert (checked.code, checked.stdout) == (0, "")
    again = weather.ecommerce("new", "asset", "made.things", "--type", kind)
    assert (again.code, "exists already" in again.stderr) == (1, True)


@pytest.mark.parametrize("kind", ["duckdb.sql", "duckdb.seed", "python"])
def test_a_new_asset_runs(weather: Tiny, kind: str) -> None:
    assert weather.ecommerce("new", "asset", "made.things", "--type", kind).succeeded
    assert weather.ecommerce("run", "made.things", "--variant", "de").succeeded
    assert weather.query("SELECT * FROM made.things") == [(1,)]
