"""How many incidents the checks without a threshold find, and how often they are wrong.

    python benchmarks/anomalies.py [SEED ...]

Two years of days of a shop are made for each seed, in three sizes: growth, weekdays, seasons, noise
and sale days, and 40 incidents among them. Each day is judged by the code that a run uses, from the
days before it as they were, incidents included.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from math import exp, pi, sin, sqrt

from ecommerce_dagster.sql.anomalies import ONLY_MORE, SCALES
from ecommerce_dagster.sql.expected_range import LEAST, Expected, expected

DAYS = 730
SEEDS = (1, 2, 3, 4, 5)
SIZES = (100, 1_000, 100_000)  # orders a day
FIRST = date(2024, 1, 1)
WEEKDAYS = (0.95, 0.9, 0.92, 1.0, 1.25, 1.4, 0.75)
RARE = "rare NULLs"  # a column that has one in 2,000 rows
MEASURES = {**SCALES, RARE: SCALES["null_percent"]}
# The measure that an incident shows in, the days that it lasts, and what becomes of the value.
INCIDENTS = {
    "half of the rows": ("volume", 1, lambda x: x * 0.5),
    "half of the rows, three days": ("volume", 3, lambda x: x * 0.5),
    "rows loaded twice": ("volume", 1, lambda x: x * 2),
    "no rows": ("volume", 1, lambda x: 0.0),
    "newest row stuck for a day": ("freshness", 1, lambda x: x + 86_400),
    "newest row six hours old": ("freshness", 1, lambda x: x + 21_600),
    "three times as many NULLs": ("null_percent", 2, lambda x: x * 3),
    "all NULL": ("null_percent", 1, lambda x: 100.0),
    "ids repeat": ("distinct_percent", 1, lambda x: x * 0.7),
    "one value for all": ("distinct_percent", 1, lambda x: 0.1),
    "prices 25 % higher": ("average", 2, lambda x: x * 1.25),
    "prices 20 % lower": ("average", 1, lambda x: x * 0.8),
    "cents for euros": ("average", 1, lambda x: x * 100),
}
PLANTED = 40


@dataclass(frozen=True)
class Incident:
    kind: str
    measure: str
    days: range


def sale(day: date) -> float:
    """How many times as much is bought: four days in November, a week in July, six weeks before
    Christmas a little, two days at Easter."""
    if day.month == 11 and 24 <= day.day <= 27:
        return 1.7
    if day.month == 7 and 8 <= day.day <= 14:
        return 1.3
    if (day.month, day.day) in {(12, 25), (1, 1)}:
        return 0.6
    return 1.0


def shop(size: int, chance: random.Random) -> dict[str, list[float]]:
    """The series of all measures."""
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    drift = 0.0
    for n in range(DAYS):
        day = FIRST + timedelta(days=n)
        season = 1 + 0.2 * sin(2 * pi * (n - 80) / 365)
        rate = size * (1 + 0.6 * n / DAYS) * season * WEEKDAYS[day.weekday()] * sale(day)
        rate *= exp(chance.gauss(0, 0.05))
        rows = max(1, round(chance.gauss(rate, sqrt(rate))))
        drift += chance.gauss(0, 0.001)
        found["volume"].append(rows)
        found["freshness"].append(min(86_400, chance.expovariate(rows / 86_400) + 60))
        found["null_percent"].append(share(0.02 * exp(chance.gauss(0, 0.1)), rows, chance))
        asked = min(rows, 20_000)
        nulls = sum(chance.random() < 0.0005 for _ in range(asked))
        found[RARE].append(100 * nulls / asked)
        found["distinct_percent"].append(share(0.6 + chance.gauss(0, 0.01), rows, chance))
        average = 80 * exp(drift) * (0.9 if sale(day) > 1 else 1.0)
        average *= 1.04 if day.weekday() >= 5 else 1.0
        found["average"].append(average * (1 + chance.gauss(0, 0.01 + 0.8 / sqrt(rows))))
    return found


def share(p: float, rows: int, chance: random.Random) -> float:
    """What `p` becomes in so many rows, in percent."""
    return 100 * min(1.0, max(0.0, chance.gauss(p, sqrt(p * (1 - p) / rows))))


def planted(series: dict[str, list[float]], chance: random.Random) -> list[Incident]:
    """Change the series: 40 incidents, each kind about as often, not on one day."""
    kinds = [list(INCIDENTS)[n % len(INCIDENTS)] for n in range(PLANTED)]
    starts = sorted(chance.sample(range(60, DAYS - 7, 7), PLANTED))
    found = []
    for start, kind in zip(starts, chance.sample(kinds, PLANTED), strict=True):
        measure, length, changed = INCIDENTS[kind]
        first = start + chance.randrange(4)
        for n in range(first, first + length):
            series[measure][n] = changed(series[measure][n])
        found.append(Incident(kind, measure, range(first, first + length)))
    return found


def alarms(values: list[float], measure: str, rows: list[float]) -> set[int]:
    """The days that the check warns of, given the rows of each day."""
    history: dict[date, float] = {}
    found = set()
    for n, value in enumerate(values):
        day = FIRST + timedelta(days=n)
        one = expected(history, day, MEASURES[measure], rows[n])
        if one is not None and is_out_of(one, value, measure):
            found.add(n)
        history[day] = value
    return found


def is_out_of(found: Expected, value: float, measure: str) -> bool:
    """Whether a value is one to warn of."""
    return value > found.high or (value < found.low and measure not in {*ONLY_MORE, RARE})


def main(seeds: tuple[int, ...]) -> None:
    missed: dict[int, Counter[str]] = {size: Counter() for size in SIZES}
    print("False alarms in 100 days, of each measure:\n")
    print("| orders a day | seed | found of 40 |", " | ".join(MEASURES), "| worst |")
    print("|---|---|---|" + "---|" * len(MEASURES) + "---|")
    for size in SIZES:
        for seed in seeds:
            chance = random.Random(f"{size} {seed}")
            series = shop(size, chance)
            incidents = planted(series, chance)
            told = {m: alarms(values, m, series["volume"]) for m, values in series.items()}
            seen = [i for i in incidents if told[i.measure] & set(i.days)]
            missed[size].update(i.kind for i in incidents if i not in seen)
            false = {
                measure: days - {n for i in incidents if i.measure == measure for n in i.days}
                for measure, days in told.items()
            }
            each = [f"{100 * len(days) / (DAYS - LEAST):.2f}" for days in false.values()]
            worst = max(map(float, each))
            print(f"| {size:,} | {seed} | {len(seen)} |", " | ".join(each), f"| {worst:.2f} |")
    for size, kinds in missed.items():
        if kinds:
            print(f"missed at {size:,}:", ", ".join(f"{k} ({n})" for k, n in kinds.most_common()))


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SEEDS)
