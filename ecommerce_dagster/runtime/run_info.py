"""What a run gives to the code that builds its assets: tags, id, log, connections."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.runtime.asset_state import AssetState
from ecommerce_dagster.sql.checks import Check
from ecommerce_dagster.sql.comparison import Point

PastMeasures = Callable[[Sequence[Check]], Mapping[str, Sequence[Point]]]
States = Callable[[Sequence[Asset]], Mapping[str, AssetState]]


_LOG = logging.getLogger(__name__)


def _no_database(key: str) -> Any:
    raise LookupError(f"a run that is not executed opens no database ({key})")


@dataclass(frozen=True)
class RunInfo:
    """A run: its id, its tags, where it logs to, and (`on_wait`) what it waits for.

    `database` gives an open-able database by the key of its connection (`resource_key`);
    `is_selected` tells whether the run builds the asset of a name; `latest_states` gives what was
    recorded of assets in earlier runs, by their names, `past_measures` what their checks without a
    threshold measured, by the checks' ids. The defaults are those of a run that is
    not executed, as when its statements are only shown.
    """

    run_id: str
    tags: Mapping[str, str]
    log: logging.Logger = _LOG
    on_wait: Callable[[str], None] = _LOG.info
    database: Callable[[str], Any] = _no_database
    is_selected: Callable[[str], bool] = lambda name: False
    latest_states: States = lambda assets: {}
    past_measures: PastMeasures = lambda checks: {}
