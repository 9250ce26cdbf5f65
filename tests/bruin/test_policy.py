"""`policy.yml`: who breaks which rule, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruin.helpers import Files
from ecommerce_dagster.bruin.policy.policy_file import lint_policy
from ecommerce_dagster.bruin.problems import ProblemLog

GOOD = """
    /* @bruin
    name: raw.good
    type: duckdb.sql
    description: Every order.
    owner: a@b.c
    tags: [pii, daily]
    columns:
      - {name: order_id, type: integer, description: The key., primary_key: true,
         checks: [{name: unique}]}
    @bruin */
    SELECT 1 AS order_id
"""
BAD = """
    /* @bruin
    name: Raw.bad.name
    type: duckdb.sql
    description: TODO
    depends: [{uri: other}]
    columns:
      - name: orderId
        description: tbd
      - name: Order_Id
    @bruin */
    SELECT 1
"""
# Line in the file of BAD by rule; None where nothing is wrong with it.
BUILT_IN = {
    "asset-name-is-lowercase": [2],
    "asset-name-is-schema-dot-table": [2],
    "asset-has-description": [],
    "asset-has-owner": [2],
    "asset-has-columns": [],
    "asset-has-primary-key": [6],
    "asset-has-checks": [6],
    "asset-has-tags": [2],
    "asset-has-no-cross-pipeline-dependencies": [5],
    "column-has-description": [9],
    "column-has-type": [7, 9],
    "column-name-is-snake-case": [7, 9],
    "column-name-is-camel-case": [9],
    "column-type-is-valid-for-platform": [],
    "description-must-not-be-placeholder": [4, 7],
    "query-matches-columns": [6, 7],
}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path / "shop")
    files.write("assets/raw/good.sql", GOOD)
    files.write("assets/bad.sql", BAD)
    return files


def found(files: Files, policy: str) -> list[tuple[str, int, str, str]]:
    """File, line, rule and message of what breaks a policy."""
    (files.root.parent / "policy.yml").write_text(policy)
    project = files.project()
    log = ProblemLog()
    lint_policy(project, log, {"Raw.bad.name": ("Order_Id", "n"), "raw.good": ("ORDER_ID",)})
    return [(p.path.name, p.line, p.rule, p.message) for p in log.errors]


def rules(*names: str, selector: str = "[]") -> str:
    return f"rulesets:\n  - name: r\n    selector: {selector}\n    rules: [{', '.join(names)}]\n"


@pytest.mark.parametrize("rule", BUILT_IN)
def test_a_built_in_rule_names_what_breaks_it(files: Files, rule: str) -> None:
    selector = "[]" if rule != "column-name-is-camel-case" else "[{asset: Raw.*}]"
    problems = found(files, rules(rule, selector=selector))
    assert {(file, name) for file, _, name, _ in problems} <= {("bad.sql", rule)}
    assert [line for _, line, _, _ in problems] == BUILT_IN[rule]


@pytest.mark.parametrize("key", ["notifications", "retries", "start_date", "metadata_push"])
def test_a_rule_about_the_pipeline(files: Files, key: str) -> None:
    rule = f"pipeline-has-{key.replace('_', '-')}"
    [(file, line, name, _)] = found(files, rules(rule))
    assert (file, line, name) == ("pipeline.yml", 1, rule)
    values = {"retries": "2", "start_date": "2024-01-01"}
    files.write("pipeline.yml", f"name: shop\n{key}: {values.get(key, '{x: 1}')}")
    assert found(files, rules(rule)) == []


CUSTOM = """custom_rules:
  - name: team
    description: the team must be known
    criteria: {}
    target: {}
rulesets:
  - {{name: r, rules: [team]}}
