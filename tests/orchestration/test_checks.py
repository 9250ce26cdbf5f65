"""Checks under Dagster: what each of them records, in a run of its asset and in one of its own."""

from __future__ import annotations

import dagster as dg
import pytest

from orchestration.helpers import Tiny, checks_recorded, failures, materialized, run_all

GLOSSARY = """
entities:
  Person:
    attributes:
      Email:
        name: email
        type: string
        description: Where to write to.
        checks:
          - name: not_null
          - name: unique
"""
PEOPLE = """
columns:
  - name: id
    type: integer
    checks:
      - name: positive
  - extends: Person.Email
custom_checks:
  - name: No more than three people!
    description: The table is a small one.
    value: 0
    query: |
      SELECT count(*)
      FROM main.people
      WHERE id > 3
"""
GOOD = "SELECT * FROM (VALUES (1, 'a@b.c'), (2, 'd@e.f')) AS t(id, email)"
BAD = "SELECT * FROM (VALUES (1, 'a@b.c'), (-2, 'a@b.c'), (30, NULL), (40, NULL)) AS t(id, email)"
CUSTOM = "no_more_than_three_people"
ALL = {f"main/people:{name}" for name in (
    "id__positive", "email__not_null", "email__unique", CUSTOM
)}  # fmt: skip
KEY = dg.AssetKey(["main", "people"])


def only(check: str) -> dg.AssetSelection:
    """What the button 'Execute' beside a check selects."""
    return dg.AssetSelection.checks(dg.AssetCheckKey(KEY, check))


@pytest.fixture
def people(tiny: Tiny, instance: dg.DagsterInstance) -> Tiny:
    """A table of two good rows."""
    tiny.write("glossary.yml", GLOSSARY)
    tiny.sql("main.people", GOOD, PEOPLE)
    assert run_all(tiny.definitions(), instance).success
    return tiny


def spoil(people: Tiny) -> None:
    """Bad rows in the table, whichever way they came there."""
    import duckdb

    with duckdb.connect(str(people.warehouse)) as connection:
        connection.execute(f"CREATE OR REPLACE TABLE main.people AS {BAD}")


