"""A graph of assets in layers, from left to right: where each box stands, how each line runs.

The layers of a group (raw, stg, mart) stand together in a band, where no group reads one that
reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

_BOX, _ROW, _LANE = 32, 44, 16  # heights: of a box, of its row, of the row of a line that passes
_GAP, _MARGIN = 56, 8
_HEADING = 28  # height of the name of a band
_MOST_BANDS = 8
_LETTER = 7.3  # width of a letter in a box, about
_SWEEPS = 6

# A line over several layers passes each of those between by a lane (upstream, downstream, layer),
# so that it runs between the boxes.
Lane = tuple[str, str, int]
Place = str | Lane


@dataclass(frozen=True)
class Box:
    """An asset in a picture: what stands in it, its upper left corner and its size."""

    name: str
    label: str
    link: str
    x: float
    y: float
    width: float
    height: float = _BOX


@dataclass(frozen=True)
class Line:
    """A curve from an asset to one that reads it, as the path of an SVG."""

    upstream: str
    downstream: str
    path: str


@dataclass(frozen=True)
class Band:
    """The part of a picture that a group has, from top to bottom."""

    name: str
    x: float
    width: float


@dataclass(frozen=True)
class Graph:
    """A picture of `width` times `height` pixels."""

    bands: Sequence[Band]
    boxes: Sequence[Box]
    lines: Sequence[Line]
    width: float
    height: float


def layout(
    parents: Mapping[str, Iterable[str]],
    links: Mapping[str, str],
    groups: Mapping[str, str] | None = None,
) -> Graph:
    """Place every name of `parents` to the right of all that it reads.

    Names come in dependency order. Within a layer they stand near those that they are joined with,
    which leaves few lines crossing. `groups` has the group of each name.
    """
    edges = [
        (upstream, name)
        for name, all_upstream in parents.items()
        for upstream in dict.fromkeys(all_upstream)
        if upstream in parents and upstream != name
    ]
    groups = {name: group for name, group in (groups or {}).items() if name in parents}
    order = _order(groups, edges)
    depth = _depths(parents, groups, order)
    ways = {edge: _way(edge, depth) for edge in edges}
    layers: list[list[Place]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name, number in depth.items():
        layers[number].append(name)
    for (upstream, _), way in ways.items():
        for number, lane in enumerate(way[1:-1], depth[upstream] + 1):
            layers[number].append(lane)
    bands = [groups[next(n for n in layer if isinstance(n, str))] for layer in layers if order]
    return _drawn(_ordered(layers, list(ways.values())), ways, links, bands)


def _order(groups: Mapping[str, str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """The groups, each after all that it reads; none where there is no such order, and where bands
    would say nothing."""
    found: dict[str, set[str]] = {group: set() for group in groups.values()}
    for upstream, downstream in edges:
        if groups and groups[upstream] != groups[downstream]:
            found[groups[downstream]].add(groups[upstream])
    if not 1 < len(found) <= _MOST_BANDS:
        return []
    try:
        return list(TopologicalSorter(found).static_order())
    except CycleError:
        return []


def _depths(
    parents: Mapping[str, Iterable[str]], groups: Mapping[str, str], order: Sequence[str]
) -> dict[str, int]:
    """The layer of each name: the one after the last of those that it reads. With an `order` of the
    groups those of one come after all of the one before."""
    depth: dict[str, int] = {}
    for group in order or [""]:
        first = max(depth.values(), default=-1) + 1
        for name, upstream in parents.items():
            if not order or groups[name] == group:
                depth[name] = max([first, *(depth[p] + 1 for p in upstream if p in depth)])
    return depth


def _way(edge: tuple[str, str], depth: Mapping[str, int]) -> list[Place]:
    upstream, downstream = edge
    between = range(depth[upstream] + 1, depth[downstream])
    return [upstream, *((upstream, downstream, layer) for layer in between), downstream]


def _ordered(layers: list[list[Place]], ways: Iterable[Sequence[Place]]) -> list[list[Place]]:
    """The layers, each sorted by the mean position of its neighbours, there and back."""
    left: dict[Place, list[Place]] = {}
    right: dict[Place, list[Place]] = {}
    for way in ways:
        for one, other in pairwise(way):
            left.setdefault(other, []).append(one)
            right.setdefault(one, []).append(other)
    position = {place: _share(at, layer) for layer in layers for at, place in enumerate(layer)}
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        neighbours = left if forth else right
        for layer in layers if forth else reversed(layers):
            mean = {
                place: sum(position[n] for n in near) / len(near)
                for place in layer
                if (near := neighbours.get(place, [place]))
            }
            layer.sort(key=mean.__getitem__)
            position |= {place: _share(at, layer) for at, place in enumerate(layer)}
    return layers


def _share(at: int, layer: Sequence[Place]) -> float:
    """A position from 0 to 1, so that layers of different lengths compare."""
    return (at + 0.5) / len(layer)


def _drawn(
    layers: Sequence[Sequence[Place]],
    ways: Mapping[tuple[str, str], Sequence[Place]],
    links: Mapping[str, str],
    groups: Sequence[str],
) -> Graph:
    """The picture. `groups` has that of each layer, where there are bands."""
    heading = _HEADING if groups else 0
    heights = [sum(_height(place) for place in layer) for layer in layers]
    tallest = max(heights, default=0)
    boxes: list[Box] = []
    # The left and the right end of each place, and the middle of its height.
    spots: dict[Place, tuple[float, float, float]] = {}
    bands: list[Band] = []
    edge = _GAP / 2 if groups else _MARGIN
    left: float = edge
    for number, (layer, height) in enumerate(zip(layers, heights, strict=True)):
        prefix = f"{groups[number]}." if groups else ""
        labels = {place: place.removeprefix(prefix) for place in layer if isinstance(place, str)}
        width = max(map(len, labels.values())) * _LETTER + 24
        bands = _with_layer(bands, groups[number], left, width) if groups else []
        top = _MARGIN + heading + (tallest - height) / 2
        for place in layer:
            middle = top + _height(place) / 2
            spots[place] = (left, left + width, middle)
            if isinstance(place, str):
                boxes.append(
                    Box(place, labels[place], links[place], left, middle - _BOX / 2, width)
                )
            top += _height(place)
        left += width + _GAP
    lines = [Line(*edge, _path([spots[place] for place in way])) for edge, way in ways.items()]
    width, height = max(left - _GAP, 0) + edge, tallest + heading + 2 * _MARGIN
    return Graph(bands, boxes, lines, width, height)


def _with_layer(bands: Sequence[Band], group: str, left: float, width: float) -> list[Band]:
    """The bands and that of a layer, which may be the last one."""
    layer = Band(group, left - _GAP / 2, width + _GAP)
    if not bands or bands[-1].name != group:
        return [*bands, layer]
    return [*bands[:-1], replace(bands[-1], width=bands[-1].width + layer.width)]


def _height(place: Place) -> int:
    return _ROW if isinstance(place, str) else _LANE


def _path(spots: Sequence[tuple[float, float, float]]) -> str:
    (_, x, y), *others = spots
    path = f"M{x:.0f},{y:.0f}"
    for left, right, middle in others:
        bend = max(24.0, (left - x) / 2)
        path += f" C{x + bend:.0f},{y:.0f} {left - bend:.0f},{middle:.0f} {left:.0f},{middle:.0f}"
        x, y = right, middle
        if (left, right, middle) != spots[-1]:
            path += f" H{right:.0f}"
    return path
