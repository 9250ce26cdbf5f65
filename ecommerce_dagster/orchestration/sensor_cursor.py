"""What the sensor on a source remembers from tick to tick.

Dagster writes the cursor down at every tick, so it is small: what Postgres counted, and the runs
that have not succeeded. What each period's rows looked like is kept aside, in one of two places by
turns: a tick that is not finished, or was only a preview, leaves the other one as it is.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from ecommerce_dagster.ingestion.changes import Counters, Marks
from ecommerce_dagster.orchestration.run_requests import Work


@dataclass
class Asked:
    """A run that was requested: its work, and how often that has failed before."""

    work: Work
    failures: int = 0


@dataclass
class Cursor:
    """`source` names the database and the environment that the rest is about."""

    source: str
    counters: dict[str, Counters] = field(default_factory=dict)
    marks: dict[str, Marks] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    place: int = 0

    @classmethod
    def read(cls, text: str | None, source: str, instance: dg.DagsterInstance) -> Cursor:
        """The cursor of the last tick; a new one when there is none that can be read, or when it is
        about another source: everything then counts as changed."""
        try:
            data = json.loads(text or "{}")
            cursor = cls(
                data["source"],
                {table: Counters(*numbers) for table, numbers in data["counters"].items()},
                {},
                {
                    key: Asked(Work.read(asked["work"]), asked["failures"])
                    for key, asked in data["asked"].items()
                },
                data["id"],
                data["place"],
            )
            key = cursor._key
            kept = json.loads(instance.daemon_cursor_storage.get_cursor_values({key})[key])
            cursor.marks = {name: _read_marks(marks) for name, marks in kept.items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls(source)
        return cursor if cursor.source == source else cls(source)

    def write(self, instance: dg.DagsterInstance) -> str:
        """Keep everything; the text for Dagster."""
        self.place = 1 - self.place
        kept = {
            name: {str(int(at.timestamp())): mark for at, mark in marks.items()}
            for name, marks in self.marks.items()
        }
        instance.daemon_cursor_storage.set_cursor_values({self._key: json.dumps(kept)})
        return self.text()

    def text(self) -> str:
        """The text for Dagster when no period has changed since the last `write`."""
        data = {
            "source": self.source,
            "counters": self.counters,
            "asked": {
                key: {"work": asked.work.as_json(), "failures": asked.failures}
                for key, asked in self.asked.items()
            },
            "id": self.id,
            "place": self.place,
        }
        return json.dumps(data, separators=(",", ":"))

    @property
    def _key(self) -> str:
        return f"bruin/changes/{self.id}/{self.place}"


def _read_marks(kept: Mapping[str, Any]) -> Marks:
    return {datetime.fromtimestamp(int(at), UTC): str(mark) for at, mark in kept.items()}
