"""Whatever happens to a source, its server, the sensor and its runs: in the end the tables are what an
independent model says, and "nothing changed" is never said of what changed.

FUZZ=100 plays a hundred times as many. `benchmarks/histories.py` plays any number, and makes what fails
short.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from orchestration.histories.play import History, Stage, stage

FACTOR = int(os.environ.get("FUZZ", "1"))
# Of four schedules.
SEEDS = [1, 4, 6, 8, 9, 11, 12] if FACTOR == 1 else range(1, 9 * FACTOR)


@pytest.fixture(scope="module")
def place() -> Iterator[Stage]:
    with stage() as found:
        yield found


@pytest.mark.timeout(300)  # on a machine that may be busy
@pytest.mark.parametrize("seed", SEEDS)
def test_the_tables_are_those_of_the_model(seed: int, place: Stage) -> None:
    history = History.drawn(seed, own_server=False)
    assert place.play(history).differences == [], history


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 4, 6, 8] if FACTOR == 1 else range(1, 3 * FACTOR))
def test_so_they_are_after_what_happens_to_servers(seed: int, place: Stage) -> None:
    history = History.drawn(seed, own_server=True)
    assert place.play(history).differences == [], history
