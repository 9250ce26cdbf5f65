"""A graph of assets in layers, from left to right: where each box stands, how each line runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_BOX, _ROW, _LANE = 32, 44, 16  # heights: of a box, of its row, of the row of a line that passes
_GAP, _MARGIN = 70, 8
_LETTER = 7.3  # width of a letter in a box, about
_SWEEPS = 6

# A line over several layers passes each of those between by a lane (above, below, layer), so that
# it runs between the boxes.
Lane = tuple[str, str, int]
Place = str | Lane


@dataclass(frozen=True)
class Box:
    """An asset in a picture; its upper left corner and its size."""

    name: str
    link: str
    x: float
    y: float
    width: float
    height: float = _BOX


@dataclass(frozen=True)
class Line:
    """A curve from an asset to one that reads it, as the path of an SVG."""

    above: str
    below: str
    path: str


@dataclass(frozen=True)
class Graph:
    """A picture of `width` times `height` pixels."""

    boxes: Sequence[Box]
    lines: Sequence[Line]
    width: float
    height: float


def layout(parents: Mapping[str, Iterable[str]], links: Mapping[str, str]) -> Graph:
    """Place every name of `parents` to the right of all that it reads.

    Names come in dependency order. Within a layer they stand near those that they are joined with,
    which leaves few lines crossing.
    """
    edges = [
        (above, name)
        for name, all_above in parents.items()
        for above in dict.fromkeys(all_above)
        if above in parents and above != name
    ]
    depth = _depths(parents)
    ways = {edge: _way(edge, depth) for edge in edges}
    layers: list[list[Place]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name, number in depth.items():
        layers[number].append(name)
    for (above, _), way in ways.items():
        for number, lane in enumerate(way[1:-1], depth[above] + 1):
            layers[number].append(lane)
    return _drawn(_ordered(layers, list(ways.values())), ways, links)


def _depths(parents: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """The layer of each name: the one after the last of those it reads."""
    depth: dict[str, int] = {}
    for name, above in parents.items():
        depth[name] = 1 + max((depth[p] for p in above if p in depth), default=-1)
    return depth


def _way(edge: tuple[str, str], depth: Mapping[str, int]) -> list[Place]:
    above, below = edge
    between = range(depth[above] + 1, depth[below])
    return [above, *((above, below, layer) for layer in between), below]


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
) -> Graph:
    heights = [sum(_height(place) for place in layer) for layer in layers]
    tallest = max(heights, default=0)
    boxes: list[Box] = []
    # The left and the right end of each place, and the middle of its height.
    spots: dict[Place, tuple[float, float, float]] = {}
    left: float = _MARGIN
    for layer, height in zip(layers, heights, strict=True):
        longest = max(len(place) for place in layer if isinstance(place, str))
        width = longest * _LETTER + 24
        top = _MARGIN + (tallest - height) / 2
        for place in layer:
            middle = top + _height(place) / 2
            spots[place] = (left, left + width, middle)
            if isinstance(place, str):
                boxes.append(Box(place, links[place], left, middle - _BOX / 2, width))
            top += _height(place)
        left += width + _GAP
    lines = [Line(*edge, _path([spots[place] for place in way])) for edge, way in ways.items()]
    return Graph(boxes, lines, max(left - _GAP, 0) + _MARGIN, tallest + 2 * _MARGIN)


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
