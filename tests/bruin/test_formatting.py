"""The canonical form of definitions: keys in order, comments kept, nothing said differently."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bruin.helpers import text_of
from ecommerce_dagster.bruin.formatting import formatted
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.header import read_header

FILE = Path("assets/a.sql")

MESSY = """
    /*@bruin
    # about the table

    tags: [ a,b ]   # trailing
    columns:
        # the key
        - type: int
          # its name
          name:   id
          checks:
          - {value: 5, name: min}   # five
          - value: 6
            # six
            name: max


        - name: b
          type: "varchar"
    # describes
    description: |
        a: #x

        b
    custom_checks:
      - query: |
          SELECT 1
        name: c
    # the name
    name:    mart.x
    type: duckdb.sql
    meta:
      z: 010
      y: true
      x: 1.10
      w: ~
    materialization:
       strategy: append
       type: table
    @bruin*/

    SELECT 1  \n
    -- x


"""
TIDY = """
    /* @bruin
    # about the table

    # the name
    name: mart.x
    type: duckdb.sql
    # describes
    description: |
      a: #x

      b
    tags: [a, b]    # trailing
    materialization:
      type: table
      strategy: append
    meta:
      z: 010
      y: true
      x: 1.10
      w:
    columns:
      # the key
      # its name
      - name: id
        type: int
        checks:
          - {value: 5, name: min}   # five
          # six
          - name: max
            value: 6

      - name: b
        type: "varchar"
    custom_checks:
      - name: c
        query: |
          SELECT 1
    @bruin */

    SELECT 1  \n
    -- x


