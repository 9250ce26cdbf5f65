"""The queries of checks that need no threshold, in SQL for any database.

All that is measured of a table is one scan of it: of one whose days are compared, one of the last
90 days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import isfinite
from typing import Any

from ecommerce_dagster.sql.checks import Check
from ecommerce_dagster.sql.column_kinds import ColumnKind
from ecommerce_dagster.sql.column_names import meant
from ecommerce_dagster.sql.comparison import Comparison
from ecommerce_dagster.sql.expected_range import LONGEST
from ecommerce_dagster.sql.identifiers import quoted

EPOCH, DAY = date(1970, 1, 1), timedelta(days=1)
MOST_ROWS = 10_000  # of an answer; there is one for each day


@dataclass(frozen=True)
class MeasuredTable:
    """A table as it stands after FROM, and its columns with their types."""

    sql: str
    columns: Mapping[str, str]

    def measures(self, checks: Sequence[Check], compared: Comparison) -> str:
        """The query for the measures of checks that are compared with the same: the number of rows
        and a cell for each check. Of a table whose days are compared, in a row for each, after the
        day's number since 1970."""
        cells = [f"{self._cell(check, compared)} AS m{n}" for n, check in enumerate(checks)]
        selected = ", ".join(["count(*) AS total", *cells])
        if compared.key is None or compared.days is None:
            return f"SELECT {selected} FROM {self.sql}"
        key, (first, last) = self._moment(compared.key), compared.days
        return (
            f"SELECT {_day(key)} AS day, {selected} FROM {self.sql}\n"
            f"WHERE {key} >= '{first - LONGEST}' AND {key} < '{last + DAY}'\nGROUP BY 1"
        )

    def newest_day(self, compared: Comparison) -> str:
        """The query for the number, since 1970, of the last day before today that has rows."""
        key = self._moment(compared.key or "")
        today = compared.until.date()
        past = f"{key} < '{today}' AND {key} > '-infinity'"
        return f"SELECT {_day(f'max({key})')} AS day FROM {self.sql} WHERE {past}"

    def _cell(self, check: Check, compared: Comparison) -> str:
        name = check.column.name if check.column else compared.time or ""
        column = quoted(self._name(name))
        match check.rule.name:
            case "volume":
                return "count(*)"
            case "null_percent":
                return f"100.0 * (count(*) - count({column})) / nullif(count(*), 0)"
            case "distinct_percent":
                return f"100.0 * count(DISTINCT {column}) / nullif(count({column}), 0)"
            case "freshness":
                moment = self._moment(name)
                past = f"{moment} <= '{compared.until.replace(tzinfo=None)}'"
                return f"extract(epoch FROM max({moment}) FILTER (WHERE {past}))"
        return f"avg(CAST({column} AS DOUBLE PRECISION))"

    def _name(self, name: str) -> str:
        return meant(name, self.columns) or name

    def _moment(self, name: str) -> str:
        """A column of time. Days and instants are taken as they are, so that a database can skip
        what is not asked for."""
        name = self._name(name)
        is_time = _is_time(self.columns.get(name, ""))
        return quoted(name) if is_time else f"CAST({quoted(name)} AS TIMESTAMPTZ)"


def unmeasurable(name: str, kind: ColumnKind) -> str | None:
    """Why an anomaly of a name cannot be had of a column with values of this kind; None when it
    can, or nothing is known of them."""
    if not kind.type:
        return None
    is_time = _is_time(kind.type)
    if name == "average" and (is_time or kind.family in {"text", "boolean"}):
        return "needs numbers"
    if name == "freshness" and not is_time and (kind.is_number or kind.family == "boolean"):
        return "needs a column of time"
    return None


def _is_time(kind: str) -> bool:
    return kind.upper().startswith(("DATE", "TIMESTAMP"))


def _day(moment: str) -> str:
    return f"CAST(floor(extract(epoch FROM {moment}) / 86400) AS BIGINT)"


def values(rows: Iterable[Sequence[Any]], cell: int) -> dict[date, float]:
    """What an answer of days has in one of its cells, by the days that have a value."""
    cells = ((EPOCH + timedelta(days=int(row[0])), number(row[cell])) for row in rows)
    return {day: value for day, value in cells if value is not None}


def number(cell: Any) -> float | None:
    """A cell as a number; None when there is none, as of no rows or of NaN."""
    found = None if cell is None else float(cell)
    return found if found is not None and isfinite(found) else None
