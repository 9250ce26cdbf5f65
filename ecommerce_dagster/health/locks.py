"""Locks that runs wait for, and the processes and sessions that hold them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ecommerce_dagster.bruin.model.connections import Connection
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.problems import printable
from ecommerce_dagster.health.connections import PATIENCE, files_of, warehouses_of
from ecommerce_dagster.health.duckdb_file import Holder, state_of
from ecommerce_dagster.health.finding import Finding, Part, Setup, ago
from ecommerce_dagster.orchestration.unfinished_runs import living_runs
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.warehouses.postgres.connect import session

# A session of PostgreSQL that waits so long waits for one that was left open.
_TOO_LONG = 600.0
# The text of a query may hold values, so it is not asked for.
_BLOCKED = """
SELECT
    waiting.pid,
    waiting.application_name,
    extract(epoch FROM clock_timestamp() - waiting.query_start)::float8,
    coalesce(wanted.relation::regclass::text, wanted.locktype),
    blocking.pid,
    holder.application_name,
    holder.state
FROM pg_stat_activity AS waiting
JOIN pg_locks AS wanted ON wanted.pid = waiting.pid AND NOT wanted.granted
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
LEFT JOIN pg_stat_activity AS holder ON holder.pid = blocking.pid
WHERE waiting.datname = current_database()
ORDER BY 3 DESC NULLS LAST
LIMIT 100
"""


def lock_parts(setup: Setup) -> dict[str, Part]:
    """A part for each warehouse that can be locked: a file of DuckDB, a database of PostgreSQL."""
    files = {f"lock {name}": partial(_file, name, path) for name, path in files_of(setup).items()}
    servers = {
        f"lock {connection.name}": partial(_server, connection)
        for connection in warehouses_of(setup, "postgres")
        if connection.name not in setup.at_rest | setup.away
    }
    return {**files, **servers}


def _file(name: str, path: str, setup: Setup) -> Iterator[Finding]:
    state, waits = state_of(path), _is_taken(Path(f"{Path(path).resolve()}.lock"))
    runs = living_runs(setup.instance) if setup.instance is not None else []
    writing = {run.process: run for run in runs if run.process is not None}
    strangers = [holder for holder in state.holders if holder.pid not in writing]
    facts = {"holders": len(state.holders), "strangers": len(strangers), "run_lock": int(waits)}
    if strangers:
        yield Finding("lock", name, "warning", _said(path, strangers), _end(strangers), facts)
        return
    run = next((writing[holder.pid] for holder in state.holders), None)
    if run is not None:
        text = f"{run} has {path} open"
    elif waits:
        text = f"a command of this project has {path}.lock"
    else:
        text = f"no process has {path} open"
    yield Finding("lock", name, "ok", text, facts=facts)


def _said(path: str, strangers: list[Holder]) -> str:
    who = ", ".join(map(str, strangers))
    verb = "writes to" if strangers[0].writes else "reads"
    return f"{who} {verb} {path}: runs wait until it is closed"


def _end(strangers: list[Holder]) -> str:
    pids = " ".join(str(holder.pid) for holder in strangers if holder.pid)
    return f"Close the database there; `kill {pids}` ends it" if pids else "Close it there"


def _is_taken(path: Path) -> bool:
    """Whether a process of this project holds its lock file, which is not made for that."""
    try:
        with path.open() as file:
            # For a moment; who takes the lock looks again at once.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _server(connection: Connection, setup: Setup) -> Iterator[Finding]:
    """Sessions of a database that wait for others. Raises BruinError."""
    with session(connection.postgres(variables_for(connection.path)), PATIENCE) as postgres:
        rows = postgres.execute(_BLOCKED).fetchall()
    facts = {
        "blocked": len({row[0] for row in rows}),
        "longest_seconds": max((_seconds(row) for row in rows), default=0.0),
    }
    if not rows:
        yield Finding("lock", connection.name, "ok", "no session waits for another", facts=facts)
        return
    pid, application, _, what, holder, holding, state = rows[0]
    longest = facts["longest_seconds"]
    more = facts["blocked"] - 1
    yield Finding(
        "lock",
        connection.name,
        "problem" if longest > _TOO_LONG else "warning",
        printable(
            f"session {pid} ({application or 'no name'}) has waited {ago(longest)} for {what}, "
            f"held by session {holder} ({holding or 'no name'}, {state or 'state unknown'})"
            + (f"; {counted(int(more), 'other session')} wait" if more else "")
        ),
        f"Ask whose session {holder} is; `SELECT pg_terminate_backend({holder})` ends it",
        facts,
    )


def _seconds(row: tuple[Any, ...]) -> float:
    """How long a session waits at most; only a superuser sees that of other users' sessions."""
    return float(row[2] or 0.0)
