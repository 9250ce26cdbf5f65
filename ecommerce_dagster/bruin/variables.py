"""The variables of a pipeline: defaults from pipeline.yml, replaced by what a run is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ecommerce_dagster.bruin.located import Position
from ecommerce_dagster.bruin.models import Pipeline
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean

_RULE = "valid-variables"
# The types of JSON schema, and what people write instead.
_TYPES: dict[str, tuple[type, ...]] = {
    "array": (list, tuple),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
_ALIASES = {
    "bool": "boolean", "dict": "object", "float": "number", "int": "integer", "list": "array",
    "map": "object", "str": "string", "text": "string",
}  # fmt: skip
_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("at least", lambda value, bound: value >= bound),
    "maximum": ("at most", lambda value, bound: value <= bound),
}


def variant_of(pipeline: Pipeline, name: str | None, log: ProblemLog) -> dict[str, Any]:
    """The variables that a variant sets."""
    if name is None:
        return {}
    found = pipeline.variants.get(name)
    if not isinstance(found, Mapping):
        hint = did_you_mean(name, pipeline.variants)
        log.error(*pipeline.at("variants"), _RULE, f'no such variant "{name}"; {hint}')
        return {}
    return dict(found)


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
        _lint_type(name, schema, at, log)
        broken = _complaint(schema, schema["default"])
        if broken:
            at = pipeline.at("variables", name, "default")
            log.warning(*at, _RULE, f"the default of the variable '{name}' {broken}")
    for name, value in overrides.items():
        at = pipeline.at("variables", name)
        schema = pipeline.variables.get(name)
        if name not in pipeline.variables:
            hint = did_you_mean(name, pipeline.variables)
            log.error(*at, _RULE, f'no such variable "{name}"; {hint}')
        elif isinstance(schema, Mapping) and (broken := _complaint(schema, value)):
            log.error(*at, _RULE, f"the value given for the variable '{name}' {broken}")
        values[name] = value
    return values


def _lint_type(name: str, schema: Mapping[str, Any], at: Position, log: ProblemLog) -> None:
    for kind in _types(schema):
        if kind not in _TYPES:
            hint = did_you_mean(kind, _TYPES)
            message = f"the type '{kind}' of the variable '{name}' is not checked; {hint}"
            log.warning(*at, _RULE, message)


def _types(schema: Mapping[str, Any]) -> list[str]:
    written = schema.get("type")
    kinds = written if isinstance(written, list) else [] if written is None else [written]
    return [_ALIASES.get(str(kind), str(kind)) for kind in kinds]


def _complaint(schema: Mapping[str, Any], value: Any) -> str | None:
    """What of `schema` the value breaks, as the end of a sentence."""
    kinds = _types(schema)
    if kinds and not any(_is_a(value, kind) for kind in kinds):
        return f"is {_shown(value)}; expected {' or '.join(kinds)}"
    allowed = schema.get("enum")
    if isinstance(allowed, list) and value not in allowed:
        return f"is {_shown(value)}; expected {', '.join(map(_shown, allowed))}"
    if not _is_a(value, "number"):
        return None
    for key, (words, holds) in _BOUNDS.items():
        if _is_a(schema.get(key), "number") and not holds(value, schema[key]):
            return f"is {_shown(value)}; expected {words} {schema[key]}"
    return None


def _is_a(value: Any, kind: str) -> bool:
    """JSON's idea of a type: true is no number, and an unknown type fits everything."""
    if kind not in _TYPES:
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def _shown(value: Any) -> str:
    return repr(value)[:60]
