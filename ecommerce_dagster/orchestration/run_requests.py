"""Which runs bring a piece of work up to date: its partitions, and everything downstream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key, check_key
from ecommerce_dagster.orchestration.shared_partitions import SharedPartitions
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.run_tags import RANGE_END_TAG, RANGE_START_TAG, RELATIONSHIPS_TAG
from ecommerce_dagster.sql.checks import Check, checks_of


@dataclass
class Work:
    """What is out of date: whole assets, and assets by the partitions of theirs that are."""

    whole: set[str] = field(default_factory=set)
    by_partition: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __bool__(self) -> bool:
        return bool(self.whole or self.by_partition)

    def add(self, other: Work) -> None:
        self.whole |= other.whole
        for partition, names in other.by_partition.items():
            self.by_partition[partition] |= names

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Work:
        """From what `as_json` made."""
        partitions = {key: set(names) for key, names in data["by_partition"].items()}
        return cls(set(data["whole"]), defaultdict(set, partitions))

    def as_json(self) -> dict[str, Any]:
        partitions = {key: sorted(names) for key, names in self.by_partition.items()}
        return {"whole": sorted(self.whole), "by_partition": partitions}


@dataclass(frozen=True)
class Run:
    """One run: its share of the work, the assets that it builds, and its tags. `checks` are asked
    of tables that it does not build."""

    share: Work
    assets: frozenset[str]
    tags: Mapping[str, str]
    checks: tuple[Check, ...] = ()

    @property
    def name(self) -> str:
        """What it is about, for a run key: first and last partition, or nothing."""
        ends = (RANGE_START_TAG, RANGE_END_TAG)
        return ":".join(self.tags[tag] for tag in ends if tag in self.tags)

    def request(
        self, project: Project, run_key: str, instance: dg.DagsterInstance
    ) -> dg.RunRequest:
        """The request to Dagster. Tables that were never built are not checked."""
        built = [project.by_name[name] for name in sorted(self.assets)]
        checks = [check for asset in built for check in checks_of(asset)]
        checks += [
            check
            for check in self.checks
            if instance.get_latest_materialization_event(asset_key(check.asset.name, project))
        ]
        return dg.RunRequest(
            run_key=run_key,
            asset_selection=[asset_key(asset.name, project) for asset in built],
            asset_check_keys=[check_key(check, project) for check in checks],
            tags=dict(self.tags),
        )


def whole_work(shared: SharedPartitions, names: Iterable[str]) -> Work:
    """Assets with all of their partitions."""
    partitioned = shared.assets.intersection(names)
    work = Work(set(names) - partitioned)
    if partitioned and shared.windows is not None:
        for key in shared.windows.get_partition_keys():
            work.by_partition[key] |= partitioned
    return work


def runs_for(project: Project, shared: SharedPartitions, work: Work) -> list[Run]:
    """The runs that do some work, in order: one for each stretch of neighbouring partitions.

    Assets without partitions are in the last one, and in every one when partitioned assets read
    them: an order may belong to a customer who is as new. The last one asks of all partitions
    whether their rows still have what they refer to: it may be gone.
    """
    partitioned = shared.assets
    changed = work.whole.union(*work.by_partition.values())
    others = with_downstream(project, changed) - partitioned
    relations = _relations(project, with_downstream(project, changed))
    shares = _shares(shared.windows, work)
    if not shares:
        # Assets with partitions cannot take part in a run without; their rows did not change.
        checks = tuple(check for check in relations if check.asset.name in partitioned)
        return [Run(work, frozenset(others), {}, checks)] if others else []
    read = {name for name in others if with_downstream(project, {name}) & partitioned}
    runs = []
    for first, last, share in shares:
        assets = with_downstream(project, set().union(*share.by_partition.values())) & partitioned
        is_last = share is shares[-1][2]
        assets |= others if is_last else read
        tags = {RANGE_START_TAG: first, RANGE_END_TAG: last}
        tags[RELATIONSHIPS_TAG] = "all" if is_last else "written"
        checks = tuple(c for c in relations if is_last and c.asset.name not in assets)
        runs.append(Run(share, frozenset(assets), tags, checks))
    return runs


def _relations(project: Project, names: Iterable[str]) -> list[Check]:
    """The checks of some assets that refer to another table."""
    return [
        check
        for name in sorted(names)
        for check in checks_of(project.by_name[name])
        if check.column is not None and check.rule.name == "relationships"
    ]


def with_downstream(project: Project, names: Iterable[str]) -> set[str]:
    """The assets and all that are made of them, without those that cannot run here."""
    found = set(names)
    for asset in project.assets:  # dependencies come first
        if any(dependency.asset in found for dependency in asset.depends):
            found.add(asset.name)
    return {name for name in found if unsupported(project, project.by_name[name]) is None}


def _shares(
    partitions: dg.TimeWindowPartitionsDefinition | None, work: Work
) -> list[tuple[str, str, Work]]:
    """First and last key of each stretch of neighbouring partitions, and its share of the work.

    What has no partitions is the last one's.
    """
    if partitions is None or not work.by_partition:
        return []
    windows = {key: partitions.time_window_for_partition_key(key) for key in work.by_partition}
    shares: list[tuple[str, str, Work]] = []
    for key in sorted(windows, key=lambda key: windows[key].start):
        names = {key: work.by_partition[key]}
        if shares and windows[shares[-1][1]].end == windows[key].start:
            first, _, share = shares[-1]
            share.by_partition |= names
            shares[-1] = (first, key, share)
        else:
            shares.append((key, key, Work(by_partition=defaultdict(set, names))))
    shares[-1][2].whole |= work.whole
    return shares
