"""Open incidents: what is broken now, and which findings are new.

The first finding that something failed opens an incident, and the first that it works again ends
it. Nothing in between is news.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Kind = Literal["check", "asset", "run", "freshness"]
# The keys of the first and the last partition.
Partitions = tuple[str, str]


@dataclass(frozen=True)
class Subject:
    """What an incident is about: a `check` (its id) of an asset, an asset that could not be built
    or is older than it may be, or a run that failed without any of these (`name` is its job)."""

    kind: Kind
    name: str
    check: str = ""


@dataclass(frozen=True)
class Finding:
    """What a run, or the clock, found out about a subject at a time, in seconds since 1970.

    `partitions` are those that were built, None for all. `lines` say more than `reason`.
    """

    subject: Subject
    failed: bool
    at: float
    run: str = ""
    partitions: Partitions | None = None
    reason: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Incident:
    """Something that is broken since a time."""

    subject: Subject
    since: float
    run: str = ""
    partitions: Partitions | None = None

    @property
    def id(self) -> str:
        """The same text whenever the same finding opens it."""
        about = self.subject
        return "|".join([about.kind, about.name, about.check, self.run, f"{self.since:.3f}"])


@dataclass(frozen=True)
class News:
    """A finding that opened an incident, or ended it."""

    incident: Incident
    finding: Finding

    @property
    def is_over(self) -> bool:
        return not self.finding.failed

    @property
    def id(self) -> str:
        return f"{'over' if self.is_over else 'open'}|{self.incident.id}"


@dataclass
class Incidents:
    """All that is broken."""

    open: list[Incident] = field(default_factory=list)

    @classmethod
    def read(cls, kept: list[Mapping[str, Any]]) -> Incidents:
        """The inverse of `as_json`."""
        return cls(
            [
                Incident(
                    Subject(**one["subject"]),
                    one["since"],
                    one["run"],
                    tuple(one["partitions"]) if one["partitions"] else None,
                )
                for one in kept
            ]
        )

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(incident) for incident in self.open]

    def take(self, finding: Finding) -> list[News]:
        """Open or end what the finding is about; what is news in it. Incidents that turn out to be
        one are one from then on."""
        about = [one for one in self.open if one.subject == finding.subject]
        if not finding.failed:
            over = [one for one in about if _covers(finding.partitions, one.partitions)]
            self.open = [one for one in self.open if one not in over]
            return [News(one, finding) for one in over]
        same = [one for one in about if _touch(one.partitions, finding.partitions)]
        if same:
            partitions = finding.partitions
            for one in same:
                partitions = _both(partitions, one.partitions)
            wider = replace(same[0], partitions=partitions)
            self.open = [one for one in self.open if one not in same] + [wider]
            return []
        opened = Incident(finding.subject, finding.at, finding.run, finding.partitions)
        self.open.append(opened)
        return [News(opened, finding)]

    def forget(self, known: Collection[Subject]) -> None:
        """End, without news, what the files no longer have."""
        self.open = [one for one in self.open if one.subject in known]


def _covers(done: Partitions | None, broken: Partitions | None) -> bool:
    """Whether all that is broken was built. Keys of times are in the order of these."""
    if done is None:
        return True
    return broken is not None and done[0] <= broken[0] and broken[1] <= done[1]


def _touch(one: Partitions | None, other: Partitions | None) -> bool:
    if one is None or other is None:
        return True
    return one[0] <= other[1] and other[0] <= one[1]


def _both(one: Partitions | None, other: Partitions | None) -> Partitions | None:
    if one is None or other is None:
        return None
    return min(one[0], other[0]), max(one[1], other[1])
