"""The shop's partitions: its pipeline may reach further back than its orders."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.partitions import Partitions, partitions_of
from ecommerce_dagster.orchestration.translator import BruinTranslator


class ShopTranslator(BruinTranslator):
    """Partitions begin on a day (ISO), or with the pipeline's `start_date` where that is later."""

    def __init__(self, first_day: str | None) -> None:
        self._first_day = first_day

    def get_partitions_def(self, asset: Asset, project: Project) -> Partitions | None:
        """As all pipelines have it, from that day on."""
        found = super().get_partitions_def(asset, project)
        if self._first_day is None or not isinstance(found, dg.TimeWindowPartitionsDefinition):
            return found
        first = datetime.fromisoformat(self._first_day).replace(tzinfo=UTC)
        if first <= found.start:
            return found
        later = project.pipeline.model_copy(update={"start_date": self._first_day})
        return partitions_of(later)
