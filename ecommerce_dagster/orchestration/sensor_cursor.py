"""What the sensor on a source remembers from tick to tick.

Dagster writes the cursor down at every tick, so it is small: what Postgres counted, and the runs
that have not succeeded. What was seen of each source is kept aside, in one of two places by turns:
a tick that is not finished, or was only a preview, leaves the other one as it is.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.run_requests import Work
from ecommerce_dagster.orchestration.shared_partitions import SharedPartitions
from ecommerce_dagster.orchestration.watched_assets import Watched
from ecommerce_dagster.sources.postgres.changes import Columns, Counters, Fingerprints
from ecommerce_dagster.sources.postgres.source_history import History


@dataclass
class Asked:
    """A run that was requested: its work, how often that has failed before, and what the files
    said. `lasts` tells whether it failed so that it would fail again; None as long as that is not
    known."""

    work: Work
    failures: int = 0
    files: str = ""
    lasts: bool | None = None

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Asked:
        """From what `as_json` made."""
        return cls(**{**kept, "work": Work.read(kept["work"])})

    def as_json(self) -> dict[str, Any]:
        return {**self.__dict__, "work": self.work.as_json()}


@dataclass
class Seen:
    """What a look at a source found: the fingerprints of its rows, by period.

    `made_for` tells what of the files that depends on. `outside` is the number of rows in no
    partition, `first` when the first partition began, and `due` when the first of later rows gets
    one. `unlike` are partitions that were asked for since a load left another number of rows in
    them, and that number: to load them once more would not change it. Times are in seconds since
    1970: `at` is when the look began, `took` how long it was.
    """

    made_for: str
    fingerprints: Fingerprints
    outside: int = 0
    first: float = 0.0
    due: int | None = None
    unlike: dict[str, int] = field(default_factory=dict)
    columns: Columns = field(default_factory=dict)
    at: float = 0.0
    took: float = 0.0

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Seen:
        """From what `as_json` made."""
        found: Fingerprints = {int(at): str(mark) for at, mark in kept["fingerprints"].items()}
        return cls(**{**kept, "fingerprints": found})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Cursor:
    """`counters`, `loads` and `seen` are by asset. `loads` tells the last event of a load that was
    compared with what was seen; `troubles` counts the ticks in a row in which a source could not be
    read; `number` the ticks that wrote something down; `built` are the assets that the sensor lets
    be built, None before the first look."""

    history: History | None = None
    counters: dict[str, Counters] = field(default_factory=dict)
    loads: dict[str, int] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    number: int = 0
    built: list[str] | None = None

    @classmethod
    def read(cls, text: str | None, instance: dg.DagsterInstance) -> Cursor:
        """The cursor of the last tick; a new one when there is none that can be read: everything
        then counts as changed."""
        try:
            data = json.loads(text or "{}")
            cursor = cls(
                History(*data["history"]) if data["history"] else None,
                {name: Counters(*numbers) for name, numbers in data["counters"].items()},
                data["loads"],
                {},
                {key: Asked.read(asked) for key, asked in data["asked"].items()},
                data["troubles"],
                data["id"],
                data["number"],
            )
            if cursor.number:
                key = cursor._key
                kept = json.loads(instance.daemon_cursor_storage.get_cursor_values({key})[key])
                cursor.seen = {name: Seen.read(seen) for name, seen in kept["seen"].items()}
                cursor.built = kept["built"]
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()
        return cursor

    def write(self, instance: dg.DagsterInstance) -> str:
        """Keep everything; the text for Dagster."""
        self.number += 1
        seen = {name: seen.as_json() for name, seen in self.seen.items()}
        kept = {"seen": seen, "built": self.built}
        instance.daemon_cursor_storage.set_cursor_values({self._key: json.dumps(kept)})
        return self.text()

    def text(self) -> str:
        """The text for Dagster when nothing else was seen since the last `write`."""
        data = {
            "history": self.history,
            "counters": self.counters,
            "loads": self.loads,
            "asked": {key: asked.as_json() for key, asked in self.asked.items()},
            "troubles": self.troubles,
            "id": self.id,
            "number": self.number,
        }
        return json.dumps(data, separators=(",", ":"))

    def fit(
        self, project: Project, shared: SharedPartitions, watched: Sequence[Watched]
    ) -> list[str]:
        """Forget what the files no longer agree with. What was forgotten, in sentences."""
        made_for = {each.name: each.made_for for each in watched}
        told = []
        for name, seen in list(self.seen.items()):
            if name not in made_for:
                told.append(f"{name} is no longer loaded from here, and is forgotten")
                self.forget(name)
            elif seen.made_for != made_for[name]:
                told.append(
                    f"the file of {name}, the schedule or the place of its table has changed: all "
                    "of its rows count as changed"
                )
                self.forget(name)
        for name in {*self.counters, *self.loads, *self.troubles} - {*made_for, CONNECTION}:
            self.forget(name)
        lost = sum(_fitted(asked.work, project, shared) for asked in self.asked.values())
        if lost:
            told.append("failed runs are not tried again for partitions and assets that are gone")
        self.asked = {key: asked for key, asked in self.asked.items() if asked.work}
        return told

    def forget(self, name: str) -> None:
        """Forget what was seen of the source of an asset."""
        for kept in (self.seen, self.counters, self.loads, self.troubles):
            kept.pop(name, None)

    @property
    def _key(self) -> str:
        return f"bruin/changes/{self.id}/{self.number % 2}"


CONNECTION = ""  # what stands for the connection itself among the troubles


def _fitted(work: Work, project: Project, shared: SharedPartitions) -> bool:
    """Take from some work what can no longer be asked for; whether there was any."""
    partitions, partitioned = shared.windows, {*shared.assets} & {*project.by_name}
    before = work.as_json()
    work.whole &= {*project.by_name} - partitioned
    for key in list(work.by_partition):
        work.by_partition[key] &= partitioned
        known = partitions is not None and partitions.has_partition_key(key)
        if not known or not work.by_partition[key]:
            del work.by_partition[key]
    return work.as_json() != before
