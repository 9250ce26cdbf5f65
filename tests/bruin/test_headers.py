"""Where the definition of a code file ends and its code begins."""

from __future__ import annotations

import pytest

from bruin.helpers import Files


@pytest.mark.parametrize(
    "marker", ["/*@bruin", "/* @bruin", "/*  @bruin", "/*   @bruin", "  /* @bruin  "]
)
@pytest.mark.parametrize("end", ["@bruin*/", "@bruin */", "@bruin   */", "   @bruin */ "])
def test_a_sql_header_stands_between_markers_with_up_to_three_spaces(
    files: Files, marker: str, end: str
) -> None:
    files.write("assets/x.sql", f"{marker}\nname: a\ntype: duckdb.sql\n{end}\nSELECT 1\n")
    assert files.asset().body == "SELECT 1"


def test_four_spaces_make_no_marker(files: Files) -> None:
    files.write("assets/x.sql", "/*    @bruin\nname: a\n@bruin */\nSELECT 1\n")
    assert files.warnings() == [
        "assets/x.sql:1: no `/* @bruin` header, so this is not an asset; add one, or move the file elsewhere",
        "pipeline.yml:1: this pipeline has no assets; they are expected in a folder assets/ "
        "beside it",
    ]


@pytest.mark.parametrize("quote", ['"""', '"', "'"])
@pytest.mark.parametrize("space", ["", " "])
def test_a_python_header_stands_between_quotes(files: Files, quote: str, space: str) -> None:
    files.write("assets/x.py", f"{quote}{space}@bruin\nname: a\n@bruin{space}{quote}\nprint()\n")
    assert files.asset().body == "print()"
    assert files.asset().type == "python"


def test_empty_lines_may_stand_around_header_and_code(files: Files) -> None:
    files.write(
        "assets/x.sql", "\n\n/* @bruin\nname: a\ntype: duckdb.sql\n@bruin */\n\n\nSELECT 1\n\n"
    )
    asset = files.asset()
    assert (asset.body, asset.body_line, asset.at("name").line) == ("SELECT 1", 9, 4)


def test_windows_line_ends_and_a_byte_order_mark_are_read(files: Files) -> None:
    text = "\ufeff/* @bruin\r\nname: a\r\ntype: duckdb.sql\r\n@bruin */\r\nSELECT\r\n  1\r\n"
    files.write("assets/x.sql", text.encode())
    asset = files.asset()
    assert (asset.body, asset.body_line) == ("SELECT\n  1", 5)


def test_characters_that_only_look_like_line_ends_stay_in_the_code(files: Files) -> None:
    files.write(
        "assets/x.sql",
        "/* @bruin\nname: a\ntype: duckdb.sql\n@bruin */\nSELECT '\u2028\x0c\x85', {{ x y }}\n",
    )
    assert files.errors() == [
        "assets/x.sql:5: the template does not parse: expected token 'end of print statement', "
        "got 'y'; to write {{, {% or {# itself: {{ '{{' }}"
    ]


def test_a_header_without_end_is_an_error(files: Files) -> None:
    files.write("assets/x.sql", "/* @bruin\nname: a\nSELECT 1\n")
    files.write("assets/y.py", '""" @bruin\nname: b\n')
    assert files.errors() == [
        "assets/x.sql:1: the header that starts here does not end; add a line `@bruin */`",
        'assets/y.py:1: the header that starts here does not end; add a line `@bruin """`',
    ]


def test_an_error_in_a_header_names_the_line_of_the_file(files: Files) -> None:
    files.write(
        "assets/x.sql", "\n/* @bruin\nname: a\ntype: duckdb.sql\ntier: 9\n@bruin */\nSELECT 1\n"
    )
    assert files.errors() == ["assets/x.sql:5: 'tier' of an asset is 9; expected at most 5"]


def test_a_header_that_is_no_mapping_is_an_error(files: Files) -> None:
    files.write("assets/x.sql", "/* @bruin\n- name\n@bruin */\nSELECT 1\n")
    assert files.errors() == ["assets/x.sql:2: expected `key: value` lines (a YAML mapping)"]


def test_a_second_header_is_ignored_with_a_warning(files: Files) -> None:
    header = "/* @bruin\nname: {}\ntype: duckdb.sql\n@bruin */\n"
    files.write("assets/x.sql", header.format("a") + "SELECT 1\n" + header.format("b"))
    assert files.warnings() == [
        "assets/x.sql:6: a second header is ignored; the first stands in line 1, remove one"
    ]
    assert list(files.project().by_name) == ["a"]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("SELECT 1", "1: no `/* @bruin` header, so this is not an asset; add one, or move the file elsewhere"),
        ("", "1: no `/* @bruin` header, so this is not an asset; add one, or move the file elsewhere"),
        ("-- note\n/* @bruin\nname: a\n@bruin */\nSELECT 1",
         "2: the header must be the first thing in the file, so this is not an asset"),
        ("/* @bruin name: a\n@bruin */\nSELECT 1",
         "1: `@bruin` must end its line, with the keys on lines below: this is not an asset"),
        ("/* @bruin name: a @bruin */\nSELECT 1",
         "1: `@bruin` must end its line, with the keys on lines below: this is not an asset"),
        ("SELECT 1\n-- @bruin.name: a",
         "2: `@bruin.` lines must stand above the code, so this is not an asset"),
    ],
)  # fmt: skip
def test_a_sql_file_without_a_readable_header_is_no_asset_and_the_reason_is_told(
    files: Files, text: str, warning: str
) -> None:
    files.write("assets/x.sql", text)
    assert files.warnings()[0] == f"assets/x.sql:{warning}"


