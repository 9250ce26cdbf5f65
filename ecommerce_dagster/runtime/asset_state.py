"""What was last recorded of assets and of their checks, as plain data.

Python assets and the pages read it.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class AssetState:
    """An asset, when its table was last published, with how many rows, by which version of its
    definition, and its checks."""

    name: str
    built_at: str = ""
    rows: int | None = None
    code_version: str = ""
    checks: tuple[CheckState, ...] = ()

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> AssetState:
        """The inverse of dataclasses.asdict."""
        checks = tuple(CheckState(**check) for check in values["checks"])
        return cls(**{**values, "checks": checks})
