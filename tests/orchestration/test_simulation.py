"""The sensor and the schedule alone keep the warehouse equal to a rebuild of everything."""

from __future__ import annotations

import dagster as dg
import psycopg
import pytest

from orchestration.helpers import NewShop, Shop
from orchestration.simulation import Simulation


@pytest.fixture(scope="module")
def history(new_shop: NewShop) -> Shop:
    shop = new_shop()
    shop.generate("--orders", "40", "--starting-at", "2025-03-01", "--ending-at", "2025-03-04")
    return shop


@pytest.mark.timeout(900)  # twenty runs, on a machine that may be busy
@pytest.mark.parametrize("seed", [1, 2])
def test_exactly_what_changed_is_run_and_the_tables_are_as_rebuilt(
    seed: int, history: Shop, new_shop: NewShop
) -> None:
    with dg.instance_for_test() as instance:
        simulation = Simulation(new_shop(like=history), instance, seed, history=3)
        with psycopg.connect(simulation.shop.dsn) as connection:
            days = connection.execute("SELECT DISTINCT order_date::date FROM orders").fetchall()
        simulation.touched = {row[0] for row in days}
        simulation.tick()
        with psycopg.connect(simulation.shop.dsn, autocommit=True) as connection:
            connection.execute("ALTER TABLE orders ADD COLUMN note text")
            connection.execute("SELECT pg_stat_reset()")
        simulation.change()
        simulation.tick()
        simulation.night()

        assert simulation.figures.surprises == []
        assert simulation.differences() == []