class TestOneCheckAlone:
    def test_it_records_this_result_and_nothing_else(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        result = run_all(people.definitions(), instance, only("email__unique"))
        assert result.success
        assert set(checks_recorded(result)) == {"main/people:email__unique"}
        assert materialized(result) == []

    def test_it_does_not_build_the_table(self, people: Tiny, instance: dg.DagsterInstance) -> None:
        people.sql("main.people", BAD, PEOPLE)
        assert run_all(people.definitions(), instance, only("email__unique")).success
        assert people.query("FROM main.people") == [(1, "a@b.c"), (2, "d@e.f")]

    def test_it_fails_the_run_and_leaves_the_table_when_it_fails(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        spoil(people)
        before = people.query("FROM main.people")
        result = run_all(people.definitions(), instance, only("id__positive"))
        assert not result.success
        assert not checks_recorded(result)["main/people:id__positive"].passed
        assert materialized(result) == []
        assert people.query("FROM main.people") == before

    def test_it_says_what_failed(self, people: Tiny, instance: dg.DagsterInstance) -> None:
        spoil(people)
        result = run_all(people.definitions(), instance, only("id__positive"))
        [message] = failures(result).values()
        assert "main.people: 1 blocking check failed" in message
        assert "id: positive: 1 of 4 rows break the rule: Each id is above 0." in message

    def test_a_custom_check_can_run_alone(self, people: Tiny, instance: dg.DagsterInstance) -> None:
        result = run_all(people.definitions(), instance, only(CUSTOM))
        assert result.success
        assert set(checks_recorded(result)) == {f"main/people:{CUSTOM}"}

    def test_a_check_of_a_table_that_does_not_exist_fails_and_says_so(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        tiny.write("glossary.yml", GLOSSARY)
        tiny.sql("main.people", GOOD, PEOPLE)
        result = run_all(tiny.definitions(), instance, only("id__positive"))
        assert not result.success
        check = checks_recorded(result)["main/people:id__positive"]
        assert "main.people does not exist yet; materialize it first" in str(check.description)

    def test_all_checks_alone_record_all_results(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        result = run_all(people.definitions(), instance, dg.AssetSelection.all_asset_checks())
        assert set(checks_recorded(result)) == ALL
        assert materialized(result) == []

    def test_an_asset_can_be_built_without_its_checks(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        result = run_all(
            people.definitions(), instance, dg.AssetSelection.assets(KEY).without_checks()
        )
        assert result.success
        assert materialized(result) == ["main/people"]
        assert checks_recorded(result) == {}


class TestTheResults:
    def test_a_failed_build_records_every_result(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        people.sql("main.people", BAD, PEOPLE)
        result = run_all(people.definitions(), instance)
        found = checks_recorded(result)
        assert {name: check.passed for name, check in found.items()} == dict.fromkeys(ALL, False)

    def test_a_failed_check_counts_its_bad_rows(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        people.sql("main.people", BAD, PEOPLE)
        found = checks_recorded(run_all(people.definitions(), instance))
        counts = {name: check.metadata["bad_rows"].value for name, check in found.items()}
        assert counts == {
            "main/people:id__positive": 1,
            "main/people:email__not_null": 2,
            "main/people:email__unique": 1,
            f"main/people:{CUSTOM}": 2,
        }

    def test_a_failed_check_shows_rule_share_sample_and_query(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        people.sql("main.people", BAD, PEOPLE)
        found = checks_recorded(run_all(people.definitions(), instance))
        metadata = found["main/people:email__not_null"].metadata
        assert metadata["rule"].value == "Each email has a value."
        assert metadata["bad_share"].value == 0.5
        sample = metadata["bad_rows_sample"]
        assert isinstance(sample, dg.TableMetadataValue)
        assert [record.data for record in sample.records] == [
            {"id": 30, "email": None},
            {"id": 40, "email": None},
        ]
        assert [column.name for column in sample.schema.columns] == ["id", "email"]
        sql = str(metadata["bad_rows_sql"].value).removeprefix("```sql\n").removesuffix("\n```")
        spoil(people)
        assert people.query(sql) == [(30, None), (40, None)]

    def test_a_custom_checks_sample_holds_the_rows_it_counted(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        people.sql("main.people", BAD, PEOPLE)
        check = checks_recorded(run_all(people.definitions(), instance))[f"main/people:{CUSTOM}"]
        sample = check.metadata["bad_rows_sample"]
        assert isinstance(sample, dg.TableMetadataValue)
        assert [record.data["id"] for record in sample.records] == [30, 40]

    def test_a_sample_has_ten_rows_at_most(self, tiny: Tiny, instance: dg.DagsterInstance) -> None:
        checks = "columns: [{name: n, checks: [{name: positive}]}]"
        tiny.sql("main.many", "SELECT -range AS n FROM range(1000)", checks)
        [check] = checks_recorded(run_all(tiny.definitions(), instance)).values()
        assert check.metadata["bad_rows"].value == 1000
        assert isinstance(check.metadata["bad_rows_sample"], dg.TableMetadataValue)
        assert len(check.metadata["bad_rows_sample"].records) == 10

    def test_a_passed_check_has_no_bad_rows(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        found = checks_recorded(run_all(people.definitions(), instance))
        assert {name: check.passed for name, check in found.items()} == dict.fromkeys(ALL, True)
        assert all("bad_rows_sample" not in check.metadata for check in found.values())
        assert found["main/people:id__positive"].metadata["bad_rows"].value == 0

    def test_a_check_that_cannot_be_evaluated_has_not_passed(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        people.sql("main.people", GOOD, PEOPLE.replace("WHERE id > 3", "WHERE height > 3"))
        result = run_all(people.definitions(), instance)
        found = checks_recorded(result)
        assert not found[f"main/people:{CUSTOM}"].passed
        assert "height" in str(found[f"main/people:{CUSTOM}"].description)
        assert sum(check.passed for check in found.values()) == 3


class TestWhatTheFilesSay:
    def test_a_check_knows_its_rule_and_where_it_is_declared(self, people: Tiny) -> None:
        specs = {
            spec.key.name: spec
            for definition in people.definitions().assets or []
            for spec in definition.check_specs  # type: ignore[union-attr]
        }
        assert specs["email__unique"].description == "Each email occurs once."
        assert specs[CUSTOM].description == "The table is a small one."
        declared = {name: str(spec.metadata["bruin/declared_in"]) for name, spec in specs.items()}
        text = (people.folder / "glossary.yml").read_text()
        line = text.splitlines().index("          - name: unique") + 1
        assert declared["email__unique"].endswith(f"glossary.yml:{line}")
        text = (people.directory / "assets" / "main.people.sql").read_text()
        line = text.splitlines().index("      - name: positive") + 1
        assert declared["id__positive"].endswith(f"main.people.sql:{line}")

    def test_a_rule_added_to_the_glossary_reaches_the_column(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        rule = "          - name: pattern\n            value: '.+@.+'\n"
        people.write("glossary.yml", GLOSSARY + rule)
        found = checks_recorded(run_all(people.definitions(), instance))
        assert set(found) == ALL | {"main/people:email__pattern"}

    def test_checks_that_would_have_the_same_name_are_refused(self, tiny: Tiny) -> None:
        checks = "".join(
            f"  - name: {name}\n    value: 0\n    query: SELECT 0\n" for name in ("a b", "a-b")
        )
        tiny.sql("main.t", "SELECT 1 AS x", f"custom_checks:\n{checks}")
        with pytest.raises(Exception, match="'a b' and 'a-b' have the same name"):
            tiny.definitions()
