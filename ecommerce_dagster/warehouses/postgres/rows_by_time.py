"""When the rows of a table or a query are, counted by minute, hour or day."""

from __future__ import annotations

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.warehouses.postgres.session import Session, ask

_TELLS_TIMES = 160000  # the version of pg_input_is_valid


def moments_in(
    session: Session,
    rows: str,
    column: str,
    unit: str,
    window: Interval | None = None,
    *,
    is_time: bool,
) -> dict[float, int]:
    """The units of time, in seconds since 1970, that `rows` (SQL that can follow FROM) have in a
    column of times, or of texts, and how many rows are in each: all, or those of a window."""
    moment = quoted(column)
    if not is_time:
        # A key may be text, and not every text is a time. Older servers cannot tell.
        known = session.info.server_version >= _TELLS_TIMES
        valid = f"pg_input_is_valid({moment}::text, 'timestamptz')" if known else "TRUE"
        moment = f"CASE WHEN {valid} THEN CAST({moment} AS timestamptz) END"
    start = f"extract(epoch FROM date_trunc({literal(unit)}, moment))"
    inside = ""
    if window:
        first, end = (literal(at.isoformat()) for at in (window.start, window.end))
        inside = f" AND moment >= {first}::timestamptz AND moment < {end}::timestamptz"
    found = ask(
        session,
        f"SELECT {start}, count(*) FROM (SELECT {moment} AS moment FROM {rows} AS dated) AS rows"
        f" WHERE isfinite(moment){inside} GROUP BY 1",
    )
    return {float(row[0]): int(row[1]) for row in found}
