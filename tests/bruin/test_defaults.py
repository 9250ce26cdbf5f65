"""`default:` of pipeline.yml: what assets take over where they are silent."""

from __future__ import annotations

from bruin.helpers import Files

SQL = "/* @bruin\n{}\n@bruin */\nSELECT 1\n"


def default(files: Files, text: str) -> Files:
    """A pipeline with this `default:`, whose first line is line 3."""
    indented = "".join(f"  {line}\n" for line in text.strip().splitlines())
    return files.write("pipeline.yml", "name: shop\ndefault:\n" + indented)


def test_empty_values_are_filled_and_others_stay(files: Files) -> None:
    default(files, "type: empty\nowner: data\ndescription: none\ntier: 3\nretries: 2")
    files.write("assets/a.asset.yml", "owner: me\ndescription: ''\ntier:\nretries: 0\n")
    asset = files.asset()
    assert (asset.type, asset.owner, asset.description, asset.tier, asset.retries) == (
        "empty", "me", "none", 3, 0,
    )  # fmt: skip


def test_mappings_are_merged(files: Files) -> None:
    default(
        files, "type: empty\nparameters: {a: 1, b: {x: 1, y: 1}}\nmaterialization: {type: view}"
    )
    files.write("assets/a.asset.yml", "parameters: {b: {y: 2}, c: 3}\n")
    asset = files.asset()
    assert asset.parameters == {"a": 1, "b": {"x": 1, "y": 2}, "c": 3}
    assert asset.materialization.type == "view"


def test_lists_get_the_entries_that_they_lack(files: Files) -> None:
    default(
        files,
        """
type: empty
tags: [one, two]
depends: [b, c]
columns: [{name: id, type: integer}, {name: loaded_at, type: timestamp}]
custom_checks: [{name: rows, query: SELECT 1}]
""",
    )
    files.write(
        "assets/a.asset.yml",
        """
        tags: [two, three]
        depends: {asset: b, mode: symbolic}
        columns: [{name: id, type: bigint}]
        custom_checks: [{name: rows, query: SELECT 2}, {name: more, query: SELECT 3}]
        """,
    )
    for name in "bc":
        files.write(f"assets/{name}.asset.yml", "depends: []\nenabled: false")
    asset = files.asset()
    assert asset.tags == ("two", "three", "one")
    assert [(d.asset, d.mode) for d in asset.depends] == [("b", "symbolic"), ("c", "full")]
    assert [(c.name, c.type) for c in asset.columns] == [
        ("id", "bigint"),
        ("loaded_at", "timestamp"),
    ]
    assert [(c.name, c.query) for c in asset.custom_checks] == [
        ("rows", "SELECT 2"),
        ("more", "SELECT 3"),
    ]


def test_what_is_wrong_in_a_default_is_told_once_where_it_stands(files: Files) -> None:
    default(
        files,
        """
type: empty
tier: 9
materialization:
  type: tabel
depends:
  - nothing
columns:
  - name: x
    checks: [{name: min, vlaue: 1}]
""",
    )
    files.write("assets/a.asset.yml", "owner: me\n").write("assets/b.asset.yml", "tags: [x]\n")
    assert files.errors() == [
        "pipeline.yml:4: 'tier' of an asset is 9; expected at most 5",
        "pipeline.yml:6: 'type' of a materialization is 'tabel'; "
        "expected 'none', 'view' or 'table'",
        "pipeline.yml:8: the dependency 'nothing' does not exist; known: a, b",
        "pipeline.yml:11: unknown key 'vlaue' in a column check; did you mean 'value'?",
    ]


def test_one_asset_does_not_change_the_defaults_of_the_next(files: Files) -> None:
    default(files, "type: empty\ntags: [x]\nmeta: {a: 1}\nparameters: {p: {q: 1}}")
    files.write("assets/a.asset.yml", "tags: [y]\nmeta: {b: 2}\nparameters: {p: {r: 2}}\n")
    files.write("assets/b.asset.yml", "owner: me\n")
    assert (files.asset("b").tags, files.asset("b").meta) == (("x",), {"a": 1})
    assert files.asset("b").parameters == {"p": {"q": 1}}


def test_a_default_that_is_no_mapping_is_an_error(files: Files) -> None:
    files.write("pipeline.yml", "name: shop\ndefault: [x]\n")
    files.write("assets/a.asset.yml", "type: empty")
    assert files.errors() == [
        "pipeline.yml:2: 'default' of a pipeline is a list; expected a mapping (`key: value` lines)"
    ]


def test_a_default_without_keys_is_none(files: Files) -> None:
    files.write("pipeline.yml", "name: shop\ndefault:\n").write("assets/a.asset.yml", "type: empty")
    assert files.asset().owner is None


class TestHooks:
    """Hooks of the default reach SQL assets."""

    def test_each_side_is_taken_over_as_a_whole(self, files: Files) -> None:
        default(files, "type: duckdb.sql\nhooks: {pre: [{query: A}], post: [{query: B}]}")
        files.write("assets/a.sql", SQL.format("hooks: {pre: [{query: C}]}"))
        hooks = files.asset().hooks
        assert ([h.query for h in hooks.pre], [h.query for h in hooks.post]) == (["C"], ["B"])

    def test_other_assets_get_none(self, files: Files) -> None:
        default(files, "type: empty\nhooks: {pre: [{query: A}]}")
        files.write("assets/a.asset.yml", "owner: me\n")
        assert files.asset().hooks.pre == ()

    def test_a_hook_can_be_for_some_types_only(self, files: Files) -> None:
        default(
            files,
            "hooks: {pre: [{query: A, applicable_type: [pg.sql]}, "
            "{query: B, applicable_type: [duckdb.sql]}, {query: C}]}",
        )
        files.write("assets/a.sql", SQL.format("type: duckdb.sql"))
        files.write("assets/b.sql", SQL.format("type: pg.sql"))
        assert [hook.query for hook in files.asset("a").hooks.pre] == ["B", "C"]
        assert [hook.query for hook in files.asset("b").hooks.pre] == ["A", "C"]
