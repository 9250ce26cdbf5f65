"""What changed in a pipeline, what that affects and what has to run: as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.instance import existing_instance
from ecommerce_dagster.cli.workspace import variables_of
from ecommerce_dagster.orchestration.built_definitions import published
from ecommerce_dagster.orchestration.rebuilds import Rebuild, rebuilds_of
from ecommerce_dagster.runtime.plan.checkout import project_at
from ecommerce_dagster.runtime.plan.impact import Comparison, Side, compare

PUBLISHED = "published"
SINCE_BUILT = "the last builds"


@dataclass(frozen=True)
class Plan:
    """The changes `since` something, in words, what they affect, and what has to be built again."""

    project: Project
    since: str
    comparison: Comparison
    rebuilds: Sequence[Rebuild]

    @property
    def changed(self) -> list[str]:
        """The assets of the pipeline that changed, in the order in which they run."""
        names = {change.asset for change in self.comparison.changes}
        return [name for name in self.project.by_name if name in names]

    @property
    def affected(self) -> list[str]:
        """The assets whose tables are not what they were."""
        names = {i.asset for i in self.comparison.impacts if i.verdict != "unaffected"}
        return [name for name in self.project.by_name if name in names]

    @property
    def to_run(self) -> list[str]:
        """The changed assets, and those that they affect."""
        names = {*self.changed, *self.affected}
        return [name for name in self.project.by_name if name in names]

    @property
    def checked_again(self) -> list[str]:
        """The assets of which nothing but checks changed, or what is not in the table either."""
        affected = set(self.affected)
        return [
            change.asset
            for change in self.comparison.changes
            if "check" in change.kinds and change.asset not in affected
        ]


def planned(project: Project, options: Mapping[str, Any]) -> Plan:
    """The plan for a pipeline, with the options of a command: `against`, `variables`, `variant`.
    Raises CommitError."""
    ref = options["against"]
    done: Mapping[str, frozenset[str]] = {}
    variables = variables_of(options["variables"])
    with existing_instance() as instance:
        if ref == PUBLISHED:
            last = published(project, instance)
            old, unknown, done = last.side, last.unknown, last.done
            at: AbstractContextManager[Project | None] = nullcontext(old.project)
            since, absent = SINCE_BUILT, "it was never built"
        else:
            at = project_at(ref, project, variables, options["variant"])
            old, unknown = Side(project), frozenset()
            since, absent = ref, "the asset is new"
        with at as before:
            if ref != PUBLISHED:
                old = Side(before or replace(project, assets=()))
            comparison = compare(old, Side(project), unknown, absent)
        plan = Plan(project, since, comparison, ())
        return replace(plan, rebuilds=rebuilds_of(plan.affected, project, instance, done))
