"""What columns take over from the glossary."""

from __future__ import annotations

import pytest

from bruin.helpers import Files
from ecommerce_dagster.bruin.model.anomalies import anomaly_checks

GLOSSARY = """
    domains:
      sales: {description: What is sold.}
    entities:
      Customer:
        attributes:
          ID:
            name: customer_id
            type: integer
            description: Who it is.
            primary_key: true
            checks: [{name: not_null}, {name: unique}]
          Email:
            type: string
            checks:
              - {name: not_null}
              - {name: pattern, value: .+@.+, blocking: false}
          Age: {name: age, type: integer, checks: [{name: min, value: 0}, {name: max, value: 150}]}
"""


@pytest.fixture
def words(files: Files) -> Files:
    return files.write("glossary.yml", GLOSSARY)


def asset(files: Files, text: str) -> Files:
    return files.write("assets/a.asset.yml", "type: empty\n" + text)


def test_a_column_takes_over_what_it_does_not_say(words: Files) -> None:
    column = asset(words, "columns: [{extends: Customer.ID}]").columns()["customer_id"]
    assert (column.type, column.description, column.primary_key) == ("integer", "Who it is.", True)
    assert [check.name for check in column.checks] == ["not_null", "unique"]


def test_a_check_from_the_glossary_remembers_where_it_was_written(words: Files) -> None:
    column = asset(words, "columns: [{extends: Customer.Email}]").columns()["Email"]
    assert [(c.name, c.path.name, c.line) for c in column.checks] == [
        ("not_null", "glossary.yml", 15),
        ("pattern", "glossary.yml", 16),
    ]


def test_what_the_column_says_itself_wins(words: Files) -> None:
    text = """\
columns:
  - extends: Customer.ID
    name: id
    type: bigint
    description: Mine.
    primary_key: false
"""
    column = asset(words, text).columns()["id"]
    assert (column.type, column.description, column.primary_key) == ("bigint", "Mine.", False)
    assert [check.name for check in column.checks] == ["not_null", "unique"]


def test_an_own_check_replaces_the_inherited_ones_of_its_name(words: Files) -> None:
    text = "columns: [{extends: Customer.Age, checks: [{name: min, value: 18}, {name: unique}]}]"
    column = asset(words, text).columns()["age"]
    assert [(c.name, c.value) for c in column.checks] == [
        ("max", 150),
        ("min", 18),
        ("unique", None),
    ]


def test_an_empty_list_of_checks_takes_none_over(words: Files) -> None:
    column = asset(words, "columns: [{extends: Customer.ID, checks: []}]").columns()["customer_id"]
    assert column.checks == ()
    assert column.primary_key is True


def test_checks_without_a_value_are_checks_that_are_not_written(words: Files) -> None:
    text = "columns:\n  - extends: Customer.ID\n    checks:\n"
    assert len(asset(words, text).columns()["customer_id"].checks) == 2


@pytest.mark.parametrize("switch", ["false", "'false'", "no", "off"])
def test_a_pipeline_can_switch_inherited_checks_off(words: Files, switch: str) -> None:
    words.write("pipeline.yml", f"name: shop\nmeta: {{glossary_checks: {switch}}}\n")
    column = asset(words, "columns: [{extends: Customer.ID}]").columns()["customer_id"]
    assert (column.checks, column.primary_key, column.type) == ((), None, "integer")


def test_the_switch_is_on_or_off(words: Files) -> None:
    words.write("pipeline.yml", "name: shop\nmeta:\n  glossary_checks: partly\n")
    assert asset(words, "").errors() == ["pipeline.yml:3: 'glossary_checks' must be true or false"]


def test_an_asset_can_extend_a_whole_entity(words: Files) -> None:
    text = "extends: [Customer]\ncolumns: [{name: note}]"
    columns = asset(words, text).columns()
    assert list(columns) == ["note", "age", "Email", "customer_id"]
    assert columns["customer_id"].extends == "Customer.ID"
    assert columns["customer_id"].primary_key is True
    assert [check.name for check in columns["age"].checks] == ["min", "max"]


