"""The JSON schema of a variable: what of it a value breaks, in words.

The original never looks at these schemas, so that people write types which JSON schema does not
know: `int`, `list`. Those are understood; what cannot be is left out, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ecommerce_dagster.errors import UnlocatedError

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_ALIASES = {
    "bool": "boolean", "dict": "object", "float": "number", "int": "integer", "list": "array",
    "map": "object", "str": "string", "text": "string",
}  # fmt: skip
# Where schemas stand inside schemas: one, a list of them, or by name.
_NESTED = {
    "additionalProperties", "allOf", "anyOf", "contains", "else", "if", "items", "not", "oneOf",
    "prefixItems", "then",
}  # fmt: skip
_NAMED = {"patternProperties", "properties"}
# A reference may lead to another machine.
_LEFT_OUT = {"$dynamicRef", "$ref", "$schema", "default"}
# What asks nothing of a value.
_ANNOTATIONS = {"description", "title"}
_PLAIN: dict[str, type | tuple[type, ...]] = {
    "boolean": bool, "integer": int, "number": (int, float), "string": str,
}  # fmt: skip
_WORDS: dict[str, Callable[[Any], str]] = {
    "type": lambda kinds: " or ".join([kinds] if isinstance(kinds, str) else kinds),
    "enum": lambda allowed: ", ".join(map(shown, allowed)),
    "const": repr,
    "minimum": lambda bound: f"at least {bound}",
    "maximum": lambda bound: f"at most {bound}",
    "exclusiveMinimum": lambda bound: f"more than {bound}",
    "exclusiveMaximum": lambda bound: f"less than {bound}",
    "multipleOf": lambda step: f"a multiple of {step}",
    "pattern": lambda pattern: f"a match of {pattern}",
    "minLength": lambda n: f"at least {n} characters",
    "maxLength": lambda n: f"at most {n} characters",
    "minItems": lambda n: f"at least {n} items",
    "maxItems": lambda n: f"at most {n} items",
    "uniqueItems": lambda _: "items that differ from each other",
    "required": lambda names: f"the keys {', '.join(map(str, names))}",
}


class SchemaError(UnlocatedError):
    """A schema that no value can be checked against; the text is the end of a sentence."""


def complaint(schema: Mapping[str, Any], value: Any) -> str | None:
    """What of `schema` the value breaks, as the end of a sentence. Raises SchemaError."""
    rules = _usable(schema)
    if not rules or _is_plainly_met(rules, value):
        return None
    from jsonschema import Draft202012Validator, exceptions

    try:
        Draft202012Validator.check_schema(rules)
        error = exceptions.best_match(Draft202012Validator(rules).iter_errors(value))
    except exceptions.SchemaError as broken:
        place = ".".join(map(str, broken.absolute_path))
        raise SchemaError(f"{place}: {broken.message}" if place else broken.message) from None
    except RecursionError:
        raise SchemaError("it is nested too deeply") from None
    if error is None:
        return None
    place = "".join(f"[{step!r}]" for step in error.absolute_path)
    words = _WORDS.get(str(error.validator))
    expected = f"expected {words(error.validator_value)}" if words else error.message[:200]
    return f"is {shown(error.instance)}{f' at {place}' if place else ''}; {expected}"


def _is_plainly_met(rules: Mapping[str, Any], value: Any) -> bool:
    """Whether a schema is one plain type, and the value of it. Most are, and the library for all
    others takes 30 ms to import."""
    kind = (rules.get("type") or [""])[0]
    return (
        rules.keys() <= {"type", *_ANNOTATIONS}
        and all(isinstance(rules.get(key, ""), str) for key in _ANNOTATIONS)
        and rules.get("type") == [kind]
        and isinstance(value, _PLAIN.get(kind, ()))
        and (kind == "boolean" or not isinstance(value, bool))
    )


def unknown_types(schema: Mapping[str, Any]) -> Iterator[str]:
    """The unknown types in a schema."""
    yield from (kind for kind in _kinds(schema) if kind not in TYPES)
    for key, nested in schema.items():
        for inner in _inner(key, nested):
            yield from unknown_types(inner)


def takes_text_only(schema: Mapping[str, Any]) -> bool:
    """Whether a value can be nothing but a text."""
    return _kinds(schema) == ["string"]


def shown(value: Any) -> str:
    """A value in an error, not longer than a reader wants to see."""
    return repr(value)[:60]


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    written = schema.get("type")
    kinds = written if isinstance(written, list) else [] if written is None else [written]
    return [_ALIASES.get(str(kind), str(kind)) for kind in kinds]


def _inner(key: str, nested: Any) -> list[Mapping[str, Any]]:
    found: list[Any] = []
    if key in _NAMED and isinstance(nested, Mapping):
        found = list(nested.values())
    elif key in _NESTED:
        found = nested if isinstance(nested, list) else [nested]
    return [schema for schema in found if isinstance(schema, Mapping)]


def _usable(schema: Any) -> Any:
    """A schema with the types that JSON schema knows, and nothing that leads out of it."""
    if not isinstance(schema, Mapping):
        return schema
    rules: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, Mapping):
            rules[key] = {name: _usable(nested) for name, nested in value.items()}
        elif key in _NESTED:
            is_list = isinstance(value, list)
            rules[key] = [_usable(nested) for nested in value] if is_list else _usable(value)
        elif key == "type":
            kinds = _kinds(schema)
            if all(kind in TYPES for kind in kinds):
                rules[key] = kinds
        elif key not in _LEFT_OUT:
            rules[key] = value
    return rules
