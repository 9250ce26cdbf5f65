"""The range that a history lets expect, whatever the history is."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecommerce_dagster.sql.anomalies import SCALES
from ecommerce_dagster.sql.expected_range import (
    COUNT,
    LEAST,
    LONGEST,
    TOTAL,
    VALUE,
    Expected,
    Scale,
    expected,
)

FIRST = date(2026, 1, 5)  # a Monday
NEXT = FIRST + LONGEST
Series = list[float]
scales = st.sampled_from([*SCALES.values(), TOTAL])
histories = st.lists(st.floats(0.01, 100.0), min_size=LEAST, max_size=LONGEST.days)


def dated(values: Series) -> dict[date, float]:
    """Values of the days before NEXT."""
    first = NEXT - timedelta(days=len(values))
    return {first + timedelta(days=n): value for n, value in enumerate(values)}


def found_in(values: Series, scale: Scale) -> Expected:
    found = expected(dated(values), NEXT, scale, rows=1000)
    assert found is not None
    return found


@given(histories, scales, st.randoms())
def test_neither_order_nor_other_days_matter(
    values: Series, scale: Scale, chance: random.Random
) -> None:
    history = dated(values)
    shuffled = list(history.items())
    chance.shuffle(shuffled)
    others = {NEXT: 1e9, NEXT + timedelta(days=1): 0.0, NEXT - LONGEST - timedelta(days=1): 1e9}
    wanted = expected(history, NEXT, scale, 10)
    assert expected(dict(shuffled), NEXT, scale, 10) == wanted
    assert expected({**others, **dict(shuffled)}, NEXT, scale, 10) == wanted


@given(st.floats(0.01, 100.0), st.integers(LEAST, 90), scales)
def test_what_was_always_so_is_expected(value: float, days: int, scale: Scale) -> None:
    found = found_in([value] * days, scale)
    assert found.low <= value <= found.high
    assert found.alike is None


@given(histories, st.floats(0.001, 1000.0))
def test_the_unit_does_not_matter(values: Series, factor: float) -> None:
    plain, scaled = found_in(values, VALUE), found_in([v * factor for v in values], VALUE)
    assert scaled.low == pytest.approx(plain.low * factor, rel=1e-6, abs=1e-9 * factor)
    assert scaled.high == pytest.approx(plain.high * factor, rel=1e-6)


@given(histories, scales)
def test_a_range_is_one(values: Series, scale: Scale) -> None:
    found = found_in(values, scale)
    assert found.low <= found.high
    assert found.days == len(values)


@given(st.integers(0, LEAST - 1), scales)
def test_few_days_let_expect_nothing(days: int, scale: Scale) -> None:
    assert expected(dated([5.0] * days), NEXT, scale) is None


def noisy(*levels: float, weekdays: tuple[float, ...] = (1.0,) * 7, seed: int = 1) -> Series:
    chance = random.Random(seed)
    return [
        round(level * weekdays[n % 7] * chance.gauss(1, 0.05)) for n, level in enumerate(levels)
    ]


def test_single_days_that_were_wrong_change_little() -> None:
    good = noisy(*[1000.0] * 84)
    spoilt = [0.0 if n % 9 == 4 else value for n, value in enumerate(good)]
    plain, robust = found_in(good, COUNT), found_in(spoilt, COUNT)
    assert robust.low == pytest.approx(plain.low, rel=0.15)
    assert robust.high == pytest.approx(plain.high, rel=0.15)
    assert robust.high < 2000
    assert robust.low > 500


def test_a_new_level_is_expected_after_eight_days() -> None:
    before = noisy(*[1000.0] * 70)
    after = noisy(*[300.0] * 8, seed=2)
    for days in range(7):
        found = found_in(before + after[:days], COUNT)
        assert found.low > 330, days
        assert found.low < 1000 < found.high, days
    found = found_in(before + after, COUNT)
    assert found.low < 300 < found.high


def test_weekdays_are_told_apart_and_growth_is_no_news() -> None:
    weekdays = (1, 1, 1, 1, 1, 1.5, 0.2)
    values = noisy(*(1000 * 1.004**n for n in range(84)), weekdays=weekdays)
    history = {FIRST + timedelta(days=n): value for n, value in enumerate(values)}
    for n, usual in enumerate(weekdays):
        # A Monday follows; each next day is asked for as it is then known.
        day = FIRST + timedelta(days=84 + n)
        found = expected(history, day, COUNT)
        assert found is not None
        level = 1000 * 1.004 ** (84 + n) * usual
        assert found.low < level < found.high
        assert (found.alike, found.days) == (12, 84 + n)
        assert not found.low < level * 0.5 < found.high
        assert not found.low < level * 2.2 < found.high
        history[day] = level
