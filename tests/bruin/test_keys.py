"""Keys and values that cannot be: each is reported, with its line and what would be right."""

from __future__ import annotations

import pytest

from bruin.helpers import Files


def errors(files: Files, text: str) -> list[str]:
    return files.write("assets/a.asset.yml", "type: empty\n" + text).errors()


def test_a_misspelt_key_is_an_error_with_the_right_one(files: Files) -> None:
    assert errors(files, "materialisation: {type: table}\nColumns: []\n") == [
        "assets/a.asset.yml:2: unknown key 'materialisation' in an asset; "
        "did you mean 'materialization'?",
        "assets/a.asset.yml:3: unknown key 'Columns' in an asset; did you mean 'columns'?",
    ]


def test_misspelt_keys_are_found_in_everything_that_an_asset_holds(files: Files) -> None:
    text = """\
columns:
  - name: id
    cheks: []
  - name: x
    checks:
      - name: min
        valeu: 1
        bloking: false
custom_checks:
  - {name: c, query: SELECT 1, cuont: 1}
depends:
  - {asset: a, mdoe: full}
materialization:
  startegy: append
"""
    assert errors(files, text) == [
        "assets/a.asset.yml:4: unknown key 'cheks' in a column; did you mean 'checks'?",
        "assets/a.asset.yml:8: unknown key 'valeu' in a column check; did you mean 'value'?",
        "assets/a.asset.yml:9: unknown key 'bloking' in a column check; did you mean 'blocking'?",
        "assets/a.asset.yml:11: unknown key 'cuont' in a custom check; did you mean 'count'?",
        "assets/a.asset.yml:13: the assets depend on each other in a circle: a -> a; remove one of these dependencies",
        "assets/a.asset.yml:13: unknown key 'mdoe' in a dependency; did you mean 'mode'?",
        "assets/a.asset.yml:15: unknown key 'startegy' in a materialization; "
        "did you mean 'strategy'?",
    ]


def test_a_key_that_nobody_knows_is_a_warning(files: Files) -> None:
    files.write("assets/a.asset.yml", "type: empty\ninterval_modifiers: {begin: 1d}\nx-team: 5\n")
    assert files.warnings() == [
        "assets/a.asset.yml:2: unknown key 'begin' in interval modifiers is ignored; "
        "known: end, start",
        "assets/a.asset.yml:3: unknown key 'x-team' in an asset is ignored; known: columns, "
        "connection, connections, custom_checks, depends, description, domains, enabled, extends, "
        "full_refresh_restricted, hooks, image, interval_modifiers, materialization, meta, metadata, "
        "name, owner, parameters, refresh_restricted, rerun_cooldown, retries, run, secrets, "
        "start_date, tags, tier, timeout, type, unit_tests and 1 more",
    ]


def test_keys_that_only_bruin_needs_are_silent(files: Files) -> None:
    files.write(
        "pipeline.yml",
        """
        name: shop
        id: x
        agent: true
        commit: abc
        concurrency: 2
        max_active_steps: 3
        metadata_push: {bigquery: true}
        notifications: {slack: [{channel: "#data"}]}
        """,
    )
    files.write(
        "assets/a.asset.yml",
        """
        type: empty
        image: python:3.11
        instance: b1.nano
        routing: {egress_gateway: x}
        notifications: {slack: []}
        snowflake: {warehouse: x}
        custom_checks:
          - {name: c, query: SELECT 1, notifications: {}}
        """,
    )
    assert files.warnings() == []


