"""Which assets a run is about: names, tags, and Bruin's selectors.

A selector is a list of terms. A space between terms means either, a comma both. A term is a name
(`*` matches any text), `tag:x`, `path:folder`, `file:name.sql` or `fqn:schema.table`; `2+x` adds
two generations above it, `x+` everything below, `@x` everything below and all above those.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.bruin.project import Project

_TERM = re.compile(r"^(?P<at>@)?(?:(?P<above>\d*)\+)?(?P<what>.+?)(?:\+(?P<below>\d*))?$")


class SelectionError(Exception):
    """A selection that names nothing."""


@dataclass(frozen=True)
class Selection:
    """What the user asked for. Empty means everything."""

    assets: Sequence[str] = ()
    tag: str | None = None
    excluded_tags: Sequence[str] = ()
    selector: str | None = None
    downstream: bool = False


@dataclass(frozen=True)
class _Graph:
    above: Mapping[str, Collection[str]]
    below: Mapping[str, Collection[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, project: Project) -> _Graph:
        above = {
            asset.name: [d.asset for d in asset.depends if d.asset in project.by_name]
            for asset in project.assets
        }
        below: dict[str, list[str]] = {name: [] for name in above}
        for name, parents in above.items():
            for parent in parents:
                below[parent].append(name)
        return cls(above, below)


def select(project: Project, selection: Selection) -> list[str]:
    """The names of the assets to run, dependencies first. Raises SelectionError when none is."""
    chosen = {asset.name for asset in project.assets}
    if selection.assets:
        chosen = {asset_called(project, text).name for text in selection.assets}
    if selection.selector:
        chosen &= _selected(project, selection.selector)
    if selection.downstream:
        chosen = _reached(chosen, _Graph.of(project).below, None)
    if selection.tag is not None:
        chosen &= _tagged(project, selection.tag)
    for tag in selection.excluded_tags:
        chosen -= {asset.name for asset in project.assets if tag in asset.tags}
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


def _selected(project: Project, selector: str) -> set[str]:
    graph = _Graph.of(project)
    either = [term for term in re.split(r"\s+", re.sub(r"\s*,\s*", ",", selector.strip())) if term]
    return set().union(*(_both(project, graph, term.split(",")) for term in either))


def _both(project: Project, graph: _Graph, terms: Iterable[str]) -> set[str]:
    sets = [_term(project, graph, term) for term in terms if term]
    return set.intersection(*sets) if sets else set()


def _term(project: Project, graph: _Graph, text: str) -> set[str]:
    found = _TERM.match(text)
    if found is None:
        raise SelectionError(f"'{text}' is no selector")
    matches = _matcher(found["what"])
    core = {asset.name for asset in project.assets if matches(asset, project)}
    if not core:
        raise SelectionError(
            f"nothing matches '{text}'; {did_you_mean(found['what'], project.by_name)}"
        )
    if found["at"]:
        return _reached(_reached(core, graph.below, None), graph.above, None)
    result = set(core)
    if found["above"] is not None:
        result |= _reached(core, graph.above, int(found["above"]) if found["above"] else None)
    if found["below"] is not None:
        result |= _reached(core, graph.below, int(found["below"]) if found["below"] else None)
    return result


def _matcher(what: str) -> Callable[[Asset, Project], bool]:
    method, colon, pattern = what.partition(":")
    if not colon:
        return lambda asset, _: fnmatchcase(asset.name, what)
    match method:
        case "tag":
            return lambda asset, _: any(fnmatchcase(tag, pattern) for tag in asset.tags)
        case "fqn":
            return lambda asset, _: fnmatchcase(asset.name, pattern)
        case "file":
            return lambda asset, _: fnmatchcase(asset.path.name, pattern)
        case "path":
            return lambda asset, project: _below(asset.path, pattern, project)
    raise SelectionError(f"'{method}:' is no selector; known: tag:, path:, file:, fqn:")


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


def _reached(
    start: Collection[str], edges: Mapping[str, Collection[str]], generations: int | None
) -> set[str]:
    """`start` and all that can be reached from it in at most so many steps."""
    seen = dict.fromkeys(start, 0)
    queue = deque(start)
    while queue:
        name = queue.popleft()
        if generations is not None and seen[name] >= generations:
            continue
        for other in edges.get(name, ()):
            if other not in seen:
                seen[other] = seen[name] + 1
                queue.append(other)
    return set(seen)
