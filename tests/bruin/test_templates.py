"""Jinja in SQL: what it can use, and what is said when it cannot be rendered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bruin.helpers import Files
from ecommerce_dagster.bruin.model.interval import Interval, interval_between, yesterday
from ecommerce_dagster.bruin.templates.render import (
    RenderError,
    RunContext,
    _compiled,
    render,
    render_nested,
)

RUN = RunContext(
    interval=interval_between("2024-01-15", "2024-01-16"),
    full_refresh=True,
    run_id="run-1",
    pipeline="shop",
    variables={"all_time": False, "users": ["a", "b"], "items": 3, "config": {"keys": 1}},
    commit_hash="abc123",
    schema_prefix="dev_",
    execution_date=datetime(2024, 2, 3, 4, 5, 6, 7, tzinfo=UTC),
)
KNOWN = (
    "known: bruin, commit_hash, end_date, end_date_nodash, end_datetime, end_timestamp, "
    "execution_date, "
    "execution_date_nodash, execution_datetime, execution_timestamp, full_refresh, pipeline, "
    "run_id, schema_prefix, start_date, start_date_nodash, start_datetime, start_timestamp, this, "
    "var"
)


def rendered(template: str, macros: str = "", context: RunContext = RUN) -> str:
    return render(template, context, "stg.orders", macros)


def failure(template: str, macros: str = "") -> tuple[int, str]:
    """The line and the words of what is wrong."""
    with pytest.raises(RenderError) as caught:
        rendered(template, macros)
    return caught.value.line, str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_date", "2024-01-15"),
        ("start_date_nodash", "20240115"),
        ("start_datetime", "2024-01-15T00:00:00"),
        ("start_timestamp", "2024-01-15T00:00:00.000000Z"),
        ("end_date", "2024-01-16"),
        ("end_date_nodash", "20240116"),
        ("end_datetime", "2024-01-16T23:59:59"),
        ("end_timestamp", "2024-01-16T23:59:59.999999Z"),
        ("execution_date", "2024-02-03"),
        ("execution_date_nodash", "20240203"),
        ("execution_datetime", "2024-02-03T04:05:06"),
        ("execution_timestamp", "2024-02-03T04:05:06.000007Z"),
        ("pipeline", "shop"),
        ("run_id", "run-1"),
        ("full_refresh", "True"),
        ("commit_hash", "abc123"),
        ("schema_prefix", "dev_"),
        ("this", "stg.orders"),
        ("var.all_time", "False"),
        ("var.users", "['a', 'b']"),
        ("var['users'][1]", "b"),
    ],
)
def test_templates_know_what_bruin_knows(name: str, value: str) -> None:
    assert rendered(f"{{{{ {name} }}}}") == value


def test_without_an_interval_templates_see_yesterday() -> None:
    day = yesterday()
    assert rendered("{{ start_date }} {{ end_timestamp }}", context=RunContext()) == (
        f"{day.start:%Y-%m-%d} {day.start:%Y-%m-%d}T23:59:59.999999Z"
    )


def test_the_execution_date_is_the_end_of_the_interval_unless_it_is_given() -> None:
    context = RunContext(interval=interval_between("2024-01-15", None))
    assert rendered("{{ execution_date }}", context=context) == "2024-01-16"


def test_years_have_four_digits() -> None:
    first = Interval(datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 2, tzinfo=UTC))
    template = "{{ start_date }} {{ start_date | add_days(1) }} {{ end_date_nodash }}"
    assert (
        rendered(template, context=RunContext(interval=first)) == "0001-01-01 0001-01-02 00010101"
    )


def test_the_keys_of_a_variable_go_before_the_methods_of_python() -> None:
    assert rendered("{{ var.items }} {{ var.config.keys }}") == "3 1"


def test_conditions_loops_and_filters_work() -> None:
    template = (
        "{% for u in var.users %}{{ loop.index }}{{ u | upper }}{% if not loop.last %}, {% endif %}"
        "{% endfor %} {{ var.users | join('-') }} {{ 'x' ~ 1 ~ none }} {{ 7 // 2 + 2 ** 3 }} "
        "{{ '%02d' % 5 }} {{ '{:>3}'.format(1) }} {{ var.nothing | default('d') }} "
        "{{ 'y' if var.all_time is defined }}"
    )
    assert rendered(template) == "1A, 2B a-b x1None 11 05   1 d y"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% for k, v in var.config %}{{ k }}={{ v }}{% endfor %}", "keys=1"),
        ("{% for k, v in var.config.items() %}{{ k }}={{ v }}{% endfor %}", "keys=1"),
        ("{% for k in var.config %}{{ k }}{% endfor %}", "keys"),
        ("{% for a, b in [(1, 2), (3, 4)] %}{{ a * b }} {% endfor %}", "2 12 "),
        ("{% for u in var.users if u != 'a' %}{{ u }}{% else %}none{% endfor %}", "b"),
        ("{% set n = namespace(sum=0) %}{% for x in [1, 2] %}{% set n.sum = n.sum + x %}"
         "{% endfor %}{{ n.sum }}", "3"),
        ("{% set cols = ['a', 'b'] %}{{ cols | map('upper') | join(', ') }}", "A, B"),
        ("{%- set x = 1 -%}\n  SELECT {{- ' ' ~ x }}\n{#- note -#}\n", "SELECT 1"),
        ("{{ 'x' if full_refresh else 'y' }} {{ not full_refresh }}", "x False"),
        ("{{ nothing | default('d') }} {{ var.nothing | default(1) + 1 }}", "d 2"),
        ("{{ var.users | length }} {{ var.users | first }} {{ var.users[-1] }}", "2 a b"),
        ("{{ var.config | tojson }} {{ var.users | tojson }}", '{"keys": 1} ["a", "b"]'),
        ("{{ [3, 1, 2] | sort | reverse | list }} {{ 'a,b'.split(',') }}", "[3, 2, 1] ['a', 'b']"),
        ("{{ ' a ' | trim | replace('a', 'b') }}{{ 2.6 | round | int }}{{ '5' | int + 1 }}", "b36"),
        ("{{ start_date | add_days(var['items']) }} {{ end_date | truncate_month }}",
         "2024-01-18 2024-01-01"),
        ("{% if this in ['stg.orders'] and var.config.keys == 1 %}yes{% endif %}", "yes"),
        ("{{ var.users is iterable }} {{ start_date < end_date }}", "True True"),
        ("{% filter upper %}{{ pipeline }}{% endfilter %}{% with y = 2 %}{{ y }}{% endwith %}",
         "SHOP2"),
    ],
)  # fmt: skip
def test_what_people_write_in_queries_works(template: str, text: str) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "  SELECT {'a': 1}, {'b': {'c': 2}} \n\n\n\n",
        "SELECT regexp_matches(x, 'a{2}') -- 100%",
        "\n\t SELECT '}}' || '%}' || '#}'",
        "",
    ],
)
def test_text_without_a_template_is_untouched(text: str) -> None:
    assert rendered(text) == text
    assert rendered(text, macros="{% macro m() %}{% endmacro %}") == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("\n\n SELECT {{ 1 }} \n\n\n\n\n", "\n\n SELECT 1 \n\n\n\n\n"),
        ("{% set x = 1 %}\nSELECT {{ x }}\n", "\nSELECT 1\n"),
        ("SELECT {'a': {{ 1 }}}", "SELECT {'a': 1}"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("SELECT '{{ '{{' }}'", "SELECT '{{'"),
        ("a {# note #} b", "a  b"),
        ("SELECT '<' || '{{ '<' }}'", "SELECT '<' || '<'"),
    ],
)
def test_what_stands_around_a_template_keeps_its_place(template: str, text: str) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(
    ("template", "line", "message"),
    [
        ("{{ x }}", 1, f"missing variable 'x'; {KNOWN}"),
        ("SELECT 1\n\n  {{ strat_date }}", 3,
         "missing variable 'strat_date'; did you mean 'start_date'?"),
        ("\n{% if all_time %}{% endif %}", 2,
         "missing variable 'all_time'; did you mean 'var.all_time'?"),
        ("{% for x in nothing %}{% endfor %}", 1, f"missing variable 'nothing'; {KNOWN}"),
        ("{{ var.all_tiem }}", 1, "missing variable 'all_tiem'; did you mean 'all_time'?"),
        ("{{ var.config.key }}", 1, "missing variable 'key'; did you mean 'keys'?"),
        ("{{ ref('x') }}", 1, f"missing variable 'ref'; {KNOWN}"),
        ("{{ this.name }}", 1, "the template fails: 'str object' has no attribute 'name'"),
        ("{{ 1 / 0 }}", 1, "the template fails: division by zero"),
        ("a\n{{ this() }}", 2, "the template fails: 'str' object is not callable"),
        ("a\n{% for x in 5 %}{% endfor %}", 2, "the template fails: 'int' object is not iterable"),
        ("{{ '%d' % 'x' }}", 1, "the template fails: %d format: a real number is required, "
                                "not str"),
        ("{{ x | nofilter }}", 1, "the template does not parse: No filter named 'nofilter'."),
        ("\n\n{% foo %}", 3, "the template does not parse: Encountered unknown tag 'foo'."),
        ("\n{% if %}", 2, "the template does not parse: Expected an expression, got 'end of "
                          "statement block'"),
        ("SELECT {{'a': 1}}", 1, "the template does not parse: expected token 'end of print "
                                 "statement', got ':'; to write {{, {% or {# itself: {{ '{{' }}"),
        ("SELECT '{{'", 1, "the template does not parse: unexpected char \"'\" at 10"),
        ("SELECT\n'{# '", 2, "the template does not parse: Missing end of comment tag; "
                             "to write {{, {% or {# itself: {{ '{{' }}"),
        ("{% include 'x' %}", 1, "the template fails: files cannot be included or imported; "
                                 "put macros into macros/"),
        ("{% import 'x' as y %}", 1, "the template fails: files cannot be included or imported; "
                                     "put macros into macros/"),
        ("{% extends 'x' %}", 1, "the template fails: files cannot be included or imported; "
                                 "put macros into macros/"),
        ("{{ '\\ud800' }}", 1, "the template fails: 'utf-8' codec can't encode character "
                               "'\\ud800' in position 0: surrogates not allowed"),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered_is_explained(template: str, line: int, message: str) -> None:
    assert failure(template) == (line, message)


class TestMacros:
    """Files of macros/ are at hand in every template."""

    MACROS = (
        "-- shared\n{% macro twice(x) %}{{ x }}, {{ x }}{% endmacro %}\n"
        "{% macro bad(x) %}\n{{ x.y }}{% endmacro %}"
    )

    def test_a_macro_can_be_called(self) -> None:
        assert rendered("SELECT\n{{ twice(1) }}\n", self.MACROS) == "SELECT\n1, 1\n"

    def test_a_macro_sees_the_variables(self) -> None:
        macros = "{% macro m() %}{{ this }} {{ start_date }} {{ var.items }}{% endmacro %}"
        assert rendered("{{ m() }}", macros) == "stg.orders 2024-01-15 3"

    @pytest.mark.parametrize(
        ("macros", "template", "text"),
        [
            ("{% macro a(x) %}{{ x }}{% endmacro %}\n{% macro b(x) %}{{ a(x) }}!{% endmacro %}",
             "{{ b(1) }}", "1!"),
            ("{%- macro a(x) -%}\n  {{ x }}\n{%- endmacro -%}\n", "SELECT {{ a(1) }}", "SELECT 1"),
            ("{%- macro a() -%}x{%- endmacro -%}", "{%- set y = a() -%}\n\n{{ y }}", "x"),
            ("{% macro a(x, y=2) %}{{ x }}{{ y }}{{ varargs }}{{ kwargs }}{% endmacro %}",
             "{{ a(1) }} {{ a(y=3, x=1) }} {{ a(1, 2, 3, z=4) }}", "12(){} 13(){} 12(3,){'z': 4}"),
            ("{% macro wrap() %}<{{ caller() }}>{% endmacro %}",
             "{% call wrap() %}x{% endcall %}", "<x>"),
            ("{% set layer = 'stg' %}", "{{ layer }}.x", "stg.x"),
            ("{% macro a() %}{% for u in var.users %}{{ u }}{% endfor %}{% endmacro %}",
             "{{ a() | upper }}", "AB"),
            ("-- a file without macros", "SELECT {{ 1 }}", "SELECT 1"),
        ],
    )  # fmt: skip
    def test_macros_do_what_jinjas_do(self, macros: str, template: str, text: str) -> None:
        assert rendered(template, macros) == text

    def test_errors_name_the_line_of_the_template(self) -> None:
        assert failure("SELECT\n\n{{ nothing }}", self.MACROS)[0] == 3
        assert failure("SELECT\n{% foo %}", self.MACROS)[0] == 2
        assert failure("SELECT\n{{ twice(1) }}\n{{ bad(1) }}", self.MACROS) == (
            3,
            "the template fails: 'int object' has no attribute 'y'",
        )

    def test_files_are_read_in_the_order_of_their_names(self, files: Files) -> None:
        files.write("macros/b.sql", "{% macro m() %}b{% endmacro %}")
        files.write("macros/a.sql", "{% macro m() %}a{% endmacro %}")
        files.write("macros/c.txt", "{% macro m() %}c{% endmacro %}")
        files.write("assets/a.sql", "/* @bruin\ntype: duckdb.sql\n@bruin */\nSELECT {{ m() }}")
        project = files.project()
        asset = project.by_name["a"]
        assert project.render(asset.body, RUN, asset) == "SELECT b"

    def test_a_macro_file_that_does_not_parse_is_an_error_in_that_file(self, files: Files) -> None:
        files.write("macros/a.sql", "\n{% macro m() %}")
        files.write("macros/b.sql", "{% macro n() %}{% endmacro %}\n\n{{ }}")
        files.write("assets/a.sql", "/* @bruin\ntype: duckdb.sql\n@bruin */\nSELECT {{ n() }}")
        assert files.errors() == [
            "macros/a.sql:2: the template does not parse: Unexpected end of template. "
            "Jinja was looking for the following tags: 'endmacro'. The innermost block that needs "
            "to be closed is 'macro'.",
            "macros/b.sql:3: the template does not parse: Expected an expression, "
            "got 'end of print statement'",
        ]


def test_a_template_that_does_not_parse_is_an_error_before_anything_runs(files: Files) -> None:
    files.write("macros/m.sql", "{% macro m() %}\n\n{% endmacro %}\n")
    files.write(
        "assets/a.sql",
        """
        /* @bruin
        type: duckdb.sql
        custom_checks:
          - name: one
            query: SELECT {{ }}
          - name: two
            query: |
              SELECT 1

              FROM {% x %}
        hooks:
          pre:
            - query: "{{ "
        @bruin */

        SELECT {{ start_date }}
        FROM {{ this
        """,
    )
    files.write("assets/b.py", '""" @bruin\n@bruin """\nprint("{{")\n')
    got = "got 'end of print statement'"
    hint = "to write {{, {% or {# itself: {{ '{{' }}"
    assert files.errors() == [
        f"assets/a.sql:5: the template does not parse: Expected an expression, {got}",
        "assets/a.sql:10: the template does not parse: Encountered unknown tag 'x'.",
        f"assets/a.sql:13: the template does not parse: unexpected 'end of template'; {hint}",
        "assets/a.sql:17: the template does not parse: unexpected end of template, "
        f"expected 'end of print statement'.; {hint}",
    ]


def test_parameters_are_rendered_at_every_depth() -> None:
    parameters = {"query": "{{ this }}", "list": ["{{ start_date }}", 1], "more": {"x": "{{ 1 }}"}}
    assert render_nested(parameters, rendered) == {
        "query": "stg.orders",
        "list": ["2024-01-15", 1],
        "more": {"x": "1"},
    }


class TestTheSandbox:
    """A template reaches neither Python nor the end of the memory."""

    @pytest.mark.parametrize(
        "template",
        [
            "{{ ''.__class__ }}",
            "{{ ''['__class__'] }}",
            "{{ ''|attr('__class__') }}",
            "{{ cycler.__init__.__globals__ }}",
            "{{ var.__class__ }}",
            "{{ '{0.__class__}'.format(1) }}",
            "{{ var.users.append(1) }}",
            "{% do var.users.append(1) %}",
        ],
    )
    def test_python_is_out_of_reach(self, template: str) -> None:
        failure(template)

    @pytest.mark.parametrize(
        "template",
        [
            "{{ 'a' * 10**10 }}",
            "{{ 10**10 * 'a' }}",
            "{{ [1] * 10**10 }}",
            "{{ 10 ** 10 ** 10 }}",
            "{{ 'a'.center(10**10) }}",
            "{{ 'a' | center(10**10) }}",
            "{{ ('a' * 10000).replace('a', 'b' * 10000) }}",
            "{{ ('a' * 10000) | replace('a', 'b' * 10000) }}",
            "{{ ('a' * 10000).join('b' * 10000) }}",
            "{{ 'a'.translate({97: 'b' * 5000000}) }}",
            "{{ 'a' | indent(10**10, true) }}",
            "{{ [1] | slice(10**10) | list }}",
            "{{ [1] | batch(10**10, 'x') | list }}",
            "{{ {} | tojson(10**10) }}",
            "{{ '%9999999999d' % 1 }}",
            "{{ '%*d' % (10**10, 1) }}",
            "{{ '%9999999999d' | format(1) }}",
            "{{ '{:9999999999d}'.format(1) }}",
            "{{ '{:{}}'.format(1, 10**10) }}",
            "{{ range(10**10) }}",
            "{{ lipsum(10**10) }}",
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}",
            "{% for a in range(9999)|select %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "{% for a in range(99999) %}" + "-" * 1000 + "{% endfor %}",
            "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}"
            "{% endfor %}",
            "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}"
            "{% endfor %}",
            "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}"
            "{% endfor %}",
            "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}"
            "{% endfor %}{{ n.x }}",
            "{% set n = namespace(x=9) %}{% for i in range(60) %}{% set n.x = n.x * n.x %}"
            "{% endfor %}",
            "{% set x = 'a' * 1000000 %}{{ ([x] * 1000000) | join }}",
            "{% set x = 'a' * 1000000 %}{{ ([x] * 1000) | select | join }}",
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
            "{{ f(99) }}",
        ],
    )
    def test_a_template_that_would_not_end_or_not_fit_is_stopped(self, template: str) -> None:
        failure(template)

    @pytest.mark.parametrize(
        "template",
        [
            "{% for a in [1] %}" * 25 + "{% endfor %}" * 25,
            "{% if 1 %}" * 200 + "{% endif %}" * 200,
            "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
            "{{ 1" + "|upper" * 5000 + "}}",
            "{{ " + "-" * 5000 + "1 }}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        ],
    )
    def test_a_template_nested_too_deeply_is_refused(self, template: str) -> None:
        assert failure(template)[1] == "the template is nested too deeply"

    def test_one_template_does_not_spend_the_budget_of_the_next(self) -> None:
        for _ in range(20):
            assert len(rendered("{{ 'a' * 1000000 }}")) == 1_000_000

    def test_a_long_query_is_no_problem(self) -> None:
        template = (
            "{% for n in range(20000) %}{{ 'x' ~ n }} + {{ n | string | length }},\n{% endfor %}"
        )
        assert rendered(template).count("\n") == 20_000


def test_a_template_is_compiled_once() -> None:
    template = "SELECT {{ start_date }} FROM t {% if var.items %}WHERE x{% endif %}\n" * 200
    rendered(template)
    before = _compiled.cache_info().hits
    for _ in range(20):
        rendered(template)
    assert _compiled.cache_info().hits == before + 20


def test_numbers_keep_their_meaning_in_templates(files: Files) -> None:
    files.write("pipeline.yml", "name: shop\nvariables: {a: {default: 1.10}, b: {default: 0x10}}\n")
    values: Any = files.project().variables
    text = rendered("{{ var.a * 2 }} {{ var.b + 1 }}", context=RunContext(variables=values))
    assert text == "2.2 17"
