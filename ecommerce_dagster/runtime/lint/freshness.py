"""What `meta` of an asset says of how old its table may be, and of when it is rebuilt:
`freshness: 26h` (or `off`) and `automation: eager`.
"""

from __future__ import annotations

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.durations import seconds_in
from ecommerce_dagster.bruin.on_off import switched
from ecommerce_dagster.bruin.problems import ProblemLog

# In seconds: Dagster looks once a minute.
SHORTEST = 60.0


def lint_automation(asset: Asset, log: ProblemLog) -> None:
    """Report a `freshness` or an `automation` that means nothing."""
    if (written := asset.meta.get("freshness")) is not None:
        try:
            freshness_seconds(str(written))
        except ValueError as error:
            log.error(*asset.at("meta", "freshness"), "valid-freshness", f"freshness: {error}")
    if (automation := asset.meta.get("automation")) not in {None, "eager"}:
        message = f"the automation '{automation}' is unknown; expected eager"
        log.error(*asset.at("meta", "automation"), "valid-automation", message)


def freshness_seconds(text: str) -> float | None:
    """Seconds; None when freshness is switched off. Raises ValueError."""
    if switched(text) is False and text.strip() != "0":
        return None
    seconds = seconds_in(text)
    if seconds < SHORTEST:
        raise ValueError(f"'{text}' is too short; the shortest is 1m")
    return seconds
