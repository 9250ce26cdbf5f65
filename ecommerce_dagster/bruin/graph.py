"""The graph of assets: direct neighbours, and all that can be reached from an asset."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ecommerce_dagster.bruin.model.asset import Asset

Edges = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Neighbours:
    """The assets that each one reads and is read by, by name. A name upstream may be of no asset
    here, as one that is switched off."""

    upstream: Edges
    downstream: Edges

    @classmethod
    def of(cls, assets: Iterable[Asset]) -> Neighbours:
        upstream = {
            asset.name: list(dict.fromkeys(d.asset for d in asset.depends if d.asset))
            for asset in assets
        }
        downstream: dict[str, list[str]] = {name: [] for name in upstream}
        for name, parents in upstream.items():
            for parent in parents:
                downstream.setdefault(parent, []).append(name)
        return cls(upstream, downstream)


def reached(start: Iterable[str], edges: Edges, generations: int | None = None) -> list[str]:
    """`start` and all that can be reached from it in at most so many steps, nearest first."""
    seen = dict.fromkeys(start, 0)
    queue = deque(seen)
    while queue:
        name = queue.popleft()
        if generations is not None and seen[name] >= generations:
            continue
        for other in edges.get(name, ()):
            if other not in seen:
                seen[other] = seen[name] + 1
                queue.append(other)
    return list(seen)
