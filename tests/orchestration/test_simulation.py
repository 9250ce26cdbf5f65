"""The sensor and the schedule alone keep the warehouse equal to a rebuild of everything."""

from __future__ import annotations

import dagster as dg
import pytest

from orchestration.helpers import NewShop, Shop
from orchestration.simulation import InProcess


@pytest.fixture(scope="module")
def history(new_shop: NewShop) -> Shop:
    shop = new_shop()
    shop.generate("--orders", "40", "--starting-at", "2025-03-01", "--ending-at", "2025-03-04")
    return shop


@pytest.mark.timeout(900)  # ten runs, on a machine that may be busy
@pytest.mark.parametrize("seed", [1, 2])
def test_exactly_what_changed_is_run_and_the_tables_are_as_rebuilt(
    seed: int, history: Shop, new_shop: NewShop, instance: dg.DagsterInstance
) -> None:
    simulation = InProcess(new_shop(like=history), seed, instance)
    simulation.look()
    simulation.shop.source("ALTER TABLE orders ADD COLUMN note text", "SELECT pg_stat_reset()")
    simulation.day(rounds=1)

    assert simulation.figures.surprises == []
    assert simulation.differences() == []
