"""Jinja in SQL: Bruin's variables and filters, in a sandbox, strict about unknown names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from jinja2 import Template, TemplateError, TemplateSyntaxError, UndefinedError

from ecommerce_dagster.bruin.model.interval import Interval, yesterday
from ecommerce_dagster.bruin.problems import nearest
from ecommerce_dagster.bruin.templates.date_filters import (
    DATE,
    DATE_FILTERS,
    DATETIME,
    NODASH,
    TIMESTAMP,
    written,
)
from ecommerce_dagster.bruin.templates.macros import BUILTIN_MACROS
from ecommerce_dagster.bruin.templates.sandbox import BoundedEnvironment, budget
from ecommerce_dagster.errors import UnlocatedError

T = TypeVar("T")

_TAG = re.compile(r"\{[{%#]")
# Stands between the macros and the template; cannot stand in a file.
_CUT = "\0"
_FORMATS = {
    "{}_date": DATE,
    "{}_date_nodash": NODASH,
    "{}_datetime": DATETIME,
    "{}_timestamp": TIMESTAMP,
}
_ENVIRONMENT = BoundedEnvironment()
_ENVIRONMENT.filters.update(DATE_FILTERS)


class RenderError(UnlocatedError, ValueError):
    """A template that cannot be rendered. `line` counts from 1 within the template."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class RunContext:
    """What templates can know of a run. Without an interval they see yesterday."""

    interval: Interval | None = None
    full_refresh: bool = False
    run_id: str = ""
    pipeline: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    commit_hash: str = ""
    schema_prefix: str = ""
    execution_date: datetime | None = None

    def template_variables(self, asset: str) -> dict[str, Any]:
        """The names that a template of `asset` can use."""
        interval = self.interval or yesterday()
        moments = {
            "start": interval.start,
            "end": interval.last,
            "execution": self.execution_date or interval.end,
        }
        dates = {
            name.format(prefix): written(moment, pattern)
            for prefix, moment in moments.items()
            for name, pattern in _FORMATS.items()
        }
        return {
            **dates,
            "full_refresh": self.full_refresh,
            "run_id": self.run_id,
            "pipeline": self.pipeline,
            "commit_hash": self.commit_hash,
            "schema_prefix": self.schema_prefix,
            "this": asset,
            "var": dict(self.variables),
            "bruin": BUILTIN_MACROS,
        }


def render(template: str, context: RunContext, asset: str, macros: str = "") -> str:
    """`template` with its variables filled in, its lines where they were. Raises RenderError."""
    if not _TAG.search(template):
        return template
    names = context.template_variables(asset)
    return _guarded(lambda: _rendered(template, macros, names), macros, names)


def render_settled(template: str, context: RunContext, asset: str, macros: str = "") -> str:
    """`template` with what no run decides filled in: variables and names. One that asks for the
    dates of a run, or cannot be rendered, stays as it is."""
    if not _TAG.search(template):
        return template
    known = context.template_variables(asset)
    names = {name: known[name] for name in ("bruin", "pipeline", "schema_prefix", "this", "var")}
    try:
        return _guarded(lambda: _rendered(template, macros, names), macros, names)
    except RenderError:
        return template


def render_nested(value: Any, render_text: Callable[[str], str]) -> Any:
    """`value`, such as the `parameters` of an asset, with every text in it rendered."""
    if isinstance(value, str):
        return render_text(value)
    if isinstance(value, Mapping):
        return {key: render_nested(item, render_text) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render_nested(item, render_text) for item in value]
    return value


def check_syntax(template: str, macros: str = "") -> None:
    """Raise RenderError when `template` does not parse, whatever its variables are."""
    if _TAG.search(template):
        _guarded(lambda: _compiled(template, macros), macros, {})


def _rendered(template: str, macros: str, names: Mapping[str, Any]) -> str:
    text = _compiled(template, macros).render(names)
    before, cut, after = text.partition(_CUT)
    rendered = after if cut else before
    # A text with half a surrogate pair cannot be sent to any database.
    rendered.encode()
    return rendered


@lru_cache(maxsize=256)
def _compiled(template: str, macros: str) -> Template:
    return _ENVIRONMENT.from_string(f"{macros}\n{_CUT}{template}" if macros else template)


def _guarded(action: Callable[[], T], macros: str, names: Mapping[str, Any]) -> T:
    """The result of `action`. Whatever a template can do wrong becomes a RenderError."""
    above = macros.count("\n") + 1 if macros else 0
    try:
        with budget():
            return action()
    except TemplateSyntaxError as error:
        hint = "; to write {{, {% or {# itself: {{ '{{' }}" if _is_unclosed(error) else ""
        message = f"the template does not parse: {error.message}{hint}"
        raise RenderError(message, max(1, error.lineno - above)) from None
    except UndefinedError as error:
        raise RenderError(_missing(str(error), names), _line_below(above, error)) from None
    except TemplateError as error:
        message = f"the template fails: {error.message}"
        raise RenderError(message, _line_below(above, error)) from None
    except (RecursionError, SyntaxError):
        # Jinja nests Python in Python, which has a limit to that.
        raise RenderError("the template is nested too deeply") from None
    except Exception as error:
        # A template can call whatever its values offer, and each fails in its own way.
        message = f"the template fails: {error}"
        raise RenderError(message, _line_below(above, error)) from None


def _is_unclosed(error: TemplateSyntaxError) -> bool:
    beginnings = ("unexpected end of", "unexpected 'end of", "Missing end of", "expected token")
    return str(error.message).startswith(beginnings)


def _missing(message: str, names: Mapping[str, Any]) -> str:
    name = re.fullmatch(r"'(.+)' is undefined", message)
    if name is not None:
        inside = (f"{of}.{name[1]}" for of in ("var", "bruin") if name[1] in names.get(of, ()))
        match = next(inside, None) or nearest(name[1], names)
        hint = f"did you mean '{match}'?" if match else f"known: {', '.join(sorted(names))}"
        return f"missing variable '{name[1]}'; {hint}"
    return message if message.startswith("missing") else f"the template fails: {message}"


def _line_below(above: int, error: BaseException) -> int:
    """The line of the template's innermost frame that raised `error`, not of a macro's."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>" and trace.tb_lineno > above:
            line = trace.tb_lineno - above
        trace = trace.tb_next
    return line