@pytest.mark.parametrize("key", ["path", "line", "body", "body_line"])
def test_no_file_can_set_what_the_reader_sets(files: Files, key: str) -> None:
    files.write("assets/a.asset.yml", f"type: empty\n{key}: 7\n")
    assert f"unknown key '{key}' in an asset is ignored" in files.warnings()[0]
    asset = files.asset()
    assert (asset.path.name, asset.line, asset.body) == ("a.asset.yml", 1, "")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("tier: 9", "'tier' of an asset is 9; expected at most 5"),
        ("tier: 0", "'tier' of an asset is 0; expected at least 1"),
        ("tier: high", "'tier' of an asset is 'high'; expected a whole number"),
        ("retries: 1.5", "'retries' of an asset is 1.5; expected a whole number"),
        ("tags: one", "'tags' of an asset is 'one'; expected a list (`- item` lines)"),
        ("tags: [one, [two]]", "'tags[1]' of an asset is a list; expected text"),
        ("tags: [one, ~]", "'tags[1]' of an asset is empty; expected text"),
        ("description: {a: 1}", "'description' of an asset is a mapping; expected text"),
        ("parameters: [a]",
         "'parameters' of an asset is a list; expected a mapping (`key: value` lines)"),
        ("materialization: table",
         "'materialization' of an asset is 'table'; expected a mapping (`key: value` lines)"),
        ("materialization: {type: tabel}",
         "'type' of a materialization is 'tabel'; expected 'none', 'view' or 'table'"),
        ("columns: {id: {type: int}}",
         "'columns' of an asset is a mapping; expected a list (`- item` lines)"),
        ("columns: [id]",
         "'columns[0]' of an asset is 'id'; expected a mapping (`key: value` lines)"),
        ("columns: [{name: id, nullable: perhaps}]",
         "'nullable' of a column is 'perhaps'; expected true or false"),
        ("columns: [{name: id, checks: [{value: 1}]}]", "a column check needs 'name'"),
        ("columns: [{name: id, checks: [{name: min, value: {a: 1}}]}]",
         "'value' of a column check is a mapping; expected true or false or a whole number or a "
         "number or text or a list (`- item` lines)"),
        ("columns: [{name: id, foreign_key: {table: x}}]", "a foreign key needs 'column'"),
        ("custom_checks: [{name: c}]", "a custom check needs 'query'"),
        ("custom_checks: [{name: c, query: ' '}]", "the custom check 'c' has no query; write one in `query:`"),
        ("custom_checks: [{name: c, query: SELECT 1, value: few}]",
         "'value' of a custom check is 'few'; expected a whole number"),
        ("hooks: {pre: [{sql: x}]}", "a hook needs 'query'"),
        ("columns: [{description: x}]",
         "a column needs a 'name', or 'extends' with a glossary attribute"),
        ("columns: [~]",
         "'columns[0]' of an asset is empty; expected a mapping (`key: value` lines)"),
        ("columns:\n  - {name: id}\n  - {name: ID}", None),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_explained(files: Files, text: str, error: str | None) -> None:
    if error is None:
        error, line = "the column 'ID' stands here and in line 3; remove one", 4
    else:
        line = 2
    assert errors(files, text) == [f"assets/a.asset.yml:{line}: {error}"]


def test_one_mistake_does_not_hide_the_others(files: Files) -> None:
    files.write("pipeline.yml", "name: shop\nretries: often\nvariables: {x: 1}\n")
    files.write(
        "glossary.yml",
        "entities:\n  Customer:\n    attributes:\n      Email:\n        primary_key: perhaps\n"
        "        type: text\n",
    )
    files.write(
        "assets/a.asset.yml",
        """
        type: empty
        tier: 9
        teir: 1
        depends: [b, nothing]
        columns:
          - extends: Customer.Emial
          - extends: Customer.Email
          - name: n
            nullable: maybe
            checks:
              - name: min
                blocking: [1]
              - nmae: max
          - name: n
        """,
    )
    files.write("assets/b.asset.yml", "type: [empty\n")
    assert files.errors() == [
        "assets/a.asset.yml:2: 'tier' of an asset is 9; expected at most 5",
        "assets/a.asset.yml:3: unknown key 'teir' in an asset; did you mean 'tier'?",
        "assets/a.asset.yml:4: the dependency 'nothing' does not exist; known: a, b",
        "assets/a.asset.yml:6: the entity 'Customer' has no attribute 'Emial'; "
        "did you mean 'Email'?",
        "assets/a.asset.yml:9: 'nullable' of a column is 'maybe'; expected true or false",
        "assets/a.asset.yml:12: 'blocking' of a column check is a list; expected true or false",
        "assets/a.asset.yml:13: a column check needs 'name'",
        "assets/a.asset.yml:13: unknown key 'nmae' in a column check; did you mean 'name'?",
        "assets/a.asset.yml:14: the column 'n' stands here and in line 8; remove one",
        "assets/b.asset.yml:1: this is not valid YAML: did not find expected ',' or ']'",
        "glossary.yml:5: 'primary_key' of a glossary attribute is 'perhaps'; "
        "expected true or false",
        "pipeline.yml:2: 'retries' of a pipeline is 'often'; expected a whole number",
        "pipeline.yml:3: the variable 'x' needs a default: `{type: ..., default: ...}`",
    ]


