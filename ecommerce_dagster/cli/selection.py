"""Which assets a run is about: names, tags, and Bruin's selectors.

A selector is a list of terms. A space between terms means either, a comma both. A term is a name
(`*` matches any text), `tag:x`, `path:folder`, `file:name.sql` (also `file:name`) or
`fqn:schema.table`, or `state:modified` for what changed since it was published; `2+x` adds two
generations upstream, `x+` everything downstream, `@x` everything downstream and all upstream of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ecommerce_dagster.bruin.graph import Neighbours, reached
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.errors import ConfigurationError

_TERM = re.compile(r"^(?P<at>@)?(?:(?P<upstream>\d*)\+)?(?P<what>.+?)(?:\+(?P<downstream>\d*))?$")


class SelectionError(ConfigurationError):
    """A selection that names nothing."""


@dataclass(frozen=True)
class Selection:
    """What the user asked for. Empty means everything. Without `among` any asset can be meant.
    `modified` finds what changed; it is asked for `state:modified`."""

    assets: Sequence[str] = ()
    tag: str | None = None
    excluded_tags: Sequence[str] = ()
    selector: str | None = None
    downstream: bool = False
    among: Collection[str] | None = None
    modified: Callable[[], Collection[str]] | None = None


def select(project: Project, selection: Selection) -> list[str]:
    """The names of the assets to run, dependencies first. Raises SelectionError when none is."""
    chosen = {asset.name for asset in project.assets}
    if selection.assets:
        chosen = {asset_called(project, text).name for text in selection.assets}
    if selection.selector:
        chosen &= _selected(project, selection.selector, selection.modified)
    if selection.downstream:
        chosen = set(reached(chosen, project.neighbours.downstream))
    if selection.tag is not None:
        chosen &= _tagged(project, selection.tag)
    for tag in selection.excluded_tags:
        chosen -= {asset.name for asset in project.assets if tag in asset.tags}
    if selection.among is not None:
        chosen &= set(selection.among)
    if not chosen:
        raise SelectionError("no asset matches the selection")
    return [asset.name for asset in project.assets if asset.name in chosen]


def asset_called(project: Project, text: str) -> Asset:
    """The asset that a name or the path of its file stands for. Raises SelectionError."""
    if text in project.by_name:
        return project.by_name[text]
    path = Path(text).resolve()
    for asset in project.assets:
        if path in {asset.path.resolve(), asset.body_path.resolve()}:
            return asset
    raise SelectionError(f"there is no asset '{text}'; {did_you_mean(text, project.by_name)}")


def _tagged(project: Project, tag: str) -> set[str]:
    tags = {tag for asset in project.assets for tag in asset.tags}
    if tag not in tags:
        raise SelectionError(f"no assets found with include tag '{tag}'; {did_you_mean(tag, tags)}")
    return {asset.name for asset in project.assets if tag in asset.tags}


_Modified = Callable[[], Collection[str]] | None


def _selected(project: Project, selector: str, modified: _Modified) -> set[str]:
    graph = project.neighbours
    either = [term for term in re.split(r"\s+", re.sub(r"\s*,\s*", ",", selector.strip())) if term]
    return set().union(*(_both(project, graph, term.split(","), modified) for term in either))


def _both(
    project: Project, graph: Neighbours, terms: Iterable[str], modified: _Modified
) -> set[str]:
    sets = [_term(project, graph, term, modified) for term in terms if term]
    return set.intersection(*sets) if sets else set()


def _term(project: Project, graph: Neighbours, text: str, modified: _Modified) -> set[str]:
    found = _TERM.match(text)
    if found is None:
        raise SelectionError(f"'{text}' is not a selector")
    matches = _matcher(found["what"], modified)
    core = {asset.name for asset in project.assets if matches(asset, project)}
    if not core:
        raise SelectionError(
            f"nothing matches '{text}'; {did_you_mean(found['what'], project.by_name)}"
        )
    if found["at"]:
        return set(reached(reached(core, graph.downstream), graph.upstream))
    result = set(core)
    if found["upstream"] is not None:
        result.update(
            reached(core, graph.upstream, int(found["upstream"]) if found["upstream"] else None)
        )
    if found["downstream"] is not None:
        result.update(
            reached(
                core, graph.downstream, int(found["downstream"]) if found["downstream"] else None
            )
        )
    return result


def _matcher(what: str, modified: _Modified) -> Callable[[Asset, Project], bool]:
    method, colon, pattern = what.partition(":")
    if not colon:
        return lambda asset, _: fnmatchcase(asset.name, what)
    match method:
        case "tag":
            return lambda asset, _: any(fnmatchcase(tag, pattern) for tag in asset.tags)
        case "fqn":
            return lambda asset, _: fnmatchcase(asset.name, pattern)
        case "file":
            return lambda asset, _: any(fnmatchcase(n, pattern) for n in _file_names(asset.path))
        case "path":
            return lambda asset, project: _below(asset.path, pattern, project)
        case "state" if pattern == "modified" and modified is not None:
            names = modified()
            return lambda asset, _: asset.name in names
    raise SelectionError(
        f"'{method}:' is not a selector; known: tag:, path:, file:, fqn:, state:modified"
    )


def _file_names(path: Path) -> Iterator[str]:
    """The name of a file with its ending and without: that of orders.asset.yml is orders."""
    yield from (path.name, path.stem)
    yield re.sub(r"\.(asset|task)$", "", path.stem)


def _below(path: Path, pattern: str, project: Project) -> bool:
    """Whether a file is what a path names, or lies in it; paths count from anywhere sensible."""
    roots = {project.directory, project.directory / "assets", project.root, Path.cwd()}
    for root in roots:
        if path.is_relative_to(root):
            relative = path.relative_to(root).as_posix()
            wanted = pattern.strip("/")
            if fnmatchcase(relative, wanted) or relative.startswith(f"{wanted}/"):
                return True
    return False