def test_a_column_that_stands_for_an_attribute_is_not_added_again(words: Files) -> None:
    text = "extends: [Customer, Customer]\ncolumns: [{extends: Customer.ID, name: id}, {name: AGE}]"
    assert list(asset(words, text).columns()) == ["id", "AGE", "Email"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("columns:\n  - name: x\n    extends: Custmer.ID",
         "4: the glossary has no entity 'Custmer'; did you mean 'Customer'?"),
        ("columns: [{extends: customer.id}]",
         "2: the glossary has no entity 'customer'; did you mean 'Customer'?"),
        ("columns: [{extends: Customer.id}]",
         "2: the entity 'Customer' has no attribute 'id'; did you mean 'ID'?"),
        ("columns: [{extends: Customer.Phone}]",
         "2: the entity 'Customer' has no attribute 'Phone'; known: Age, Email, ID"),
        ("columns: [{extends: Customer}]",
         "2: 'extends: Customer' must name an attribute, as in Customer.Email"),
        ("columns: [{extends: .ID}]",
         "2: 'extends: .ID' must name an attribute, as in Customer.Email"),
        ("extends:\n  - Customer\n  - Oder",
         "4: the glossary has no entity 'Oder'; known: Customer"),
    ],
)  # fmt: skip
def test_what_the_glossary_does_not_know_is_an_error(words: Files, text: str, error: str) -> None:
    assert asset(words, text).errors() == [f"assets/a.asset.yml:{error}"]


def test_without_a_glossary_the_error_says_so(files: Files) -> None:
    assert asset(files, "columns: [{extends: Customer.ID}]").errors() == [
        "assets/a.asset.yml:2: the glossary has no entity 'Customer'; "
        "there is no glossary.yml with entities above the pipeline"
    ]


def test_an_empty_glossary_is_a_glossary(files: Files) -> None:
    assert asset(files.write("glossary.yml", "# nothing yet\n"), "").warnings() == []


def test_a_glossary_that_cannot_be_read_does_not_blame_the_columns(files: Files) -> None:
    files.write("glossary.yml", "entities: [")
    assert asset(files, "columns: [{extends: Customer.ID}]\nextends: [Customer]").errors() == [
        "glossary.yml:1: this is not valid YAML: did not find expected node content"
    ]


def test_an_attribute_without_keys_is_a_name(files: Files) -> None:
    files.write("glossary.yml", "entities:\n  Customer:\n    attributes:\n      Email:\n  Empty:\n")
    asset(files, "columns: [{extends: Customer.Email}]\nextends: [Empty]")
    assert list(files.columns()) == ["Email"]


def test_two_glossary_files_are_one_glossary(words: Files) -> None:
    words.write(
        "glossary.yaml",
        "entities:\n  Order: {attributes: {ID: {name: order_id}}}\n  Customer: {}\n",
    )
    asset(words, "columns: [{extends: Order.ID}]")
    assert list(words.columns()) == ["order_id"]
    assert words.warnings() == [
        "glossary.yaml:3: 'Customer' stands in both glossary files; this one counts, remove one"
    ]


def test_the_nearest_glossary_above_the_pipeline_counts(words: Files) -> None:
    for folder in ("one", "one/two"):
        words.write(f"{folder}/pipeline.yml", "name: shop\n")
        words.write(
            f"{folder}/assets/a.asset.yml", "type: empty\ncolumns: [{extends: Customer.ID}]\n"
        )
    words.write("one/two/glossary.yml", "entities: {Customer: {attributes: {ID: {name: near}}}}\n")
    one, two = Files.__new__(Files), Files.__new__(Files)
    one.root, two.root = words.root / "one", words.root / "one/two"
    assert list(one.columns()) == ["customer_id"]
    assert list(two.columns()) == ["near"]


def test_a_glossary_can_be_given(words: Files) -> None:
    words.write("other.yml", "entities: {Customer: {attributes: {ID: {name: other}}}}\n")
    asset(words, "columns: [{extends: Customer.ID}]")
    project = words.project(glossary=words.root / "other.yml")
    assert [column.name for column in project.by_name["a"].columns] == ["other"]


def test_a_given_glossary_that_does_not_exist_is_an_error(words: Files) -> None:
    assert words.errors(glossary=words.root / "gone.yml") == [
        "gone.yml:1: this file cannot be read: No such file or directory"
    ]


