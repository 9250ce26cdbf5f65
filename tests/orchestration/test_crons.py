"""What the lint takes for a cron expression, without Dagster, is what Dagster takes for one."""

from __future__ import annotations

import random

import dagster as dg
import pytest

from ecommerce_dagster.runtime.lint.schedule import is_cron

ATOMS = [
    *("*", "0", "1", "2", "5", "6", "7", "8", "12", "13", "23", "24", "30", "31", "32", "59", "60"),
    *(
        "l",
        "jan",
        "feb",
        "mon",
        "SUN",
        "fri",
        "?",
        "mon#2",
        "1#5",
        "1#6",
        "l5",
        "l7",
        "",
        "x",
        "-1",
    ),
]


def is_cron_of_dagster(text: str) -> bool:
    try:
        dg.ScheduleDefinition(name="s", target=dg.AssetSelection.all(), cron_schedule=text)
    except dg.DagsterInvalidDefinitionError:
        return False
    return True


def drawn_item(draw: random.Random) -> str:
    item = draw.choice(ATOMS)
    if draw.random() < 0.35:
        item += f"-{draw.choice(ATOMS)}"
    if draw.random() < 0.2:
        item += f"/{draw.choice(('0', '1', '2', '100', 'x', ''))}"
    return item


@pytest.mark.parametrize(
    "text",
    [
        *("0 0 31 2 *", "0 0 30 feb *", "0 0 29 2 *", "0 0 31 2,3 *", "0 0 l 2 *", "0 0 31 4 *"),
        *("@midnight", "@Annually", "@reboot", "0 0 * *", "0 0 * * * *", "", "0  0\t* * *"),
        *("0 0 ? * ?", "? * * * *", "0 0 * * 1#2,3", "0 0 * * mon-fri#2", "0 0 * * fri-mon"),
    ],
)
def test_each_is_judged_as_dagster_does(text: str) -> None:
    assert is_cron(text) == is_cron_of_dagster(text)


@pytest.mark.parametrize("seed", range(4))
def test_any_is_judged_as_dagster_does(seed: int) -> None:
    draw, valid, others = random.Random(seed), 0, []
    for _ in range(1500):
        fields = ["*"] * 5
        for position in draw.sample(range(5), draw.choice((1, 1, 2))):
            count = draw.choice((1, 1, 2))
            fields[position] = ",".join(drawn_item(draw) for _ in range(count))
        text = " ".join(fields)
        expected = is_cron_of_dagster(text)
        valid += expected
        if is_cron(text) != expected:
            others.append(text)
    assert others == []
    assert valid > 200