"""


@pytest.mark.parametrize(
    "criteria",
    [
        'asset.Owner != ""', "asset.owner != ''", "'pii' in asset.Tags", "len(asset.Tags) > 1",
        "all(asset.Columns, .PrimaryKey == true)", "all(asset.Columns, {len(.Checks) > 0})",
        "any(asset.Columns, any(.Checks, .Name == 'unique'))", "len(asset.Upstreams) == 0",
        "none(asset.Upstreams, .Type == 'uri') or asset.Owner != ''",
        "asset.Name == pipeline.Name or asset.Name startsWith 'raw.'",
        "asset.ExecutableFile.Path matches '^shop/assets/raw/'", "asset.Columns[0].Name matches '_'",
        "asset.Materialization.Strategy == '' and asset.Owner != '' and asset.Tier == nil",
        "var.limit == 3 and 'pii' in asset.Tags",
    ],
)  # fmt: skip
def test_a_custom_rule_about_assets(files: Files, criteria: str) -> None:
    files.write("pipeline.yml", "name: shop\nvariables: {limit: {default: 3}}")
    policy = CUSTOM.format(f'"{criteria}"' if '"' not in criteria else f"'{criteria}'", "asset")
    if "Type ==" in criteria:
        policy = policy.replace(".Type == 'uri'", ".Uri != ''")
    assert found(files, policy) == [
        ("bad.sql", 2, "team", "'Raw.bad.name': the team must be known")
    ]


def test_a_custom_rule_about_the_pipeline(files: Files) -> None:
    policy = CUSTOM.format("pipeline.Name startsWith 'acme'", "pipeline")
    assert found(files, policy) == [("pipeline.yml", 1, "team", "'shop': the team must be known")]
    policy = CUSTOM.format(
        "len(pipeline.Assets) == 2 and pipeline.Notifications == nil", "pipeline"
    )
    assert found(files, policy) == []


@pytest.mark.parametrize(
    ("selector", "is_judged"),
    [
        ("[]", True),
        ("[{path: .*}]", True),
        ("[{path: shop/assets/bad.sql}]", True),
        ("[{path: assets/bad.sql}]", False),
        ("[{path: .*/raw/.*}]", False),
        ("[{pipeline: shop}]", True),
        ("[{pipeline: sho}]", False),
        ("[{asset: 'Raw\\.bad\\..+'}]", True),
        ("[{asset: bad}]", False),
        ("[{tag: pii}]", False),
        ("[{asset: .*}, {path: nowhere}]", False),
    ],
)
def test_a_ruleset_is_for_what_all_its_selectors_match(
    files: Files, selector: str, is_judged: bool
) -> None:
    assert bool(found(files, rules("asset-has-owner", selector=selector))) == is_judged


def test_a_tag_is_searched_among_the_tags(files: Files) -> None:
    names = ("asset-name-is-schema-dot-table", "asset-has-owner")
    assert found(files, rules(*names, selector="[{tag: dai}]")) == []
    files.write("assets/bad.sql", BAD.replace("depends:", "tags: [weekly]\n    depends:"))
    assert len(found(files, rules(*names, selector="[{tag: eek}]"))) == 2


@pytest.mark.parametrize(
    ("policy", "line", "said"),
    [
        (rules("asset-has-ownr"), 4, "unknown rule 'asset-has-ownr'; did you mean 'asset-has-owner'?"),
        (rules("asset-has-owner", selector="[{asset: '['}]"), 3, "is not a regular expression"),
        (rules("asset-has-owner", selector="[{assets: x}]"), 3, "unknown selector 'assets'"),
        (CUSTOM.format("asset.Owner = 1", "asset"), 4, "cannot be answered: unexpected '='"),
        (CUSTOM.format("asset.Ownr == ''", "asset"), 4, "has no 'Ownr'; did you mean 'owner'?"),
        (CUSTOM.format("asset.Name", "asset"), 4, "expected true or false"),
        (CUSTOM.format("asset.Name", "asset").replace("team", "asset-has-tags", 1), 2, "already"),
        (CUSTOM.format("true", "assets"), 5, "'target' of a custom rule"),
        ("custom_rules: [{name: x}]", 1, "needs 'criteria'"),
        ("rulesets: x", 1, "expected a list"),
        ("rulsets: []", 1, "did you mean 'rulesets'?"),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_used(files: Files, policy: str, line: int, said: str) -> None:
    problems = [p for p in found(files, policy) if p[0] == "policy.yml"]
    assert any(at == line and said in message for _, at, _, message in problems), problems


def test_without_a_policy_nothing_is_asked(files: Files) -> None:
    log = ProblemLog()
    lint_policy(files.project(), log)
    assert log.problems == []
