"""What failed and was not repaired, and the tables that are kept since."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ecommerce_dagster.bruin.counted import counted
from ecommerce_dagster.health.finding import Finding, Setup, ago
from ecommerce_dagster.orchestration.last_known import last_known
from ecommerce_dagster.orchestration.living_runs import clock
from ecommerce_dagster.orchestration.status import status_of

_NAMES = 3  # that a line shows


def failures(setup: Setup) -> Iterator[Finding]:
    """The checks and assets that failed last, as `ecommerce status` lists them."""
    found = status_of(setup.project, setup.instance).failed
    blocking = [one for one in found if one.blocking]
    oldest = max([*(_age(one.at, setup) for one in found), 0.0])
    facts = {"failed": len(found), "blocking": len(blocking), "oldest_seconds": oldest}
    if not found:
        yield Finding("failure", "", "ok", "nothing failed that was not repaired", facts=facts)
        return
    names = [f"{one.asset} ({one.check})" if one.check else one.asset for one in found]
    text = f"{counted(len(found), 'thing')} failed, the first {ago(oldest)} ago: {_some(names)}"
    advice = "See `ecommerce status`; when it is mended, `ecommerce run` builds all of it again"
    yield Finding("failure", "", "problem" if blocking else "warning", text, advice, facts)


def unpublished(setup: Setup) -> Iterator[Finding]:
    """The tables whose last build was rejected by a check: they still show older data."""
    assets = [asset for asset in setup.project.assets if not asset.external_key]
    kept = []
    for state in last_known(setup.instance, assets, setup.project).values():
        rejected = [
            check
            for check in state.checks
            if check.blocking and check.status == "failed" and check.at > state.built_at
        ]
        if rejected:
            kept.append((state.built_at, state.name, rejected[0].label))
    # One that was never published comes first.
    kept.sort()
    oldest = max([*(_age(at, setup) for at, _, _ in kept if at), 0.0])
    facts = {"tables": len(kept), "oldest_seconds": oldest}
    if not kept:
        yield Finding("unpublished", "", "ok", "every table is of its last build", facts=facts)
        return
    at, name, check = kept[0]
    shown = f"still shows the data of {clock(at)}" if at else "was never published"
    text = f"{name} {shown}: {check} rejected its last build"
    if len(kept) > 1:
        text += f"; so it is for {_some([other for _, other, _ in kept[1:]])}"
    advice = "See the bad rows on the check's page in Dagster, and mend the source or the rule"
    yield Finding("unpublished", "", "problem", text, advice, facts)


def _age(moment: str, setup: Setup) -> float:
    return setup.now - datetime.fromisoformat(moment).timestamp()


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
