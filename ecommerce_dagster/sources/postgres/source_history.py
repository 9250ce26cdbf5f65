"""Whether a database is still the one that was seen before, with all that was written since.

The numbers of transactions mean something within one history only. A server that is put back to a
backup, a standby that is promoted without the last transactions, or a new server that was loaded by
the same script gives the same numbers to other rows.

While a server runs, its history goes on. After a start that has to be proved: its control file
tells where the write-ahead log (WAL) ended when it stopped, and when that was.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import psycopg

# How long before a stop the server must have been seen for the proof to hold, in seconds. A backup
# that is restored, written to and stopped again takes longer than that.
_LONGEST_GAP = 60.0

Session = psycopg.Connection[tuple[object, ...]]


class Control(NamedTuple):
    """What the control file of a server tells. `stopped_at` is the WAL position (bytes) at its last
    stop and `stopped` when that was (seconds since 1970), as long as nothing newer stands there."""

    system: str
    timeline: int
    stopped_at: int | None
    stopped: float


class History(NamedTuple):
    """What identifies the history of a database.

    `started` tells when the server started, or began its statistics anew after a crash; `position`
    is the WAL position in bytes, 0 where the server does not tell it; `seen` the time by its clock.
    """

    database: int
    started: str
    is_standby: bool
    position: int
    next_transaction: int
    seen: float
    system: str | None = None
    timeline: int | None = None


def read_history(postgres: Session, before: History | None) -> tuple[History, Control | None]:
    """The history now. The control file is asked when something about the server is new."""
    try:
        with postgres.transaction():
            row = postgres.execute(_HISTORY.format(position=_POSITION).encode()).fetchone()
    except (psycopg.errors.InsufficientPrivilege, psycopg.NotSupportedError):
        row = postgres.execute(_HISTORY.format(position="0").encode()).fetchone()
    assert row is not None
    database, started, is_standby, position, next_transaction, seen = map(str, row)
    now = History(
        int(database),
        started,
        is_standby == "True",
        int(position),
        int(next_transaction),
        float(seen),
    )
    if before is not None and now[:3] == before[:3]:
        return now._replace(system=before.system, timeline=before.timeline), None
    control = _control_of(postgres)
    if control is None:
        return now, None
    return now._replace(system=control.system, timeline=control.timeline), control


def broken_by(before: History, now: History, control: Control | None) -> str | None:
    """Why what was seen before says nothing about the database now; None when it does."""
    if now.database != before.database:
        return "it is another database"
    if now.position < before.position or now.next_transaction < before.next_transaction:
        return "it is behind what was seen before, as after the restore of a backup"
    if now.started == before.started:
        return None
    if before.system is None or control is None:
        return "the server was started, and does not tell whether it is the one that was seen"
    if control.system != before.system:
        return "it is another server"
    if now.is_standby or before.is_standby:
        return "the standby was started, and cannot tell whether it is the one that was seen"
    if control.timeline != before.timeline:
        return "the server is on another timeline, as after a failover"
    if control.stopped_at is None or control.stopped - before.seen > _LONGEST_GAP:
        return "the server was started, and how it stopped was not recorded"
    if control.stopped_at < before.position:
        return "the server was put back to a time before it was seen"
    return None


def _control_of(postgres: Session) -> Control | None:
    """What the control file tells; None when it may not be asked."""
    with suppress(psycopg.Error), postgres.transaction():
        row = postgres.execute(_CONTROL).fetchone()
        if row is not None:
            system, timeline, stopped_at, stopped = row
            position = None if stopped_at is None else int(str(stopped_at))
            return Control(str(system), int(str(timeline)), position, float(str(stopped)))
    return None


_POSITION = (
    "coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
    " ELSE pg_current_wal_insert_lsn() END - '0/0', 0)"
)
# A reset of the statistics of the whole server follows a crash, which may have lost transactions.
_HISTORY = """
SELECT
    (SELECT oid FROM pg_database WHERE datname = current_database()),
    concat_ws(
        ' ',
        extract(epoch FROM pg_postmaster_start_time()),
        (SELECT extract(epoch FROM stats_reset) FROM pg_stat_bgwriter)
    ),
    pg_is_in_recovery(),
    {position},
    txid_snapshot_xmax(txid_current_snapshot()),
    extract(epoch FROM clock_timestamp())
"""
# Only the checkpoints of a stop, or of a recovery's end, begin where they are written down; below
# the WAL level `replica` others may do so too.
_CONTROL = """
SELECT
    system_identifier,
    timeline_id,
    CASE
        WHEN redo_lsn = checkpoint_lsn AND current_setting('wal_level') <> 'minimal'
        THEN checkpoint_lsn - '0/0'
    END,
    extract(epoch FROM checkpoint_time)
FROM pg_control_system(), pg_control_checkpoint()
"""
