"""Bruin's own macros, `{{ bruin.safe_divide('a', 'b') }}`: SQL that DuckDB and PostgreSQL agree on.

Columns, tables and expressions are given as SQL texts and stand in the result as they are. What is
a value (those of `pivot`, the name of a URL parameter) becomes a literal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# What dbt's packages write for NULL, so that keys agree with those that were made there.
_NULL_KEY = "_dbt_utils_surrogate_key_null_"
_MILES = 3961
_KILOMETRES_IN_A_MILE = "1.60934"
_MOST_COLUMNS = 10_000
# Steps of days and longer are dates, shorter ones are moments.
_DATE_PARTS = {"day": "1 day", "week": "1 week", "month": "1 month", "quarter": "3 months",
               "year": "1 year"}  # fmt: skip
_TIME_PARTS = {"hour": "1 hour", "minute": "1 minute", "second": "1 second"}
_BARE_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?)?")


def group_by(n: Any) -> str:
    """`GROUP BY` the first `n` columns."""
    count = _whole(n, "n")
    if not 1 <= count <= _MOST_COLUMNS:
        raise ValueError(f"group_by needs a number of columns, not {count}")
    return f"GROUP BY {', '.join(map(str, range(1, count + 1)))}"


def safe_divide(numerator: Any, denominator: Any) -> str:
    """NULL instead of a division by zero."""
    return f"(({_sql(numerator)}) / NULLIF(({_sql(denominator)}), 0))"


def safe_add(*fields: Any) -> str:
    """A sum in which NULL counts as 0."""
    return _folded("+", fields)


def safe_subtract(*fields: Any) -> str:
    """The first field without the others; NULL counts as 0."""
    return _folded("-", fields)


def generate_surrogate_key(*fields: Any) -> str:
    """The MD5 of the fields, in which NULL differs from every text."""
    cells = [f"COALESCE(CAST({cell} AS VARCHAR), {_literal(_NULL_KEY)})" for cell in _flat(fields)]
    return f"MD5({' || {} || '.format(_literal('-')).join(cells)})"


def pivot(  # noqa: PLR0913, PLR0917 - queries give these by position, as in Bruin
    column: Any,
    values: Iterable[Any],
    alias: bool = True,
    agg: str = "sum",
    cmp: str = "=",
    prefix: str = "",
    suffix: str = "",
    then_value: Any = 1,
    else_value: Any = 0,
    quote_identifiers: bool = True,
    distinct: bool = False,
) -> str:
    """A column for each of `values`: what `then_value` adds up to where `column` is that value."""
    unique = "DISTINCT " if distinct else ""
    cells = []
    for value in _flat((values,)):
        cell = (
            f"{agg}({unique}CASE WHEN {_sql(column)} {cmp} {_literal(value)} "
            f"THEN {_sql(then_value)} ELSE {_sql(else_value)} END)"
        )
        name = f"{prefix}{value}{suffix}"
        if alias:
            cell += f" AS {_quoted(name) if quote_identifiers else slugify(name)}"
        cells.append(cell)
    return ",\n".join(cells)


def haversine_distance(lat1: Any, lon1: Any, lat2: Any, lon2: Any, unit: str = "mi") -> str:
    """The distance between two points on the earth, in miles (`mi`) or kilometres (`km`)."""
    if unit not in {"mi", "km"}:
        raise ValueError(f"haversine_distance knows the units 'mi' and 'km', not '{unit}'")
    radius = f"{_MILES}" if unit == "mi" else f"{_MILES} * {_KILOMETRES_IN_A_MILE}"
    first, second = degrees_to_radians(lat1), degrees_to_radians(lat2)
    height = f"POWER(SIN(RADIANS((({_sql(lat2)}) - ({_sql(lat1)})) / 2.0)), 2)"
    width = f"POWER(SIN(RADIANS((({_sql(lon2)}) - ({_sql(lon1)})) / 2.0)), 2)"
    # Rounding can make it a little more than 1 for opposite points.
    part = f"LEAST(1.0, {height} + COS({first}) * COS({second}) * {width})"
    return f"(2 * {radius} * ASIN(SQRT({part})))"


def degrees_to_radians(degrees: Any) -> str:
    """An angle for SIN and COS."""
    return f"RADIANS({_sql(degrees)})"


def width_bucket(expr: Any, min_value: Any, max_value: Any, num_buckets: Any) -> str:
    """The number of the bucket, of equal ones between two bounds, that a value falls into.

    As in standard SQL: 0 below the first, `num_buckets` + 1 from the upper bound on.
    """
    value, low, high, count = (f"({_sql(x)})" for x in (expr, min_value, max_value, num_buckets))
    return (
        f"(CASE WHEN {value} < {low} THEN 0 WHEN {value} >= {high} THEN {count} + 1 "
        f"ELSE CAST(FLOOR(({value} - {low}) * {count} / ({high} - {low})) AS INTEGER) + 1 END)"
    )


def deduplicate(relation: Any, partition_by: Any, order_by: Any) -> str:
    """A query for the first row, by `order_by`, of each group of rows."""
    keys, order = ", ".join(_flat((partition_by,))), ", ".join(_flat((order_by,)))
    return (
        f"SELECT * FROM (\n  SELECT DISTINCT ON ({keys}) * FROM {_sql(relation)}\n"
        f"  ORDER BY {keys}, {order}\n) AS deduplicated"
    )


def generate_series(upper_bound: Any) -> str:
    """A query for the numbers from 1 to `upper_bound`, in the column `generated_number`."""
    bound = _sql(upper_bound)
    return f"SELECT generated_number FROM generate_series(1, {bound}) AS series(generated_number)"


def date_spine(datepart: str, start_date: Any, end_date: Any) -> str:
    """A query for every `date_{datepart}` from the start up to, and without, the end."""
    part = str(datepart).strip().lower().removesuffix("s")
    if part not in _DATE_PARTS | _TIME_PARTS:
        known = ", ".join(_DATE_PARTS | _TIME_PARTS)
        raise ValueError(f"date_spine knows no '{datepart}'; known: {known}")
    kind = "DATE" if part in _DATE_PARTS else "TIMESTAMP"
    start, end = (
        f"CAST(CAST({_moment(x)} AS {kind}) AS TIMESTAMP)" for x in (start_date, end_date)
    )
    step = (_DATE_PARTS | _TIME_PARTS)[part]
    # The step is taken n times from the start, so that months from the 31st on do not get shorter.
    return (
        f"SELECT CAST(spine.moment AS {kind}) AS date_{part}\n"
        f"FROM (\n  SELECT {start} + n * INTERVAL '{step}' AS moment\n"
        f"  FROM generate_series(0, {_steps(part, start, end)}) AS steps(n)\n) AS spine\n"
        f"WHERE spine.moment < {end}"
    )


def slugify(string: Any) -> str:
    """A text as a name: lower case, with `_` for what stands between words."""
    text = re.sub(r"[^a-z0-9_]+", "", re.sub(r"[ -]+", "_", str(string).lower()))
    return f"_{text}" if text[:1].isdigit() else text


def get_url_host(field: Any) -> str:
    """The host of a URL, such as `www.example.com`."""
    url = f"({_sql(field)})"
    for scheme in ("android-app://", "http://", "https://"):
        url = f"REPLACE({url}, '{scheme}', '')"
    return f"SPLIT_PART(SPLIT_PART({url}, '/', 1), '?', 1)"


def get_url_path(field: Any) -> str:
    """The path of a URL without the slash it begins with; NULL when there is none."""
    url = f"SPLIT_PART(REPLACE(REPLACE(({_sql(field)}), 'http://', ''), 'https://', ''), '?', 1)"
    slash = f"STRPOS({url}, '/')"
    return f"NULLIF(CASE WHEN {slash} > 0 THEN SUBSTR({url}, {slash} + 1) END, '')"


def get_url_parameter(field: Any, url_parameter: Any) -> str:
    """The value of a parameter of a URL; NULL when it is not there."""
    url = f"({_sql(field)})"
    query = f"SPLIT_PART(SUBSTR({url}, STRPOS({url}, '?') + 1), '#', 1)"
    name = _literal(f"&{url_parameter}=")
    return f"NULLIF(SPLIT_PART(SPLIT_PART('&' || {query}, {name}, 2), '&', 1), '')"


def _steps(part: str, start: str, end: str) -> str:
    """How many steps there are at most between two moments."""
    seconds = {"hour": 3600, "minute": 60, "second": 1}.get(part, 86400)
    days = {"week": 7, "month": 28, "quarter": 89, "year": 365}.get(part, 1)
    span = f"EXTRACT(EPOCH FROM ({end} - {start}))"
    return f"CAST(CEIL({span} / {seconds * days}) AS INTEGER)"


def _moment(value: Any) -> str:
    """A date as SQL; one without quotes, as `{{ start_date }}` gives it, is not a subtraction."""
    text = _sql(value)
    return _literal(text) if _BARE_MOMENT.fullmatch(text) else text


def _folded(operator: str, fields: Iterable[Any]) -> str:
    cells = [f"COALESCE({cell}, 0)" for cell in _flat(fields)]
    return f"({f' {operator} '.join(cells)})"


def _flat(fields: Iterable[Any]) -> list[str]:
    """Several SQL texts, given one by one or as a list."""
    found: list[str] = []
    for field in fields:
        found += map(_sql, field) if isinstance(field, list | tuple) else [_sql(field)]
    if not found:
        raise ValueError("at least one field is needed")
    return found


def _sql(value: Any) -> str:
    if value is None or isinstance(value, list | tuple | Mapping):
        raise ValueError(f"a column or an expression is needed, not {str(value)[:60]!r}")
    return str(value).strip()


def _whole(value: Any, name: str) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ValueError(f"{name} must be a whole number, not {str(value)[:60]!r}") from None


def _literal(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


BUILTIN_MACROS: Mapping[str, Callable[..., str]] = {
    macro.__name__: macro
    for macro in (
        group_by, safe_divide, safe_add, safe_subtract, generate_surrogate_key, pivot,
        haversine_distance, degrees_to_radians, width_bucket, deduplicate, generate_series,
        date_spine, slugify, get_url_host, get_url_parameter, get_url_path,
    )
}  # fmt: skip