"""


def canonical(text: str, path: Path = FILE) -> str:
    log = ProblemLog()
    found = formatted(text, path, log)
    assert log.problems == []
    return found


def meaning(text: str) -> Any:
    """What the reader makes of a file: its definition and its code."""
    log = ProblemLog()
    found = read_header(text, FILE, log)
    assert found is not None, log.errors
    return _plain(found.definition), found.code.text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return type(value).__name__, getattr(value, "written", value)


def comments(text: str) -> list[str]:
    return sorted(re.findall(r"# c\d+ #", text))


def test_keys_get_their_order_and_comments_stay_with_them() -> None:
    assert canonical(text_of(MESSY)) == text_of(TIDY)
    assert canonical(text_of(TIDY)) == text_of(TIDY)
    assert meaning(text_of(MESSY)) == meaning(text_of(TIDY))


def test_a_yaml_asset_is_formatted_as_a_whole() -> None:
    text = "type:   empty\nname: a\n"
    assert canonical(text, Path("assets/a.asset.yml")) == "name: a\ntype: empty\n"


def test_mappings_of_one_key_keep_their_braces() -> None:
    text = "name: a.b\ncolumns:\n  - {name: id, checks: [{name: unique}]}\n"
    assert formatted(text, Path("b.asset.yml"), ProblemLog()) == text


def test_a_python_header_keeps_its_quotes_and_is_as_formatters_of_python_write_it() -> None:
    text = '"""  @bruin\ntype: python\nname: a\n@bruin"""\n\nx = 1\n'
    assert canonical(text) == '"""@bruin\nname: a\ntype: python\n@bruin"""\n\nx = 1\n'


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1\n",
        "-- @bruin.type: duckdb.sql\n-- @bruin.name: a\nSELECT 1\n",
        "",
        "\n\n",
    ],
)
def test_a_file_without_a_block_is_left_alone(text: str) -> None:
    assert canonical(text) == text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("/* @bruin\ntype: a\nname: [\n@bruin */\nSELECT 1", "assets/a.sql:3: this is not valid"),
        ("/* @bruin\ntype: a\nname: b", "assets/a.sql:1: the header that starts here does not end"),
        ("/* @bruin\n- a\n@bruin */\n", "assets/a.sql:2: expected `key: value` lines"),
        ("/* @bruin\ntype: b\nname: a\nname: b\n@bruin */\n", "assets/a.sql:4: the key 'name'"),
    ],
)
def test_what_cannot_be_read_is_left_alone_and_reported(text: str, error: str) -> None:
    log = ProblemLog()
    assert formatted(text, FILE, log) == text
    assert str(log.errors[0]).startswith(error)


@pytest.mark.parametrize(
    "header",
    [
        "type: &t duckdb.sql\nname: *t",
        "type: b\n? name\n: a",
        "{type: b, name: a}",
        "type: b\nmeta: {a: 1,  # one\n  b: 2}\nname: a",
        "type: b\ndescription: 'a\n\n  b # c'\nname: a",
        "type: b\nname: a\nmeta: !!str 5",
        "type: b\ncolumns:\n-\n  type: a\n  name: x\n- name: y\nname: a",
        "type: b\ndescription: >-\n    a\n      b\n\n    c\nname: a",
        "type: b\nmeta:\n  a: yes\n  b: 0x10\n  c: 1_000\n  d: 12e4567\n  e: 2024-01-01\n  f: .inf",
        "<<: {type: b}\nname: a",
        "type: b\ncolumns: [ {name: x , checks: [ {name: min,value: 1} ]} ]\nname: a",
    ],
)
def test_yaml_of_every_kind_keeps_its_meaning(header: str) -> None:
    text = f"/* @bruin\n{header}\n@bruin */\n\nSELECT 1\n"
    once = canonical(text)
    assert meaning(once) == meaning(text)
    assert canonical(once) == once


_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=30)
_LEAVES = st.one_of(
    _TEXTS,
    st.integers(),
    st.booleans(),
    st.none(),
    st.sampled_from(["a: b", "# x", "*y", "|", "~"]),
)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_CHECKS = st.lists(st.fixed_dictionaries({"value": _VALUES, "name": _TEXTS}), max_size=2)
_COLUMNS = st.lists(
    st.fixed_dictionaries({"type": _TEXTS, "checks": _CHECKS, "name": _TEXTS}), max_size=3
)
_DEFINITIONS = st.fixed_dictionaries(
    {"columns": _COLUMNS, "meta": _VALUES},
    optional={
        "type": _TEXTS, "name": _TEXTS, "description": _TEXTS, "parameters": _VALUES,
        "custom_checks": _CHECKS, "materialization": _VALUES, "unknown": _VALUES,
    },
)  # fmt: skip


@settings(max_examples=60)
@given(
    definition=_DEFINITIONS,
    flow=st.sampled_from([None, False]),
    indent=st.integers(2, 5),
    width=st.sampled_from([20, 1000]),
    seed=st.integers(0, 1000),
)
def test_any_definition_keeps_its_meaning_and_its_comments(
    definition: dict[str, Any], flow: bool | None, indent: int, width: int, seed: int
) -> None:
    written = yaml.dump(
        definition, sort_keys=False, default_flow_style=flow, indent=indent, width=width,
        allow_unicode=True,
    )  # fmt: skip
    rng = random.Random(seed)
    lines: list[str] = []
    for number, line in enumerate(written.split("\n")):
        if re.match(r"( *)(- )?\w+:", line) and rng.random() < 0.3:
            indentation = len(line) - len(line.lstrip())
            lines.append(" " * indentation + f"# c{number} #")
        lines.append(line)
    commented = f"/* @bruin\n{chr(10).join(lines)}\n@bruin */\n\nSELECT  1 ;\n"
    log = ProblemLog()
    if read_header(commented, FILE, log) is None or log.errors:
        assert formatted(commented, FILE, ProblemLog()) == commented
        return
    once = canonical(commented)
    assert meaning(once) == meaning(commented)
    assert comments(once) == comments(commented)
    assert canonical(once) == once


@settings(max_examples=80)
@given(
    cut=st.integers(0, 60), length=st.integers(0, 4), at=st.integers(0, 700),
    text=st.sampled_from(["", ":", "- ", "#", "'", "\t", "{", "&a ", "*a", "|", "\n", "\n\n", "é"]),
)  # fmt: skip
def test_a_damaged_file_is_left_alone_or_says_the_same(
    cut: int, length: int, at: int, text: str
) -> None:
    good = text_of(MESSY)
    lines = good.split("\n")
    del lines[cut : cut + length]
    damaged = "\n".join(lines)
    damaged = damaged[:at] + text + damaged[at:]
    log = ProblemLog()
    found = formatted(damaged, FILE, log)
    if log.errors:
        assert found == damaged
    elif found != damaged:
        assert meaning(found) == meaning(damaged)
        assert canonical(found) == found
