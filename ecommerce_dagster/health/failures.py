"""What failed and was not repaired, and the tables that are kept since."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.health.finding import Finding, Setup, ago, some
from ecommerce_dagster.health.records import built_assets, latest_checks
from ecommerce_dagster.orchestration.status import status_of
from ecommerce_dagster.orchestration.unfinished_runs import clock, moment


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
    text = f"{counted(len(found), 'thing')} failed, the first {ago(oldest)} ago: {some(names)}"
    advice = "See `ecommerce status`; when it is mended, `ecommerce run` builds all of it again"
    yield Finding("failure", "", "problem" if blocking else "warning", text, advice, facts)


def unpublished(setup: Setup) -> Iterator[Finding]:
    """The tables whose last build was rejected by a check: they still show older data."""
    built = {name: each.at for name, each in built_assets(setup).items()}
    kept: dict[str, str] = {}
    for result in latest_checks(setup):
        is_of_build = result.kept and result.at > built.get(result.asset, 0.0)
        if is_of_build and result.blocking and not result.passed:
            kept.setdefault(result.asset, result.check)
    ages = [setup.now - built[name] for name in kept if name in built]
    facts = {"tables": len(kept), "oldest_seconds": max([*ages, 0.0])}
    if not kept:
        text = "no check keeps a table from being published"
        yield Finding("unpublished", "", "ok", text, facts=facts)
        return
    # One that was never published comes first.
    name, *others = sorted(kept, key=lambda name: built.get(name, 0.0))
    at = built.get(name)
    shown = f"still shows the data of {clock(moment(at))}" if at else "was never published"
    text = f"{name} {shown}: {kept[name]} rejected its last build"
    if others:
        text += f"; so it is for {some(others)}"
    advice = "See the bad rows on the check's page in Dagster, and mend the source or the rule"
    yield Finding("unpublished", "", "problem", text, advice, facts)


def _age(moment: str, setup: Setup) -> float:
    return setup.now - datetime.fromisoformat(moment).timestamp()
