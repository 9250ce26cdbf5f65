"""What one tick of the sensor sees in a source: which partitions and tables are out of date.

A source that cannot be read keeps no other one from being followed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import dagster as dg

from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.orchestration.partition_loads import Loads, loads_since
from ecommerce_dagster.orchestration.partitions import (
    unit_of,
    whole_range,
)
from ecommerce_dagster.orchestration.run_requests import Work, with_downstream
from ecommerce_dagster.orchestration.sensor_cursor import Cursor, Seen
from ecommerce_dagster.orchestration.watched_assets import Watched
from ecommerce_dagster.sources.postgres.changes import (
    Fingerprints,
    Table,
    changed_periods,
    fingerprints,
    is_altered,
    question,
    read_tables,
    rows_in,
    watching,
)
from ecommerce_dagster.sources.postgres.describe import Source
from ecommerce_dagster.sources.postgres.source_history import (
    Session,
    broken_by,
    read_history,
)
from ecommerce_dagster.warehouses.postgres.connect import SourceError

# Sources that nothing tells changes of are read every so many seconds; more seldom when that would
# take more than one hundredth of the time.
SECONDS_BETWEEN_LOOKS = 300
_SHARE = 100
# The longest that a question and all questions may take, in seconds. Dagster ends a tick after 60.
_QUESTION_SECONDS, _LOOK_SECONDS = 30.0, 45.0


@dataclass
class Look:
    """A look at the sources of a connection, and what it found.

    `windows` are the partitions that assets share. `cursor` is what the last look left, and becomes
    what this one leaves. `work` is what is out of date; `is_new` says whether rows were read;
    `errors` tell, by asset, why a source could not be; `late` are those that there was no time for,
    `resting` those that are read more seldom; `broken` why nothing that was seen before counts.
    """

    windows: dg.TimeWindowPartitionsDefinition | None
    connection: PostgresConnection
    instance: dg.DagsterInstance
    cursor: Cursor
    work: Work = field(default_factory=Work)
    is_new: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    resting: list[str] = field(default_factory=list)
    broken: str | None = None
    loads: Mapping[str, Loads] = field(default_factory=dict)

    def follow(self) -> None:
        """Only see whether the database is still the same. Raises SourceError."""
        before = self.cursor.history
        with watching(self.connection) as postgres, question(postgres, _QUESTION_SECONDS):
            now, control = read_history(postgres, before)
        # What breaks is dealt with by the next look.
        if before is None or broken_by(before, now, control) is None:
            self.cursor.history = now

    def at(self, watched: Sequence[Watched]) -> None:
        """Look at all sources. Raises SourceError when the database cannot be asked."""
        end = time.monotonic() + _LOOK_SECONDS
        sources = {w.name: Source(self.connection, w.source_table) for w in watched}
        with watching(self.connection) as postgres:
            with question(postgres, _QUESTION_SECONDS):
                now, control = read_history(postgres, self.cursor.history)
                # Before any rows are read.
                tables = read_tables(postgres, sources)
            before = self.cursor.history
            self.broken = broken_by(before, now, control) if before else None
            if self.broken:
                self.cursor = Cursor()
            self.cursor.history = now
            self.loads = loads_since(self.instance, watched, self.cursor.loads)
            for each in self._to_be_read(watched, tables):
                left = end - time.monotonic()
                if left < 1:
                    self.late.append(each.name)
                else:
                    self._read(postgres, each, tables.get(each.name), left)
            # Those of the others are compared when their rows are read.
            for name in {*self.loads} - {*self.errors, *self.late, *self.resting}:
                self.cursor.loads[name] = self.loads[name].last

    def _to_be_read(self, watched: Sequence[Watched], tables: Mapping[str, Table]) -> list[Watched]:
        """The sources whose rows are to be read, those first that were not for the longest."""
        seen, chosen = self.cursor.seen, []
        for each in watched:
            if self._is_moved(each.name, tables.get(each.name)):
                chosen.append(each)
            elif tables[each.name].counters is None:
                self.resting.append(each.name)
        return sorted(chosen, key=lambda each: seen[each.name].at if each.name in seen else 0.0)

    def _is_moved(self, name: str, table: Table | None) -> bool:
        """Whether the rows of a source may have changed, by what is cheap to ask."""
        cursor, now = self.cursor, time.time()
        seen = cursor.seen.get(name)
        if seen is None or table is None or name in cursor.troubles:
            return True
        if table.counters is not None and self._unlike(name, seen):
            return True
        begins_earlier = self._range[0] < seen.first
        is_due = begins_earlier or (seen.due is not None and now >= seen.due)
        if is_due or table.counters != cursor.counters.get(name):
            return True
        rest = max(SECONDS_BETWEEN_LOOKS, _SHARE * seen.took)
        return table.counters is None and now >= seen.at + rest

    def _read(self, postgres: Session, each: Watched, table: Table | None, left: float) -> None:
        """Read the rows of a source, and see what is out of date."""
        name, cursor, at, began = each.name, self.cursor, time.time(), time.monotonic()
        try:
            if table is None:
                raise SourceError(f"{each.source_table} does not exist")
            with question(postgres, min(left, _QUESTION_SECONDS)):
                source = Source(self.connection, each.source_table)
                unit = unit_of(self.windows) if self.windows else "day"
                found = fingerprints(postgres, source, table, each.key, unit)
        except SourceError as error:
            self.errors[name] = " ".join(str(error).split())
            cursor.troubles[name] = cursor.troubles.get(name, 0) + 1
            return
        seen = self._seen(each, found)
        seen.at, seen.took = at, time.monotonic() - began
        seen.columns = table.columns if table.has_numbers else {}
        self._note_changes(each, cursor.seen.get(name), seen)
        cursor.seen[name] = seen
        cursor.troubles.pop(name, None)
        cursor.counters.pop(name, None)
        if table.counters is not None:
            cursor.counters[name] = table.counters
        self.is_new = True

    def _seen(self, each: Watched, found: Fingerprints) -> Seen:
        """What is to be remembered of a source: the rows in partitions, and how many are in none.

        What is before the first partition is none of ours, what is after the current one not yet.
        """
        inside: Fingerprints = {
            at: mark for at, mark in found.items() if at is not None and self._has(each, at)
        }
        others = {at: mark for at, mark in found.items() if at not in inside}
        later = [at for at in others if at is not None and at >= self._range[1]]
        return Seen(
            each.made_for,
            inside,
            sum(map(rows_in, others.values())),
            self._range[0] if each.key else 0.0,
            min(later, default=None),
        )

    def _note_changes(self, each: Watched, before: Seen | None, now: Seen) -> None:
        """Add to the work what of an asset is out of date.

        Of a source that was not seen before these are all periods that have rows in it.
        """
        old = before.fingerprints if before else {}
        loads = self.loads[each.name].rows if each.name in self.loads else {}
        if before:
            now.unlike = {k: n for k, n in before.unlike.items() if loads.get(k, n) == n}
        changed = changed_periods(old, now.fingerprints)
        if before and before.columns and is_altered(before.columns, now.columns):
            changed |= {at for at in now.fingerprints if at is not None}
        if each.key is None:
            if changed:
                self.work.whole.add(each.name)
            return
        partitions = self.windows
        assert partitions is not None
        # Partitions may begin later than they did.
        inside = [at for at in changed if self._has(each, at)]
        keys = {partitions.get_partition_key_for_timestamp(at) for at in inside}
        keys |= self._unseen(each, before, found=bool(keys))
        for partition in keys:
            self.work.by_partition[partition].add(each.name)
        # What a load saw beside rows that stayed as they are came and went between two looks.
        for partition, rows in self._unlike(each.name, now).items():
            self.work.by_partition[partition].add(each.name)
            now.unlike[partition] = rows

    def _unseen(self, each: Watched, before: Seen | None, *, found: bool) -> set[str]:
        """The partitions in which the table may have rows that no look has seen in the source.

        When some were filled before the first look, here or downstream, these are all; when the
        first partition begins earlier than at the last look, those that came, which a run without
        dates may have filled. At a first look that has `found` no partition it is the current one,
        so that the table exists for what reads it.
        """
        partitions, (first, end) = self.windows, self._range
        assert partitions is not None
        if before is not None and first >= min(before.first, end):
            return set()
        every = partitions.get_partition_keys()
        if before is not None:
            last = partitions.get_partition_key_for_timestamp(min(before.first, end) - 1)
            return {*every[: every.index(last) + 1]}
        if self._was_filled(each):
            return {*every}
        return set() if found else {*every[-1:]}

    def _was_filled(self, each: Watched) -> bool:
        """Whether partitions of an asset, or of one downstream, were filled: it may have had
        another name."""
        names = with_downstream(each.project, {each.name})
        keys = [asset_key(name, each.project) for name in names]
        return any(map(self.instance.get_materialized_partitions, keys))

    def _unlike(self, name: str, seen: Seen) -> dict[str, int]:
        """The partitions in which loads since the last look have left another number of rows than
        the source has, and that number.

        Rows that are in the source at two looks were there all the time between, so that a load
        saw them, and any others are in its number.
        """
        loads, partitions = self.loads.get(name), self.windows
        if loads is None or partitions is None:
            return {}
        known = {key: n for key, n in loads.rows.items() if partitions.has_partition_key(key)}
        if not known:
            return {}
        wanted: Counter[str] = Counter()
        for at, mark in seen.fingerprints.items():
            if at is not None:
                wanted[partitions.get_partition_key_for_timestamp(at)] += rows_in(mark)
        return {
            key: n for key, n in known.items() if n != wanted[key] and n != seen.unlike.get(key)
        }

    def _has(self, each: Watched, at: int) -> bool:
        """Whether a period of a source is of a partition."""
        first, end = self._range
        return each.key is None or first <= at < end

    @cached_property
    def _range(self) -> tuple[float, float]:
        """From the first partition to the end of the current one, in seconds since 1970."""
        if self.windows is None:
            return 0.0, 0.0
        whole = whole_range(self.windows)
        return whole.start.timestamp(), whole.end.timestamp()