def test_assets_are_judged_even_when_pipeline_yml_cannot_be_read(files: Files) -> None:
    files.write("pipeline.yml", "name: [").write("assets/a.asset.yml", "tier: 9")
    assert files.errors() == [
        "assets/a.asset.yml:1: 'tier' of an asset is 9; expected at most 5",
        "pipeline.yml:1: this is not valid YAML: did not find expected node content",
    ]


def test_a_key_without_a_value_is_a_key_that_is_not_written(files: Files) -> None:
    files.write(
        "assets/a.asset.yml",
        """
        type: empty
        description:
        depends:
        columns:
        tags: ~
        parameters:
        materialization:
        hooks:
        tier: null
        enabled:
        """,
    )
    asset = files.asset()
    assert (asset.description, asset.depends, asset.columns, asset.tags) == ("", (), (), ())
    assert asset.parameters == {}
    assert asset.materialization.type == "none"
    assert asset.enabled is True


@pytest.mark.parametrize("word", ["yes", "on", "true", "True", "1"])
def test_a_switch_understands_the_words_of_yaml_1_1(files: Files, word: str) -> None:
    files.write("assets/a.asset.yml", f"type: empty\ncolumns: [{{name: id, primary_key: {word}}}]")
    assert files.asset().primary_key == ("id",)


def test_numbers_used_as_text_stay_as_they_are_spelt(files: Files) -> None:
    files.write(
        "assets/a.asset.yml",
        """
        type: empty
        owner: 007
        description: 1.10
        start_date: 2024-01-31
        tags: [1.50, 0x10, 1_000, true]
        parameters: {version: 2.0}
        columns:
          - {name: 1, default: 1.5}
        """,
    )
    asset = files.asset()
    assert (asset.owner, asset.description, asset.start_date) == ("007", "1.10", "2024-01-31")
    assert asset.tags == ("1.50", "0x10", "1_000", "true")
    assert asset.parameter("version") == "2.0"
    assert asset.columns[0].name == "1"


def test_values_of_checks_keep_their_kinds(files: Files) -> None:
    files.write(
        "assets/a.asset.yml",
        """
        type: empty
        columns:
          - name: id
            checks:
              - {name: min, value: 1}
              - {name: min, value: 1.5}
              - {name: min, value: 2024-01-01}
              - {name: accepted_values, value: [a, 1, 2.5, true, no]}
        """,
    )
    values = [check.value for check in files.asset().columns[0].checks]
    assert values == [1, 1.5, "2024-01-01", ("a", 1, 2.5, True, "no")]
    assert [type(value) for value in values] == [int, float, str, tuple]


def test_no_message_takes_more_than_one_line(files: Files) -> None:
    files.write("assets/a.asset.yml", 'type: empty\n"tiers\\n\\e[31mx": 1\ntier: "a\\nb"\n')
    log = files.read()[1]
    assert [str(problem).count("\n") for problem in log.problems] == [0, 0]
    assert not any("\x1b" in str(problem) for problem in log.problems)


def test_a_very_long_word_is_not_compared_with_others(files: Files) -> None:
    word = "materialization" * 5000
    assert f"unknown key '{word}' in an asset is ignored" in str(
        files.write("assets/a.asset.yml", f"type: empty\n? {word}\n: 1\n").warnings()
    )


@pytest.mark.parametrize(
    "name", ["assets/a.asset.yml", "assets/a.sql", "glossary.yml", ".bruin.yml"]
)
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"# ok\nname: caf\xe9\n", "2: this is not UTF-8 text; save the file as UTF-8"),
        ("name: a\n".encode("utf-16"), "1: this is not UTF-8 text; save the file as UTF-8"),
        ("name: a\n".encode("utf-16-le"),
         "1: a NUL character stands here; save the file as UTF-8 text"),
        (b"#" * 10_000_001, "1: this file is larger than 10 MB; rows belong into a seed"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_text_is_an_error(
    files: Files, name: str, content: bytes, error: str
) -> None:
    assert files.write(name, content).errors() == [f"{name}:{error}"]
