"""The sensor and the schedule alone keep the warehouse equal to a rebuild of everything."""

from __future__ import annotations

import dagster as dg
import pytest

from orchestration.helpers import NewShop
from orchestration.simulation import InProcess

SEED = 6


@pytest.mark.timeout(900)  # ten runs, on a machine that may be busy
def test_exactly_what_changed_is_run_and_the_tables_are_as_rebuilt(
    new_shop: NewShop, instance: dg.DagsterInstance
) -> None:
    shop = new_shop()
    shop.generate("--orders", "40", "--starting-at", "2025-03-01", "--ending-at", "2025-03-04")
    # Its changes are of all kinds.
    simulation = InProcess(shop, SEED, instance)
    simulation.look()
    simulation.shop.source("ALTER TABLE orders ADD COLUMN note text", "SELECT pg_stat_reset()")
    simulation.day(rounds=2)

    assert simulation.figures.surprises == []
    assert simulation.differences() == []
