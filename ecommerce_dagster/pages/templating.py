"""The templates of this package. Everything that is filled in is escaped."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ecommerce_dagster.pages import formats
from ecommerce_dagster.pages.palette import DARK, LIGHT


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ecommerce_dagster.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"moment": formats.moment, "count": formats.count}
    environment.globals |= {"light": LIGHT, "dark": DARK}
    return environment


def render(template: str, **values: Any) -> str:
    """The page that a template makes of values."""
    return _environment().get_template(template).render(**values)


def script_json(value: object) -> str:
    """JSON that can stand in a script, whatever texts are in it."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