def test_a_parent_domain_must_exist(words: Files) -> None:
    words.write(
        "glossary.yml",
        "domains:\n  sales:\n    owners: [me]\n    parent_domain: shpo\n  shop: {}\n",
    )
    assert words.errors() == [
        "glossary.yml:4: the parent domain 'shpo' does not exist; did you mean 'shop'?"
    ]


def test_misspelt_keys_of_the_glossary_are_errors(words: Files) -> None:
    words.write(
        "glossary.yml",
        "entities:\n  Customer:\n    atributes: {}\n  Order:\n    attributes:\n"
        "      ID:\n        tpye: text\n        checks: [{name: min, vlaue: 1}]\n",
    )
    assert words.errors() == [
        "glossary.yml:3: unknown key 'atributes' in a glossary entity; did you mean 'attributes'?",
        "glossary.yml:7: unknown key 'tpye' in a glossary attribute; did you mean 'type'?",
        "glossary.yml:8: unknown key 'vlaue' in a column check; did you mean 'value'?",
    ]


class TestTheSameCheckTwice:
    """Two checks of one name on a column"""

    def test_different_ones_are_both_kept(self, files: Files) -> None:
        text = "columns: [{name: x, checks: [{name: min, value: 1}, {name: min, value: 2}]}]"
        column = asset(files, text).columns()["x"]
        assert [check.value for check in column.checks] == [1, 2]
        assert files.warnings() == []

    def test_identical_ones_are_one_with_a_warning(self, files: Files) -> None:
        text = """\
columns:
  - name: x
    checks:
      - name: not_null
      - {name: min, value: 1}
      - {name: not_null, blocking: true}
"""
        column = asset(files, text).columns()["x"]
        assert [check.name for check in column.checks] == ["not_null", "min"]
        assert files.warnings() == [
            "assets/a.asset.yml:7: the check 'not_null' stands here and in line 5; remove one"
        ]

    def test_a_repetition_in_the_glossary_is_told_once(self, files: Files) -> None:
        checks = "checks: [{name: not_null}, {name: not_null}]"
        files.write("glossary.yml", f"entities:\n  E:\n    attributes:\n      A: {{{checks}}}\n")
        files.write("assets/b.asset.yml", "type: empty\ncolumns: [{extends: E.A}]\n")
        assert asset(files, "columns: [{extends: E.A}]").warnings() == [
            "glossary.yml:4: the check 'not_null' stands here and in line 4; remove one"
        ]

    def test_custom_checks_need_names_of_their_own(self, files: Files) -> None:
        text = "custom_checks:\n  - {name: c, query: SELECT 1}\n  - {name: c, query: SELECT 2}\n"
        assert asset(files, text).errors() == [
            "assets/a.asset.yml:4: the custom check 'c' stands here and in line 3; remove one"
        ]


def test_anomalies_reach_the_columns_that_say_nothing_of_their_own(files: Files) -> None:
    files.write(
        "glossary.yml",
        "entities:\n  Order:\n    attributes:\n"
        '      Amount: {type: double, meta: {anomalies: "average, null_percent", unit: EUR}}\n',
    )
    extending = (
        "columns: [{name: a, extends: Order.Amount, meta: {synonyms: [price]}}, "
        "{name: b, extends: Order.Amount, meta: {anomalies: none}}, "
        "{name: c, extends: Order.Amount, meta: {blocking_anomalies: average}}]"
    )
    columns = asset(files, extending).columns()
    found = {
        name: [(check.name, check.blocking, check.path.name, check.line) for check in checks]
        for name, column in columns.items()
        if (checks := list(anomaly_checks(column)))
    }
    assert found == {
        "a": [("average", False, "glossary.yml", 4), ("null_percent", False, "glossary.yml", 4)],
        "c": [("average", True, "a.asset.yml", 2)],
    }
    assert set(columns["a"].meta) == {"synonyms", "anomalies"}

    files.write("pipeline.yml", "name: shop\nmeta: {glossary_checks: false}\n")
    assert not list(anomaly_checks(asset(files, extending).columns()["a"]))
