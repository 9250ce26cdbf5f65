"""The variables of a pipeline: defaults from pipeline.yml, replaced by what a run is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ecommerce_dagster.bruin.model.pipeline import Pipeline
from ecommerce_dagster.bruin.problems import Problem, ProblemLog, ProjectError, did_you_mean
from ecommerce_dagster.bruin.templates.variable_schema import (
    TYPES,
    SchemaError,
    complaint,
    takes_text_only,
    unknown_types,
)
from ecommerce_dagster.bruin.yaml.located import Position, WrittenFloat, WrittenInt

_RULE = "valid-variables"


def require_variant(pipeline: Pipeline, name: str | None) -> None:
    """Raise ProjectError for a pipeline that has variants and that is run in none of them."""
    if name is None and pipeline.variants:
        names = ", ".join(pipeline.variants)
        message = (
            f"the pipeline has the variants {names}; choose one with `--variant`, or in Python "
            "with `build_defs(variant=...)`"
        )
        raise ProjectError([Problem(*pipeline.at("variants"), message, _RULE)])


def variant_of(pipeline: Pipeline, name: str | None, log: ProblemLog) -> dict[str, Any]:
    """The variables that a variant sets, those that it may set. What is wrong with the variants
    that are not asked for is a warning."""
    if name is not None and name not in pipeline.variants:
        hint = did_you_mean(name, pipeline.variants)
        log.error(*pipeline.at("variants"), _RULE, f'no such variant "{name}"; {hint}')
    wrong = {variant: list(_wrong(pipeline, variant)) for variant in pipeline.variants}
    for variant, found in wrong.items():
        report = log.error if variant == name else log.warning
        for keys, message in found:
            at = pipeline.at("variants", variant, *keys)
            report(*at, _RULE, f"the variant '{variant}' {message}")
    given = pipeline.variants.get(name or "")
    if not isinstance(given, Mapping):
        return {}
    refused = {key for keys, _ in wrong.get(name or "", ()) for key in keys}
    return {key: value for key, value in given.items() if key not in refused}


def variables_of(
    pipeline: Pipeline, overrides: Mapping[str, Any], log: ProblemLog
) -> dict[str, Any]:
    """The value of each variable.

    A default that breaks its own schema is a warning, since Bruin runs such a pipeline; an override
    that breaks it is an error.
    """
    values: dict[str, Any] = {}
    for name, schema in pipeline.variables.items():
        at = pipeline.at("variables", name)
        if not isinstance(schema, Mapping) or "default" not in schema:
            message = f"the variable '{name}' needs a default: `{{type: ..., default: ...}}`"
            log.error(*at, _RULE, message)
            continue
        values[name] = schema["default"]
        _lint_schema(name, schema, at, log)
        broken = _complaint(schema, schema["default"])
        if broken:
            at = pipeline.at("variables", name, "default")
            log.warning(*at, _RULE, f"the default of the variable '{name}' {broken}")
    for name, given in overrides.items():
        at = pipeline.at("variables", name)
        schema = pipeline.variables.get(name)
        if name not in pipeline.variables:
            hint = did_you_mean(name, pipeline.variables)
            log.error(*at, _RULE, f'no such variable "{name}"; {hint}')
        value = _as_declared(schema, given)
        if broken := _complaint(schema, value):
            log.error(*at, _RULE, f"the value given for the variable '{name}' {broken}")
        values[name] = value
    return values


def _wrong(pipeline: Pipeline, variant: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """What would not work in a variant, each with the keys in it that lead to its place."""
    given = pipeline.variants[variant]
    if not isinstance(given, Mapping):
        yield (), "must be a mapping of variables to values"
        return
    for name, value in given.items():
        schema = pipeline.variables.get(name)
        if name not in pipeline.variables:
            yield (
                (name,),
                f'sets no such variable "{name}"; {did_you_mean(name, pipeline.variables)}',
            )
        elif broken := _complaint(schema, value):
            yield (name,), f"sets the variable '{name}', which {broken}"


def _lint_schema(name: str, schema: Mapping[str, Any], at: Position, log: ProblemLog) -> None:
    for kind in unknown_types(schema):
        hint = did_you_mean(kind, TYPES)
        message = f"the type '{kind}' of the variable '{name}' is not checked; {hint}"
        log.warning(*at, _RULE, message)
    try:
        complaint(schema, schema.get("default"))
    except SchemaError as error:
        message = f"the schema of the variable '{name}' is not a JSON schema, so that it is not "
        log.warning(*at, _RULE, f"{message}checked; {error}")


def _complaint(schema: Any, value: Any) -> str | None:
    """What of `schema` the value breaks. What is not a schema is reported elsewhere."""
    try:
        return complaint(schema, value) if isinstance(schema, Mapping) else None
    except SchemaError:
        return None


def _as_declared(schema: Any, value: Any) -> Any:
    """`--var version=1.10` is the text that the variable asks for, not a number."""
    if isinstance(value, WrittenInt | WrittenFloat) and isinstance(schema, Mapping):
        return value.written if takes_text_only(schema) else value
    return value
