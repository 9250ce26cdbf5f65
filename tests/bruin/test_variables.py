"""The variables of a pipeline, their schemas, and what a run is given."""

from __future__ import annotations

from typing import Any

import pytest

from bruin.helpers import Files


def variables(files: Files, text: str) -> Files:
    """A pipeline with one asset and these variables, the first of which stands in line 3."""
    files.write("assets/a.asset.yml", "type: empty\n")
    indented = "".join(f"  {line}\n" for line in text.splitlines())
    return files.write("pipeline.yml", "name: shop\nvariables:\n" + indented)


def test_a_variable_is_its_default_until_a_run_is_given_another_value(files: Files) -> None:
    variables(files, "a: {type: integer, default: 1}\nb: {default: [x, y]}")
    assert files.project().variables == {"a": 1, "b": ["x", "y"]}
    assert files.project(variables={"a": 2}).variables == {"a": 2, "b": ["x", "y"]}


def test_a_default_may_be_null(files: Files) -> None:
    assert variables(files, "a: {default: null}").project().variables == {"a": None}


@pytest.mark.parametrize("text", ["a: 5", "a:", "a: {type: integer}", "a: [1]"])
def test_a_variable_needs_a_default(files: Files, text: str) -> None:
    assert variables(files, "ok: {default: 1}\n" + text).errors() == [
        "pipeline.yml:4: the variable 'a' needs a default: `{type: ..., default: ...}`"
    ]


def test_a_value_for_an_unknown_variable_is_an_error(files: Files) -> None:
    variables(files, "all_time: {default: false}")
    assert files.errors(variables={"al_time": True, "x": 1}) == [
        "pipeline.yml:2: no such variable \"al_time\"; did you mean 'all_time'?",
        'pipeline.yml:2: no such variable "x"; known: all_time',
    ]
    files.write("pipeline.yml", "name: shop\n")
    assert files.errors(variables={"x": 1}) == [
        'pipeline.yml:1: no such variable "x"; none is known'
    ]


@pytest.mark.parametrize("kind", ["int", "integer", "number", "float", "[integer, string]"])
def test_types_may_be_called_what_people_call_them(files: Files, kind: str) -> None:
    assert variables(files, f"a: {{type: {kind}, default: 1}}").warnings() == []


def test_an_unknown_type_is_a_warning(files: Files) -> None:
    assert variables(files, "a: {type: intger, default: x}").warnings() == [
        "pipeline.yml:3: the type 'intger' of the variable 'a' is not checked; "
        "did you mean 'integer'?"
    ]


@pytest.mark.parametrize(
    ("schema", "value", "broken"),
    [
        ("type: integer", "many", "is 'many'; expected integer"),
        ("type: integer", 1.5, "is 1.5; expected integer"),
        ("type: integer", True, "is True; expected integer"),
        ("type: number", False, "is False; expected number"),
        ("type: boolean", 1, "is 1; expected boolean"),
        ("type: boolean", "true", "is 'true'; expected boolean"),
        ("type: string", 5, "is 5; expected string"),
        ("type: array", "x", "is 'x'; expected array"),
        ("type: object", [], "is []; expected object"),
        ("type: [integer, 'null']", "x", "is 'x'; expected integer or null"),
        ("enum: [a, b]", "c", "is 'c'; expected 'a', 'b'"),
        ("minimum: 1", 0, "is 0; expected at least 1"),
        ("maximum: 1.5", 2, "is 2; expected at most 1.5"),
        ("exclusiveMinimum: 1", 1, "is 1; expected more than 1"),
        ("multipleOf: 5", 7, "is 7; expected a multiple of 5"),
        ("items: {type: str}", ["a", 1], "is 1 at [1]; expected string"),
        ("minItems: 1", [], "is []; expected at least 1 items"),
        ("uniqueItems: true", [1, 1], "is [1, 1]; expected items that differ from each other"),
        ("pattern: '^[a-z]{2}$'", "eng", "is 'eng'; expected a match of ^[a-z]{2}$"),
        ("minLength: 2", "e", "is 'e'; expected at least 2 characters"),
        ("required: [from, to]", {"from": 1}, "is {'from': 1}; expected the keys from, to"),
        ("properties: {n: {type: int}}", {"n": "x"}, "is 'x' at ['n']; expected integer"),
        ("additionalProperties: false", {"n": 1},
         "is {'n': 1}; Additional properties are not allowed ('n' was unexpected)"),
        ("anyOf: [{type: list, items: {type: bool}}, {type: bool}]", [1],
         "is 1 at [0]; expected boolean"),
    ],
)  # fmt: skip
def test_a_value_must_fit_the_schema(files: Files, schema: str, value: Any, broken: str) -> None:
    variables(files, f"a:\n  default: null\n  {schema}")
    assert files.errors(variables={"a": value}) == [
        f"pipeline.yml:3: the value given for the variable 'a' {broken}"
    ]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("type: integer", 5), ("type: number", 5), ("type: number", 1.5), ("type: boolean", True),
        ("type: string", ""), ("type: array", []), ("type: object", {}), ("enum: [1, 2]", 2),
        ("minimum: 1", 1), ("maximum: 1", 1), ("minimum: 1", "text"), ("minimum: low", 0),
        ("items: {type: string}", ["a"]), ("type: list", [1]), ("$ref: http://x/y", 1),
        ("pattern: x", 5), ("required: [a]", {"a": None}), ("type: float", 1),
    ],
)  # fmt: skip
def test_a_value_that_fits_is_taken(files: Files, schema: str, value: Any) -> None:
    variables(files, f"a:\n  default: null\n  {schema}")
    assert files.project(variables={"a": value}).variables == {"a": value}


def test_a_default_that_breaks_its_schema_is_a_warning(files: Files) -> None:
    assert variables(files, "a:\n  type: string\n  default: 5").warnings() == [
        "pipeline.yml:5: the default of the variable 'a' is 5; expected string"
    ]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("minimum: low", "minimum: 'low' is not of type 'number'"),
        ("required: true", "required: True is not of type 'array'"),
        ("pattern: '('", "pattern: '(' is not a 'regex'"),
    ],
)
def test_a_schema_that_is_none_is_a_warning(files: Files, schema: str, reason: str) -> None:
    assert variables(files, f"a:\n  default: x\n  {schema}").warnings() == [
        "pipeline.yml:3: the schema of the variable 'a' is not a JSON schema, so that it is not "
        f"checked; {reason}"
    ]


def test_variants_that_would_not_work_are_warned_of(files: Files) -> None:
    files.write("assets/a.asset.yml", "type: empty\n")
    files.write(
        "pipeline.yml",
        """
        name: shop
        variables:
          country: {type: string, default: de, enum: [de, fr]}
        variants:
          fr: {country: fr}
          uk: {country: uk}
          xx: {contry: fr}
          yy: fr
        """,
    )
    uk = "sets the variable 'country', which is 'uk'; expected 'de', 'fr'"
    assert files.warnings() == [
        f"pipeline.yml:6: the variant 'uk' {uk}",
        "pipeline.yml:7: the variant 'xx' sets no such variable \"contry\"; "
        "did you mean 'country'?",
        "pipeline.yml:8: the variant 'yy' must be a mapping of variables to values",
    ]
    assert files.errors(variant="uk") == [f"pipeline.yml:6: the variant 'uk' {uk}"]
