"""The outcome of a run, asset by asset and check by check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sql.checks import Check

AssetStatus = Literal["success", "failed", "upstream_failed", "skipped", "not_run"]
CheckStatus = Literal["passed", "failed", "skipped", "error"]


@dataclass
class CheckOutcome:
    """One check; `metadata` is what Dagster recorded of it."""

    check: Check
    status: CheckStatus = "skipped"
    message: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return self.status in {"failed", "error"}

    @property
    def failed_rows(self) -> int | None:
        rows = self.metadata.get("bad_rows")
        return None if rows is None else int(rows)


@dataclass(frozen=True)
class Spent:
    """Seconds in which an asset waited for its source, was built, and was checked."""

    source: float = 0.0
    build: float = 0.0
    checks: float = 0.0


@dataclass
class AssetOutcome:
    """One asset. `checks` holds those that the run was about.

    An asset has also failed when one of its checks failed that does not block downstream assets.
    `blocked_by` are the failed assets upstream.
    """

    name: str
    status: AssetStatus = "not_run"
    rows: int | None = None
    seconds: float | None = None
    spent: Spent = Spent()
    error: str = ""
    checks: dict[str, CheckOutcome] = field(default_factory=dict)
    blocked_by: tuple[str, ...] = ()

    @property
    def failed_checks(self) -> list[CheckOutcome]:
        return [check for check in self.checks.values() if check.failed]

    @property
    def evaluated(self) -> list[CheckOutcome]:
        return [check for check in self.checks.values() if check.status != "skipped"]


def succeeded(outcomes: Sequence[AssetOutcome], problems: Sequence[str]) -> bool:
    """Whether everything that should run did, every check, blocking or not, passed, and there were
    no problems after them."""
    failed = any(outcome.status in {"failed", "upstream_failed"} for outcome in outcomes)
    return not failed and not problems


def unanswered(outcomes: Sequence[AssetOutcome]) -> bool:
    """Whether a check could not be evaluated."""
    return any(check.status == "error" for one in outcomes for check in one.checks.values())


def as_json(
    pipeline: str, interval: Interval, outcomes: Sequence[AssetOutcome], problems: Sequence[str]
) -> dict[str, Any]:
    """The outcome for programs."""
    return {
        "pipeline": pipeline,
        "interval": {"start": interval.start.isoformat(), "end": interval.last.isoformat()},
        "success": succeeded(outcomes, problems),
        "problems": list(problems),
        "assets": {
            outcome.name: {
                "status": outcome.status,
                "rows": outcome.rows,
                "seconds": None if outcome.seconds is None else round(outcome.seconds, 3),
                "error": outcome.error or None,
            }
            for outcome in outcomes
        },
        "checks": [
            {
                "id": check.check.id,
                "status": check.status,
                "blocking": check.check.blocking,
                "failed_rows": check.failed_rows,
                "message": check.message,
            }
            for outcome in outcomes
            for check in outcome.checks.values()
        ],
    }