def test_a_python_module_without_a_header_needs_no_warning(files: Files) -> None:
    files.write("assets/tools.py", '"""Helpers."""\n')
    files.write("assets/a.sql", "/* @bruin\ntype: duckdb.sql\n@bruin */\nSELECT 1")
    assert files.warnings() == []


class TestTheOneLineForm:
    """`-- @bruin.key: value`"""

    def test_it_reads_everything_that_the_form_can_say(self, files: Files) -> None:
        files.write(
            "assets/x.sql",
            """
            -- @bruin.name: a
            -- @bruin.type: DuckDB.SQL
            -- @bruin.description: What it is: a test
            -- @bruin.enabled: TRUE
            -- @bruin.depends: b, c ,
            -- @bruin.tags: one, two
            -- @bruin.secrets: KEY:VARIABLE, OTHER
            -- @bruin.parameters.source_table: public.x
            -- @bruin.retries: 3
            -- @bruin.materialization.type: table
            -- @bruin.materialization.strategy: append
            -- @bruin.materialization.cluster_by: x, y
            -- @bruin.columns.id.type: bigint
            -- @bruin.columns.id.primary_key: true
            -- @bruin.columns.id.checks: not_null, unique
            -- @bruin.columns.v.precision: 10

            SELECT 1 AS id
            """,
        )
        files.write("assets/b.asset.yml", "type: empty").write("assets/c.asset.yml", "type: empty")
        asset = files.asset()
        assert (asset.type, asset.description) == ("duckdb.sql", "What it is: a test")
        assert [(d.asset, d.line) for d in asset.depends] == [("b", 5), ("c", 5)]
        assert asset.tags == ("one", "two")
        assert [(s.key, s.inject_as) for s in asset.secrets] == [
            ("KEY", "VARIABLE"),
            ("OTHER", "OTHER"),
        ]
        assert asset.parameter("source_table") == "public.x"
        assert asset.retries == 3
        assert asset.materialization.cluster_by == ("x", "y")
        assert [c.name for c in asset.columns] == ["id", "v"]
        assert [(c.name, c.line) for c in asset.columns[0].checks] == [
            ("not_null", 15),
            ("unique", 15),
        ]
        assert asset.primary_key == ("id",)
        assert asset.columns[1].precision == 10
        assert (asset.body, asset.body_line) == ("SELECT 1 AS id", 18)

    def test_all_comment_lines_leave_the_sql_and_the_others_keep_their_place(
        self, files: Files
    ) -> None:
        files.write(
            "assets/x.sql",
            "-- note\n-- @bruin.name: a\n-- @bruin.type: duckdb.sql\nSELECT 1\n -- {{ gone }}\n+ 1",
        )
        asset = files.asset()
        assert (asset.body, asset.body_line) == ("SELECT 1\n\n+ 1", 4)

    def test_python_keeps_its_comments(self, files: Files) -> None:
        files.write("assets/x.py", "# @bruin.name: a\nprint()\n# note")
        assert files.asset().body == "# @bruin.name: a\nprint()\n# note"

    def test_lines_below_the_code_are_ignored_with_a_warning(self, files: Files) -> None:
        files.write(
            "assets/x.sql",
            "-- @bruin.name: a\n-- @bruin.type: duckdb.sql\nSELECT 1\n-- @bruin.owner: me\n",
        )
        assert files.warnings() == [
            "assets/x.sql:4: this line is ignored; `@bruin.` lines must stand above the code"
        ]
        assert files.asset().owner is None

    def test_what_contradicts_itself_is_an_error(self, files: Files) -> None:
        files.write(
            "assets/x.sql",
            """
            -- @bruin.name: a
            -- @bruin.name: b
            -- @bruin.type: duckdb.sql
            -- @bruin.type.x: 1
            -- @bruin.columns.id: bigint
            -- @bruin.tags.one: x
            -- @bruin.tags: y
            SELECT 1
            """,
        )
        assert files.errors() == [
            "assets/x.sql:2: the key 'name' stands here and in line 1; remove one",
            "assets/x.sql:4: 'type' has a value in line 3, so it can have no keys; remove one",
            "assets/x.sql:5: write `@bruin.columns.id.KEY: value`, as in columns.id.type",
            "assets/x.sql:6: 'tags' of an asset is a mapping; expected a list (`- item` lines)",
            "assets/x.sql:7: the key 'tags' stands here and in line 6; remove one",
        ]

    def test_an_unknown_key_is_reported_as_in_yaml(self, files: Files) -> None:
        files.write("assets/x.sql", "-- @bruin.nmae: a\n-- @bruin.type: duckdb.sql\nSELECT 1")
        assert files.errors() == [
            "assets/x.sql:1: unknown key 'nmae' in an asset; did you mean 'name'?"
        ]


def test_a_comment_of_sql_in_a_header_is_a_warning(files: Files) -> None:
    files.write(
        "assets/a.sql",
        """
        /* @bruin
        -- the name
        type: duckdb.sql
        materialization:
          -- how
          type: table
        custom_checks:
          - name: c
            query: |
              -- kept
              SELECT 0
        @bruin */
        SELECT 1 AS n
        """,
    )
    assert files.warnings() == [
        f"assets/a.sql:{line}: `--` begins no comment in YAML; write `#`" for line in (2, 5)
    ]
    assert files.asset().materialization.type == "table"
    assert files.asset().custom_checks[0].query.startswith("-- kept")
