"""What a person sees of a table in Dagster: columns, where they come from, rows, sizes, changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest

from ecommerce_dagster import build_defs, local
from orchestration.helpers import Shop, Tiny, run_all

GLOSSARY = """
domains:
  people:
    description: Who they are.
    owners: [People Team]
entities:
  Person:
    domains: [people]
    attributes:
      Email:
        name: email
        type: string
        description: Where to write to.
        checks:
          - name: not_null
"""


def spec_of(definitions: dg.Definitions, name: str) -> dg.AssetSpec:
    key = dg.AssetKey(name.split("."))
    return next(s for s in definitions.resolve_all_asset_specs() if s.key == key)


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> Mapping[str, Any]:
    """What the materialization of an asset shows."""
    [found] = [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
        and event.asset_key == dg.AssetKey(name.split("."))
    ]
    return {key: value.value for key, value in found.metadata.items()}


@pytest.fixture
def people(tiny: Tiny) -> Tiny:
    tiny.write("glossary.yml", GLOSSARY)
    tiny.sql(
        "main.people",
        "SELECT * FROM (VALUES (1, 'a@b.c', 'x'), (2, 'd@e.f', NULL)) AS t(id, email, note)",
        "columns:\n"
        "  - {name: id, type: integer, primary_key: true, checks: [{name: positive}, {name: unique}]}\n"
        "  - extends: Person.Email",
    )
    return tiny


class TestBeforeTheFirstRun:
    def test_a_column_shows_its_rules_and_its_entry_in_the_glossary(self, people: Tiny) -> None:
        schema = spec_of(people.definitions(), "main.people").metadata["dagster/column_schema"]
        id, email = schema.columns
        assert id.constraints == dg.TableColumnConstraints(
            True, True, ["primary key", "is above 0"]
        )
        assert email.constraints == dg.TableColumnConstraints(nullable=False)
        assert email.tags == {"glossary": "Person.Email"}

    def test_the_domain_of_its_entities_gives_owner_tag_and_description(self, people: Tiny) -> None:
        spec = spec_of(people.definitions(), "main.people")
        assert spec.owners == ["team:People Team"]
        assert "domain/people" in spec.tags
        assert spec.metadata["domains"].value == "- **people**: Who they are."

    def test_the_file_and_its_line_open_in_an_editor(
        self, people: Tiny, recwarn: pytest.WarningsRecorder
    ) -> None:
        references = spec_of(people.definitions(), "main.people").metadata[
            "dagster/code_references"
        ]
        [reference] = references.code_references
        assert reference.file_path == str(people.directory / "assets" / "main.people.sql")
        assert reference.line_number == 2
        assert reference.label == "pipeline/assets/main.people.sql"
        assert not [w for w in recwarn if issubclass(w.category, dg.BetaWarning)]


class TestAfterARun:
    def test_the_shops_marts_show_the_columns_that_theirs_come_from(self, day: Shop) -> None:
        found = {
            event.asset_key.to_user_string(): event.materialization.metadata
            for event in day.events(dg.DagsterEventType.ASSET_MATERIALIZATION)
            if event.partition is None and event.materialization.metadata.get("dagster/row_count")
        }
        assert len(found) == 26
        lineage = {key: value["dagster/column_lineage"].value for key, value in found.items()}
        for key, metadata in found.items():
            columns = [column.name for column in metadata["dagster/column_schema"].value.columns]
            assert set(lineage[key].deps_by_column) == set(columns)
            assert all(lineage[key].deps_by_column.values()), key
            assert "column_lineage_gaps" not in metadata
        sales = lineage["mart/sales_daily"].deps_by_column
        assert sales["revenue"] == [
            dg.TableColumnDep(dg.AssetKey(["stg", "orders"]), "status"),
            dg.TableColumnDep(dg.AssetKey(["stg", "orders"]), "total_amount"),
        ]
        assert lineage["raw/orders"].deps_by_column["id"] == [
            dg.TableColumnDep(dg.AssetKey(["pg_default", "public", "orders"]), "id")
        ]
        assert (
            "- **orders_count** from `stg.orders.order_id`, in the end `public.orders.id`"
            in found["mart/sales_daily"]["column_lineage"].value
        )

    def test_an_ingested_table_shows_the_time_its_source_took(self, day: Shop) -> None:
        events = day.events(dg.DagsterEventType.ASSET_MATERIALIZATION)
        [orders] = [
            e.materialization.metadata
            for e in events
            if e.asset_key == dg.AssetKey(["raw", "orders"]) and e.partition is None
        ]
        assert orders["source_seconds"].value >= 0
        assert orders["size_bytes"].value > 500 * 16

    def test_no_postgres_table_is_counted_among_the_assets(self) -> None:
        keys = build_defs(local.PIPELINE).resolve_all_asset_keys()
        assert {key.path[0] for key in keys} == {"raw", "stg", "mart", "report"}

    def test_it_shows_its_first_rows(self, people: Tiny, instance: dg.DagsterInstance) -> None:
        preview = metadata_of(run_all(people.definitions(), instance), "main.people")["preview"]
        assert [record.data for record in preview.records] == [
            {"id": 1, "email": "a@b.c", "note": "x"},
            {"id": 2, "email": "d@e.f", "note": None},
        ]

    def test_columns_that_no_file_names_are_asked_of_the_warehouse(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        people.write("pipeline/assets/x.csv", "a,b\n1,2\n")
        people.write(
            "pipeline/assets/main.seed.asset.yml",
            "type: duckdb.seed\nparameters: {path: ./x.csv}\n",
        )
        people.sql("main.copy", "SELECT *, a + b AS c FROM main.seed", "depends: [main.seed]")
        found = metadata_of(run_all(people.definitions(), instance), "main.copy")
        seed = dg.AssetKey(["main", "seed"])
        assert found["dagster/column_lineage"].deps_by_column == {
            "a": [dg.TableColumnDep(seed, "a")],
            "b": [dg.TableColumnDep(seed, "b")],
            "c": [dg.TableColumnDep(seed, "a"), dg.TableColumnDep(seed, "b")],
        }

    def test_a_query_that_the_parser_cannot_follow_runs_and_says_so(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        tiny.sql("main.p", "PIVOT (SELECT 1 AS a, 'x' AS k) ON k USING sum(a)")
        result = run_all(tiny.definitions(), instance)
        assert result.success
        found = metadata_of(result, "main.p")
        assert found["column_lineage_gaps"] == "- no query can be followed among: PIVOT"
        assert found["dagster/row_count"] == 1

    def test_changes_of_the_columns_are_told(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        first = metadata_of(run_all(people.definitions(), instance), "main.people")
        assert "schema_changes" not in first
        people.sql("main.people", "SELECT 1 AS id, 2.5 AS email, 2 AS extra")
        second = metadata_of(run_all(people.definitions(), instance), "main.people")
        assert second["schema_changes"].splitlines() == [
            "- changed column email from VARCHAR to DECIMAL(2,1)",
            "- added column extra INTEGER",
            "- dropped column note",
        ]


class TestPrivateRows:
    MASKED = "columns: [{name: email, mask: hash, checks: [{name: unique}]}]"
    QUERY = "SELECT * FROM (VALUES (1, 'a@b.c'), (2, 'a@b.c')) AS t(id, email)"

    def shown(self, tiny: Tiny, instance: dg.DagsterInstance, header: str) -> str:
        """All that is recorded of a run in which a check fails."""
        tiny.sql("main.t", self.QUERY, f"{self.MASKED}\nmeta: {{publish: always{header}}}")
        run_all(tiny.definitions(), instance)
        [run] = instance.get_runs()
        return "\n".join(map(repr, instance.all_logs(run.run_id)))

    def test_values_of_masked_columns_appear_nowhere(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        told = self.shown(tiny, instance, "")
        assert "'id': 2" in told
        assert "'email': '***'" in told
        assert "'email': 'a@b.c'" not in told

    def test_a_table_without_preview_shows_no_rows_at_all(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        told = self.shown(tiny, instance, ", preview: false")
        assert "TableRecord" not in told

    def test_a_pipeline_switches_previews_off_for_all_and_an_asset_on_again(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        tiny.write("pipeline/pipeline.yml", "name: tiny\nmeta: {preview: false}\n")
        tiny.sql("main.a", "SELECT 1 AS x")
        tiny.sql("main.b", "SELECT 1 AS x", "meta: {preview: true}")
        result = run_all(tiny.definitions(), instance)
        assert "preview" not in metadata_of(result, "main.a")
        assert "preview" in metadata_of(result, "main.b")

    def test_a_word_that_is_neither_true_nor_false_is_an_error(self, tiny: Tiny) -> None:
        tiny.sql("main.a", "SELECT 1 AS x", "meta:\n  preview: nope")
        with pytest.raises(Exception, match=r"main.a.sql:7: 'preview' must be true or false"):
            tiny.definitions()


class TestARejectedBuild:
    def test_its_page_says_which_rule_rejected_it_and_that_the_old_data_stays(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        assert run_all(people.definitions(), instance).success
        header = "columns: [{name: id, checks: [{name: positive}]}]"
        people.sql("main.people", "SELECT -1 AS id", header)
        assert not run_all(people.definitions(), instance).success
        [record] = instance.fetch_observations(dg.AssetKey(["main", "people"]), limit=5).records
        observation = record.asset_observation
        assert observation is not None
        assert str(observation.description).startswith(
            "Not published: 1 blocking check failed. main.people still shows the data of 20"
        )
        assert observation.metadata["rejected_by"].value == (
            "- id: positive: 1 of 1 rows break the rule: Each id is above 0."
        )


class TestChecks:
    def test_a_check_says_its_rule_its_place_its_share_and_how_to_find_all_rows(
        self, people: Tiny, instance: dg.DagsterInstance
    ) -> None:
        result = run_all(people.definitions(), instance)
        [email] = [
            e for e in result.get_asset_check_evaluations() if e.check_name == "email__not_null"
        ]
        metadata = {key: value.value for key, value in email.metadata.items()}
        line = GLOSSARY.splitlines().index("          - name: not_null") + 1
        assert metadata["declared_in"] == f"glossary.yml:{line}"
        assert metadata["rule"] == "Each email has a value."
        assert (metadata["bad_rows"], metadata["checked_rows"], metadata["bad_share"]) == (0, 2, 0)
        assert 'WHERE "email" IS NULL' in metadata["bad_rows_sql"]

    def test_a_count_is_recorded_each_time_so_that_it_can_be_plotted(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        header = "custom_checks: [{name: few, query: SELECT count(*) FROM main.t WHERE x > 5}]"
        counts = []
        for x in (1, 9):
            tiny.sql("main.t", f"SELECT {x} AS x", header)
            result = run_all(tiny.definitions(), instance)
            [few] = result.get_asset_check_evaluations()
            counts.append(few.metadata["bad_rows"].value)
        assert counts == [0, 1]
