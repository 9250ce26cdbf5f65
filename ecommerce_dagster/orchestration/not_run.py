"""What the page of an asset says when a run left it out, or did not publish what it had built.

The op that failed tells what is downstream of it: it runs under every executor, and knows why.
Where its process was killed, or other code failed, nothing is reported; the page of the run has
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg

from ecommerce_dagster.alerts.messages import moment
from ecommerce_dagster.bruin.graph import reached
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import listed
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import Context, asset_key, op_name, op_of
from ecommerce_dagster.runtime.asset_types import has_table
from ecommerce_dagster.runtime.run_tags import keys_of

# The metadata of a Failure that holds the labels of the checks which caused it.
FAILED_CHECKS = "failed_checks"
_MOST_CHECKS = 3


@dataclass(frozen=True)
class Cause:
    """Why assets are not run: an asset upstream failed a check, or with an error."""

    asset: str
    key: dg.AssetKey
    checks: Sequence[str]
    error: str

    @classmethod
    def of(cls, asset: Asset, project: Project, error: Exception) -> Cause:
        key = asset_key(asset.name, project)
        if not isinstance(error, dg.Failure):
            return cls(asset.name, key, (), str(error))
        found = error.metadata.get(FAILED_CHECKS)
        checks = cast(Sequence[str], found.value) if found else ()
        return cls(asset.name, key, checks, error.description or "")

    @property
    def sentence(self) -> str:
        if not self.checks:
            return f"{self.asset} failed"
        labels = listed((f"'{label}'" for label in self.checks), _MOST_CHECKS)
        return f"{self.asset} failed its {'check' if len(self.checks) == 1 else 'checks'} {labels}"


def report_not_run(context: Context, project: Project, asset: Asset, error: Exception) -> None:
    """Have each asset of the run that waits for this one, which failed for good, say that it was
    not run, why, and how old its data is.

    Once for each asset, however many upstream failed. Two that fail in the same moment in different
    processes may both say it.
    """
    told = _told(context)
    keys = [key for key in _left_out(context, op_name(asset.name, project)) if key not in told]
    cause = Cause.of(asset, project, error)
    assets = {asset_key(each.name, project): each for each in project.assets}
    for key in keys:
        context.op_execution_context.log_event(_observation(context, key, assets.get(key), cause))


def kept_since(context: Context, key: dg.AssetKey) -> float | None:
    """When what is shown of an asset, or of the run's partition of it, was built: in seconds since
    1970. None when no run is known that did."""
    partition = _partition(context, key)
    wanted = dg.AssetRecordsFilter(
        asset_key=key, asset_partitions=[partition] if partition else None
    )
    records = context.instance.fetch_materializations(wanted, limit=1).records
    return records[0].timestamp if records else None


def _told(context: Context) -> set[dg.AssetKey | None]:
    """The assets of which the run has recorded an observation. One that does not run has none of
    its own."""
    kind = dg.DagsterEventType.ASSET_OBSERVATION
    entries = context.instance.all_logs(context.run.run_id, of_type=kind)
    return {entry.dagster_event.asset_key for entry in entries if entry.dagster_event}


def _left_out(context: Context, failed: str) -> Iterator[dg.AssetKey]:
    """The assets of pipelines that are not built in this run because this op failed."""
    structure = context.job_def.graph.dependency_structure
    downstream = {
        node.name: [
            found.node_name
            for inputs in structure.output_to_downstream_inputs_for_node(node.name).values()
            for found in inputs
        ]
        for node in context.job_def.graph.nodes
    }
    steps = set(reached([failed], downstream)) - {failed}
    if (planned := context.run.step_keys_to_execute) is not None:
        steps &= set(planned)
    layer = context.job_def.asset_layer
    for key in sorted(layer.selected_asset_keys):
        # Assets of other code stay as their code has them.
        if op_of(key) in steps and "bruin/type" in layer.asset_graph.get(key).metadata:
            yield key


def _observation(
    context: Context, key: dg.AssetKey, asset: Asset | None, cause: Cause
) -> dg.AssetObservation:
    since, keys = kept_since(context, key), _partitions(context, key)
    about = f" for {' to '.join(dict.fromkeys(keys))}" if keys else ""
    metadata: dict[str, Any] = {
        "upstream": dg.MetadataValue.asset(cause.key),
        FAILED_CHECKS: ", ".join(cause.checks) or None,
        "error": None if cause.checks else cause.error,
        "data_since": dg.MetadataValue.timestamp(since) if since else None,
    }
    is_range = len(set(keys)) > 1
    return dg.AssetObservation(
        key,
        description=f"Not run{about}: {cause.sentence}; {_kept(asset, since, is_range=is_range)}",
        partition=_partition(context, key),
        metadata={name: value for name, value in metadata.items() if value is not None},
    )


def _kept(asset: Asset | None, since: float | None, *, is_range: bool) -> str:
    """What is there of an asset that is not run."""
    if since is None:
        return "it was not built before"
    at = f"{moment(since)}{' or earlier' if is_range else ''}"
    if asset is not None and not _has_rows(asset):
        return f"it last ran at {at}"
    if asset is not None and asset.materialization.type == "view":
        return f"the view of {at} is still served"
    return f"data of {at} is still served"


def _has_rows(asset: Asset) -> bool:
    """Whether there is something to read of it; a script and a sensor only run."""
    is_script = asset.type.endswith(".sql") and asset.materialization.type == "none"
    return has_table(asset) and not is_script


def _partitions(context: Context, key: dg.AssetKey) -> tuple[str, ...]:
    """The first and the last partition of an asset that the run is about."""
    node = context.job_def.asset_layer.asset_graph.get(key)
    keys = keys_of(context.run.tags) if node.partitions_def is not None else None
    return keys or ()


def _partition(context: Context, key: dg.AssetKey) -> str | None:
    """The only partition of an asset that the run is about."""
    keys = set(_partitions(context, key))
    return keys.pop() if len(keys) == 1 else None
