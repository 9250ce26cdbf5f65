"""`ecommerce run --tried`: tables that `ecommerce try --keep` made are published as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ecommerce_dagster import local
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.errors import tell
from ecommerce_dagster.cli.selection import SelectionError
from ecommerce_dagster.cli.without_copies import unseen, without_copies
from ecommerce_dagster.runtime.existing_tables import fingerprints
from ecommerce_dagster.runtime.kept_tables import reasons_to_build
from ecommerce_dagster.runtime.try_tables import last_kept


@dataclass
class Taken:
    """The project with the tables that are taken; they are dropped when they `are_published`."""

    project: Project
    are_published: bool = False


@contextmanager
def as_tried(project: Project, selected: Sequence[str], wanted: bool) -> Iterator[Taken]:
    """The project of a run: with the tables that were tried, if that is `wanted`. Says which are
    taken, and why others are not. Raises SelectionError when none was kept."""
    if not wanted:
        yield Taken(project)
        return
    with last_kept(local.state_dir() / "try", project) as left:
        if left is None or left.kept is None:
            raise SelectionError("no tables were kept; make some with `ecommerce try --keep`")
        kept = left.kept
        with without_copies():
            reasons = reasons_to_build(
                project, kept, selected, lambda names: fingerprints(project, names, tell)
            )
        tables = {
            name: kept.table(name)
            for name, reason in reasons.items()
            if not reason and project.by_name[name].materialization.type == "table"
        }
        if tables:
            tell(f"published as tried: {', '.join(tables)}")
        for name, reason in reasons.items():
            if reason:
                tell(f"built anew: {name}: {reason}")
        if others := [name for name in selected if name not in reasons]:
            tell(f"not tried: {', '.join(others)}")
        taken = Taken(replace(project, tried=tables))
        yield taken
        if taken.are_published and tables:
            with unseen(project, left.connections):
                left.drop(project, tell)
            left.kept = None
