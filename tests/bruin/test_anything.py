"""Whatever stands in the files, the answer is a project or a list of problems, and soon.

FUZZ=100 tries a hundred times as many inputs.
"""

from __future__ import annotations

import os
import string
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bruin.helpers import text_of
from bruin.test_whole_pipelines import STRANGER
from ecommerce_dagster.bruin.model.connections import UnusableConnection
from ecommerce_dagster.bruin.model.interval import interval_between
from ecommerce_dagster.bruin.model.interval_modifiers import modified
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project, read_project
from ecommerce_dagster.bruin.schema_prefix import prefixed_sql
from ecommerce_dagster.bruin.templates.render import RenderError, RunContext, render
from ecommerce_dagster.bruin.yaml.reader import read_mapping
from ecommerce_dagster.bruin.yaml.scalars import plain_value

VALID = {path: text_of(text).encode() for path, text in STRANGER.items()}
FACTOR = int(os.environ.get("FUZZ", "1"))
SOON = settings(
    deadline=timedelta(seconds=20),
    suppress_health_check=list(HealthCheck),
    max_examples=60 * FACTOR,
)
MANY = settings(SOON, max_examples=150 * FACTOR)
NAMES = st.sampled_from(sorted(VALID))
# Pieces that mean something to YAML, Jinja, headers or Python.
PIECES = st.sampled_from(
    [
        b"\n", b"\r\n", b"\t", b"  ", b": ", b"- ", b"*a", b"&a ", b"<<: *a", b"!x ", b"[", b"]",
        b"{", b"}", b"{{", b"}}", b"{% ", b"%}", b"{#", b"'", b'"', b"|\n", b">\n", b"#", b"---\n",
        b"...\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"null", b"~", b"true", b"0",
        b"9" * 5000, b"1e999", b".nan", b"-.inf", b"0x", b"@bruin */", b"/* @bruin\n",
        b"-- @bruin.name: x\n", b"*/", b"\\", b'"""', b"${X}", b"name", b"type", b"checks", b"? ",
    ]
)  # fmt: skip


def read(files: Mapping[str, bytes], directory: str = "shop") -> tuple[Project | None, ProblemLog]:
    """The project that these files make, and what is wrong with it."""
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        log = ProblemLog()
        project = read_project(Path(folder, directory), log)
        for problem in log.problems:
            assert "\n" not in str(problem)
            assert problem.line >= 1
            assert "Traceback" not in problem.message
        if project is not None and not log.errors:
            use(project)
        return project, log


def use(project: Project) -> None:
    """What others do with a project that has no errors."""
    for asset in project.assets:
        asset.model_dump_json()
        project.connection_name(asset)
        try:
            project.render(asset.body, RunContext(variables=project.variables), asset)
        except RenderError:
            pass
    for connection in project.connections.by_name.values():
        try:
            connection.postgres({}) if connection.platform == "postgres" else connection.duckdb({})
        except UnusableConnection:
            pass


@MANY
@given(NAMES, st.data())
def test_files_with_pieces_put_in_or_taken_out(name: str, data: st.DataObject) -> None:
    content = VALID[name]
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.sampled_from([0, 0, 1, 2, 10, 200]))
        piece = data.draw(PIECES | st.binary(max_size=5) | st.just(b""))
        content = content[:start] + piece + content[end:]
    read({**VALID, name: content})


@SOON
@given(NAMES, st.binary(max_size=300))
def test_files_of_any_bytes(name: str, content: bytes) -> None:
    read({**VALID, name: content})


@SOON
@given(NAMES, st.lists(PIECES, max_size=40).map(b"".join))
def test_files_of_pieces(name: str, content: bytes) -> None:
    read({**VALID, name: content})


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable, max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "type", "x"]) | st.text(max_size=3), inner, max_size=3
        )
    ),
    max_leaves=8,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a nested value."""
    steps = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [at] * bool(at) + [place for key, item in steps for place in places(item, (*at, key))]


@MANY
@given(st.sampled_from([n for n in sorted(VALID) if n.endswith(("yml", "yaml"))]), st.data())
def test_valid_yaml_with_any_value_in_any_place(name: str, data: st.DataObject) -> None:
    content = yaml.safe_load(VALID[name])
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(places(content) or [("x",)]))
        target = content
        for step in way:
            target = target[step]
        target[last] = data.draw(VALUES)
    read({**VALID, name: yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "replace")})


@MANY
@given(st.text(max_size=80))
@example("9" * 10_000)
@example("0x" + "f" * 10_000)
@example("-" + "1_" * 5_000)
def test_any_scalar_is_a_value_that_can_be_printed(text: str) -> None:
    str(plain_value(text))


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]))
NESTED = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | PRINTABLE,
    lambda inner: st.lists(inner) | st.dictionaries(PRINTABLE, inner),
    max_leaves=20,
)


@SOON
@given(NESTED)
def test_what_yaml_writes_is_read_back(value: Any) -> None:
    log = ProblemLog()
    text = yaml.safe_dump({"key": value}, allow_unicode=True, default_style='"')
    assert read_mapping(text, Path("f"), log) == {"key": value}
    assert log.problems == []


WORDS = (
    "{{ | }} |{% | %}|{# | #}|var|x|.|~|*|**|+|%|(|)|[|]|{|}|'a'|10|99999|if |for i in |range|"
    "set x = |endfor|endif|macro f(a)|endmacro|f|start_date|add_days|center|join|format|items|"
    "this|\n| |,|:|not |is |in |__class__"
)
JINJA = st.lists(st.sampled_from([*WORDS.split("|"), "|"]), max_size=30).map("".join)


@MANY
@given(JINJA, st.sampled_from(["", "{% macro f(a) %}\n{{ a }}{% endmacro %}"]))
@example("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "")
def test_any_template_is_rendered_or_refused_with_its_line(template: str, macros: str) -> None:
    context = RunContext(variables={"x": 1, "items": [1, 2]})
    line = 1
    try:
        render(template, context, "a", macros)
    except RenderError as error:
        line = error.line
    assert 1 <= line <= template.count("\n") + 1


@MANY
@given(
    st.text(max_size=20) | st.datetimes().map(str) | st.dates().map(str),
    st.text("0123456789-:T", max_size=20),
)
def test_any_dates_are_an_interval_or_refused(start: str, end: str) -> None:
    try:
        interval = interval_between(start, end)
        if interval is not None:
            modified(interval, "-1M", "99999d")
    except ValueError:
        pass


@SOON
@given(st.text("raw.orders \"'-$/*\n", max_size=60))
@example("'" * 20_000)
@example('"' * 20_001)
@example("$$" * 20_001)
@example("/*" * 20_000)
@example("raw ." * 20_000)
def test_any_sql_is_read_for_its_tables_in_no_time(sql: str) -> None:
    prefixed_sql(sql, "dev_", ["raw.orders"])


@pytest.mark.parametrize("name", sorted(VALID))
def test_files_cut_off_anywhere(name: str) -> None:
    content = VALID[name]
    for end in range(0, len(content), max(1, len(content) // 12)):
        read({**VALID, name: content[:end]})
