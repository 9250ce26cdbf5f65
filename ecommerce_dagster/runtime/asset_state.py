"""What was last recorded of assets and of their checks, as plain data.

Python assets and the pages read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["passed", "failed", "unknown"]


@dataclass(frozen=True)
class CheckState:
    """A check and its latest result. `at` is a moment in ISO 8601, UTC; empty when it never ran."""

    label: str
    words: str
    blocking: bool
    status: Outcome = "unknown"
    at: str = ""
    message: str = ""


@dataclass(frozen=True, order=True)
class Setback:
    """A load that failed, or was late, and when: a moment in ISO 8601, UTC."""

    at: str
    what: Literal["failed", "late"]


@dataclass(frozen=True)
class AssetState:
    """An asset, when its table was last published, with how many rows, by which version of its
    definition, its checks, the assets that it is made of, and the days on which its load failed or
    was late."""

    name: str
    built_at: str = ""
    rows: int | None = None
    code_version: str = ""
    checks: tuple[CheckState, ...] = ()
    depends: tuple[str, ...] = ()
    setbacks: tuple[Setback, ...] = ()

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> AssetState:
        """The inverse of dataclasses.asdict."""
        checks = tuple(CheckState(**check) for check in values["checks"])
        depends = tuple(values.get("depends", ()))
        setbacks = tuple(Setback(**setback) for setback in values.get("setbacks", ()))
        return cls(**{**values, "checks": checks, "depends": depends, "setbacks": setbacks})


def overtaken(states: Iterable[AssetState]) -> dict[str, list[AssetState]]:
    """The assets that are older than something they are made of, directly or not; for each, by
    name, those of it and of what it is made of whose blocking checks failed."""
    known = {state.name: state for state in states}
    upstream: dict[str, set[str]] = {}

    def upstream_of(name: str) -> set[str]:
        if name not in upstream:
            upstream[name] = set()
            direct = [other for other in known[name].depends if other in known]
            upstream[name] = {*direct, *(far for other in direct for far in upstream_of(other))}
        return upstream[name]

    return {
        name: [known[n] for n in sorted({name} | upstream_of(name)) if _failed(known[n])]
        for name, state in known.items()
        if any(known[other].built_at > state.built_at for other in upstream_of(name))
    }


def _failed(state: AssetState) -> bool:
    return any(check.status == "failed" and check.blocking for check in state.checks)
