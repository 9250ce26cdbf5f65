"""Jinja in SQL: Bruin's variables and filters, in a sandbox, strict about unknown names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ecommerce_dagster.bruin.interval import Interval, yesterday

_FORMATS = {
    "": "%Y-%m-%d",
    "_nodash": "%Y%m%d",
    "_datetime": "%Y-%m-%dT%H:%M:%S",
    "_timestamp": "%Y-%m-%dT%H:%M:%S.%fZ",
}


class RenderError(ValueError):
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
        names: dict[str, Any] = {
            "full_refresh": self.full_refresh,
            "run_id": self.run_id,
            "pipeline": self.pipeline,
            "commit_hash": self.commit_hash,
            "schema_prefix": self.schema_prefix,
            "this": asset,
            "var": dict(self.variables),
        }
        for prefix, moment in moments.items():
            for suffix, pattern in _FORMATS.items():
                name = (
                    f"{prefix}{suffix}"
                    if suffix in {"_datetime", "_timestamp"}
                    else f"{prefix}_date{suffix}"
                )
                names[name] = moment.strftime(pattern)
        return names


def render(template: str, context: RunContext, asset: str, macros: str = "") -> str:
    """`template` with its variables filled in. Raises RenderError."""
    if "{" not in template:
        return template
    try:
        source = f"{macros}\n{template}" if macros else template
        return _ENVIRONMENT.from_string(source).render(context.template_variables(asset)).strip()
    except TemplateSyntaxError as error:
        raise RenderError(f"the template does not parse: {error.message}", error.lineno) from None
    except UndefinedError as error:
        raise RenderError(_missing(str(error)), _line_in_template(error)) from None
    except TemplateError as error:
        raise RenderError(str(error.message), _line_in_template(error)) from None
    except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError) as error:
        raise RenderError(f"the template fails: {error}", _line_in_template(error)) from None


def _missing(message: str) -> str:
    found = re.search(r"'([^']+)' is undefined", message) or re.search(
        r"has no attribute '([^']+)'", message
    )
    return f"missing variable '{found.group(1)}'" if found else message


def _line_in_template(error: BaseException) -> int:
    """The line of the innermost template frame that raised `error`."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _parsed(text: str) -> tuple[datetime, str]:
    """A date in any of the formats that templates see, and that format."""
    for pattern in (
        *_FORMATS.values(),
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M:%S.%f",
    ):
        try:
            return datetime.strptime(str(text), pattern), pattern
        except ValueError:
            continue
    raise ValueError(f"'{text}' is not a date")


def _shift(unit: str) -> Callable[[str, Any], str]:
    def shifted(text: str, amount: Any) -> str:
        moment, pattern = _parsed(text)
        return (moment + timedelta(**{unit: int(amount)})).strftime(pattern)

    return shifted


def _add_months(text: str, amount: Any) -> str:
    """Months as Go adds them: January 31 plus one month is March 2 or 3."""
    moment, pattern = _parsed(text)
    months = moment.year * 12 + moment.month - 1 + int(amount)
    first = moment.replace(year=months // 12, month=months % 12 + 1, day=1)
    return (first + timedelta(days=moment.day - 1)).strftime(pattern)


def _add_years(text: str, amount: Any) -> str:
    return _add_months(text, int(amount) * 12)


def _date_format(text: str, pattern: str) -> str:
    return _parsed(text)[0].strftime(pattern)


def _truncate(**zeroed: int) -> Callable[[str], str]:
    def truncated(text: str) -> str:
        moment, pattern = _parsed(text)
        return moment.replace(**zeroed, microsecond=0).strftime(pattern)  # type: ignore[arg-type]

    return truncated


_HOUR = {"minute": 0, "second": 0}
_DAY = {"hour": 0, **_HOUR}
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, keep_trailing_newline=False, autoescape=False
)
_ENVIRONMENT.filters.update(
    add_days=_shift("days"),
    date_add=_shift("days"),
    add_hours=_shift("hours"),
    add_minutes=_shift("minutes"),
    add_seconds=_shift("seconds"),
    add_milliseconds=_shift("milliseconds"),
    add_months=_add_months,
    add_years=_add_years,
    date_format=_date_format,
    truncate_hour=_truncate(**_HOUR),
    truncate_day=_truncate(**_DAY),
    truncate_month=_truncate(day=1, **_DAY),
    truncate_year=_truncate(month=1, day=1, **_DAY),
)
