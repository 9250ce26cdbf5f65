"""What YAML means here, and what is said about YAML that means nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bruin.helpers import text_of
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.located import YamlMapping
from ecommerce_dagster.bruin.yaml.reader import read_mapping


def read(text: str, first_line: int = 1) -> tuple[YamlMapping | None, list[str]]:
    log = ProblemLog()
    value = read_mapping(text_of(text), Path("f.yml"), log, first_line=first_line)
    return value, [str(problem) for problem in log.errors]


def value_of(scalar: str) -> Any:
    value, errors = read(f"key: {scalar}")
    assert errors == []
    assert value is not None
    return value["key"]


def errors_of(text: str) -> list[str]:
    return read(text)[1]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", True), ("True", True), ("FALSE", False),
        ("7", 7), ("-7", -7), ("+7", 7), ("1_000", 1000), ("0x1F", 31), ("0o17", 15), ("0", 0),
        ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("-.5", -0.5), ("-.inf", float("-inf")),
        ("~", None), ("null", None), ("", None),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(written: str, meant: Any) -> None:
    assert value_of(written) == meant
    assert type(value_of(written)).__mro__[-2] is type(meant).__mro__[-2]


@pytest.mark.parametrize(
    "written",
    [
        "yes", "no", "on", "off", "y", "n", "tRUE",
        "2024-01-31", "2024-01-31 12:00:00", "2024-01-31T12:00:00Z",
        "010", "00123", "0777", "1:30", "12:30:45", "1.2.3", "1,000", "_1", "0b11", "0o8", "+",
        "12e4567", "1" * 61, "-" + "9" * 5000, "0x" + "f" * 5000, "NaN", "inf", "=", ".",
    ],
)  # fmt: skip
def test_what_is_no_clear_number_or_truth_stays_text(written: str) -> None:
    assert value_of(written) == written


@pytest.mark.parametrize("written", ["'5'", '"5"', "!!str 5", "! 5"])
def test_a_quoted_number_is_text(written: str) -> None:
    assert value_of(written) == "5"


def test_nan_is_a_number() -> None:
    assert value_of(".nan") != value_of(".nan")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "\ufeff", "~"])
def test_text_without_a_value_is_an_empty_mapping(text: str) -> None:
    assert read(text) == ({}, [])


def test_every_key_and_item_remembers_its_line() -> None:
    value, _ = read(
        """
        # a comment
        name: x
        list:
          - one

          - two: 2
            three: 3
        text: |
          first
        """
    )
    assert value is not None
    assert value.position(("name",)).line == 2
    assert value.position(("list",)).line == 3
    assert value.position(("list", 0)).line == 4
    assert value.position(("list", 1, "three")).line == 7
    assert value.position(("list", 1, "four")).line == 6
    assert value.position(("list", 9)).line == 3
    assert value.position(("missing",)).line == 2
    assert value.position(("text",)).line == 8
    assert value.text_at["text"].line == 9


def test_no_place_is_kept_twice() -> None:
    value, _ = read("name: x\nof: {a: 1, b: 2}\ntext: |\n  first\n")
    assert value is not None
    assert value.text_at.keys() == {"text"}
    assert value["of"].text_at == {}
    assert not hasattr(value["of"], "__dict__")


def test_lines_count_from_where_the_text_stands_in_its_file() -> None:
    value, errors = read("a: 1\nb: 1\nb: 2\n", first_line=10)
    assert value is not None
    assert value.position(("b",)).line == 11
    assert errors == ["f.yml:12: the key 'b' stands here and in line 11; remove one"]


def test_a_repeated_key_is_an_error_and_the_first_counts() -> None:
    value, errors = read("a: 1\nb: 2\na: 3\nb: 4\n")
    assert value == {"a": 1, "b": 2}
    assert errors == [
        "f.yml:3: the key 'a' stands here and in line 1; remove one",
        "f.yml:4: the key 'b' stands here and in line 2; remove one",
    ]


def test_anchors_and_merges_work() -> None:
    value, errors = read(
        """
        base: &base {type: table, size: 1}
        more: &more {size: 2, colour: red}
        one: {<<: *base, size: 5}
        two: {<<: [*base, *more]}
        same: *base
        word: &word text
        again: *word
        """
    )
    assert errors == []
    assert value is not None
    assert value["one"] == {"type": "table", "size": 5}
    assert value["two"] == {"type": "table", "size": 1, "colour": "red"}
    assert value["same"] == value["base"]
    assert value["again"] == "text"
    assert value["one"].position(("type",)).line == 1


def test_a_quoted_merge_sign_is_a_key() -> None:
    assert read('"<<": 1') == ({"<<": 1}, [])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: b: c", "1: this is not valid YAML: mapping values are not allowed in this context; "
                    "quote a text that contains ': '"),
        ("a:\n\tb: 1", "2: this is not valid YAML: a tab stands in the indentation; use spaces"),
        ("a: |\n x\n\ty", "3: this is not valid YAML: a tab stands in the indentation; use spaces"),
        ("a: 1\nb: 'x\nc: 2\n", "2: this is not valid YAML: the quoted text that starts here does "
                                "not end"),
        ("a: @x", "1: this is not valid YAML: found character that cannot start any token; "
                  "quote a text that starts with @, ` or %"),
        ("a: 1\n  b: 2", "2: this is not valid YAML: mapping values are not allowed in this "
                         "context; quote a text that contains ': '"),
        ("- a\nb: 1", "2: this is not valid YAML: did not find expected '-' indicator; "
                      "check the indentation"),
        ("a: [1, 2\nb: 3", "2: this is not valid YAML: did not find expected ',' or ']'"),
        ("a: {{ var.x }}", "1: a key must be plain text; quote a value that starts with { or ["),
        ("? [a]\n: 1", "1: a key must be plain text; quote a value that starts with { or ["),
        ("a: 1\n---\nb: 2", "2: a second document begins here; remove the line `---`"),
        ("- a\n- b", "1: expected `key: value` lines (a YAML mapping)"),
        ("just text", "1: expected `key: value` lines (a YAML mapping)"),
        ("a: 1\nb: *x", "2: no `&name` stands before this alias; quote a text that starts with *"),
        ("a: &a [1, *a]", "1: an alias (`*name`) refers to what contains it; remove it"),
        ("a: &a\n  <<: *a", "2: an alias (`*name`) refers to what contains it; remove it"),
        ("a: {<<: 5}", "1: `<<` needs a mapping, as in `<<: *name`"),
        ("a: 1\nb: !thing x", "2: tags (`!name`) are not supported; quote a text that starts "
                              "with !"),
        ("a: !!python/object/apply:os.system [x]", "1: tags (`!name`) are not supported; "
                                                   "quote a text that starts with !"),
        ("a: !!binary aGk=", "1: tags (`!name`) are not supported; quote a text that starts "
                             "with !"),
        ("a: 1\nb: \x07", "2: this is not valid YAML: the character U+0007 is not allowed; "
                          "remove it"),
        ("a: \x00", "1: this is not valid YAML: the character U+0000 is not allowed; remove it"),
    ],
)  # fmt: skip
def test_yaml_that_cannot_be_read_is_explained(text: str, error: str) -> None:
    assert errors_of(text) == [f"f.yml:{error}"]


def test_aliases_that_multiply_are_refused_at_once() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    began = time.monotonic()
    assert errors_of(bomb) == [
        "f.yml:6: more than 200000 values in one file; expected what people write by hand"
    ]
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "a: [", "[[{a: "])
def test_text_nested_a_million_deep_is_refused_at_once(opening: str) -> None:
    began = time.monotonic()
    errors = errors_of("k: " + opening * 1_000_000 if opening[0] in "[{" else opening * 1_000_000)
    assert len(errors) == 1
    assert errors[0].startswith("f.yml:1: ")
    assert time.monotonic() - began < 2


def test_fifty_levels_are_read_and_one_more_is_not() -> None:
    assert errors_of("k: " + "[" * 49 + "]" * 49) == []
    assert errors_of("k: " + "[" * 50 + "]" * 50) == [
        "f.yml:1: nested more than 50 levels deep; expected what people write by hand"
    ]


def test_windows_line_ends_are_line_ends() -> None:
    value, errors = read("a: 1\r\nb: |\r\n  x\r\n  y\r\nb: 2\r\n")
    assert value == {"a": 1, "b": "x\ny\n"}
    assert errors == ["f.yml:5: the key 'b' stands here and in line 2; remove one"]
