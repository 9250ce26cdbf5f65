"""The numbers of findings, assets, checks and runs, as Prometheus reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from ecommerce_dagster.errors import MissingExtra
from ecommerce_dagster.health.finding import LEVELS, Finding, Setup
from ecommerce_dagster.health.records import built_assets, latest_checks

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

# A value with the labels that tell it from others of its name.
Sample = tuple[Mapping[str, str], float]
_Named = tuple[str, Mapping[str, str], float | None]
_PREFIX = "ecommerce"
_HELP = {
    "health_level": "What `ecommerce doctor` says: 0 ok, 1 warning, 2 problem.",
    "version_info": "The version of a program, or of the server of a connection.",
    "asset_last_success_timestamp_seconds": "When the asset was published last, since 1970.",
    "asset_rows": "The rows of the table when it was published last.",
    "asset_duration_seconds": "How long the last build took, with its checks.",
    "check_bad_rows": "The rows that broke the rule when it was last checked.",
    "runs": "The runs that Dagster has recorded, by their status.",
}


def samples_of(setup: Setup, found: Sequence[Finding]) -> dict[str, list[Sample]]:
    """The samples by the names of their metrics, without the prefix. A fact of a finding is
    `part_fact`; one that is not known has no sample."""
    samples: dict[str, list[Sample]] = defaultdict(list)
    common = {"pipeline": setup.project.pipeline.name}
    for metric, labels, number in (*_of_findings(found), *_of_assets(setup), *_of_runs(setup)):
        if number is not None:
            samples[metric].append(({**common, **labels}, number))
    return samples


def _of_findings(found: Sequence[Finding]) -> Iterator[_Named]:
    for one in found:
        level = {"part": one.part, "name": one.name}
        yield "health_level", level, LEVELS.index(one.level)
        for fact, value in one.facts.items():
            if isinstance(value, str):
                yield "version_info", {**level, fact: value}, 1
            else:
                yield f"{one.part}_{fact}", {"name": one.name}, value


def _of_assets(setup: Setup) -> Iterator[_Named]:
    for name, built in built_assets(setup).items():
        yield "asset_last_success_timestamp_seconds", {"asset": name}, built.at
        yield "asset_rows", {"asset": name}, built.rows
        yield "asset_duration_seconds", {"asset": name}, built.seconds
    for result in latest_checks(setup):
        labels = {"asset": result.asset, "check": result.check}
        yield "check_bad_rows", labels, result.bad_rows


def _of_runs(setup: Setup) -> Iterator[_Named]:
    if setup.instance is not None:
        for status in dg.DagsterRunStatus:
            number = setup.instance.get_runs_count(dg.RunsFilter(statuses=[status]))
            yield "runs", {"status": status.value.lower()}, number


def registry_of(samples: Callable[[], Mapping[str, Sequence[Sample]]]) -> CollectorRegistry:
    """A registry that asks for the samples at each scrape. Raises MissingExtra where the package
    that writes for Prometheus is not installed."""
    if find_spec("prometheus_client") is None:
        raise MissingExtra("metrics need prometheus-client", "metrics")
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(cast(Any, _Collector(samples)))
    return registry


@dataclass(frozen=True)
class _Collector:
    samples: Callable[[], Mapping[str, Sequence[Sample]]]

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import GaugeMetricFamily

        for name, samples in self.samples().items():
            text = _HELP.get(name, f"`{name}` of what `ecommerce doctor` says.")
            labels = list(samples[0][0])
            family = GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=labels)
            for values, number in samples:
                family.add_metric([values[label] for label in labels], number)
            yield family
