"""Play random histories of a source, of the sensor that follows it and of the runs it requests, and
compare every table with an independent model and with a rebuild.

    python benchmarks/histories.py --histories 1000 --seed 1 --jobs 2

A history that ends in a difference is played again with fewer actions, and printed by its seed with
those that are needed. `--only SEED` plays one and tells what happens in it; `--actions` those
alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import Empty
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from orchestration.histories.play import Action, History, Played, Stage, kind_of, stage  # noqa: E402 - tests/ is found by the line above


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no history after so many")
    parser.add_argument("--only", type=int, help="play the history of this seed, and tell it")
    parser.add_argument("--actions", help="with --only: these actions instead of its own")
    parser.add_argument("--own-server", action="store_true", help="all on servers of their own")
    parser.add_argument("--tables-only", action="store_true", help="no views, queries, odd names")
    parser.add_argument("--as-they-are", action="store_true", help="do not look for fewer actions")
    options = parser.parse_args()
    how = {"own_server": options.own_server or None, "tables_only": options.tables_only}
    if options.only is not None:
        return tell(options.only, options.actions, how)
    return play_all(options, how)


def tell(seed: int, actions: str | None, how: dict[str, Any]) -> int:
    history = History.drawn(seed, **how)
    if actions is not None:
        parts = [part.split(":") for part in actions.split()]
        chosen = tuple(Action(kind, int(number)) for kind, number in parts)
        history = replace(history, actions=chosen)
    print(history.plan(), "on its own server" if history.own_server else "")
    with stage() as place:
        played = place.play(history)
    print("\n".join([*played.log, *played.differences]))
    return 1 if played.differences else 0


def play_all(options: argparse.Namespace, how: dict[str, Any]) -> int:
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    seeds: Any = context.Queue()
    answers: Any = context.Queue()
    for seed in range(options.seed, options.seed + options.histories):
        seeds.put(seed)
    workers = [
        context.Process(target=work, args=(seeds, answers, how, options.as_they_are), daemon=True)
        for _ in range(options.jobs)
    ]
    for worker in workers:
        worker.start()
    actions: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    histories = ticks = runs = 0
    for seed, played, shorter in results(options, workers, answers, began):
        histories, ticks, runs = histories + 1, ticks + played.ticks, runs + played.runs
        actions += played.actions
        if played.differences:
            kinds[kind_of(played.differences[0])] += 1
            print(f"seed {seed}: {played.differences[0][:600]}\n    {shorter}", flush=True)
        if histories % 20 == 0:
            so_far = f"{histories} histories, {kinds.total()} with differences"
            print(f"{so_far}, {time.monotonic() - began:.0f} s", flush=True)
    print(" ".join(f"{kind} {count}" for kind, count in actions.most_common()))
    for kind, count in kinds.most_common():
        print(f"{count:5} {kind}")
    print(
        f"{histories} histories, {actions.total()} actions, {ticks} ticks, {runs} runs,"
        f" {kinds.total()} with differences, {time.monotonic() - began:.0f} s"
    )
    return 1 if kinds else 0


def results(
    options: argparse.Namespace, workers: list[Any], answers: Any, began: float
) -> Iterator[tuple[int, Played, str]]:
    """What the workers answer, until they have played everything, or the time is over."""
    for _ in range(options.histories):
        while True:
            if time.monotonic() - began > options.minutes * 60:
                return
            try:
                yield answers.get(timeout=5)
                break
            except Empty:
                if not any(worker.is_alive() for worker in workers):
                    return


def work(seeds: Any, answers: Any, how: dict[str, Any], as_they_are: bool) -> None:
    """Play histories in a process of their own, until there are no more."""
    parent = multiprocessing.parent_process()
    with stage() as place:
        while parent is not None and parent.is_alive():
            try:
                seed = seeds.get(timeout=1)
            except Empty:
                return
            answers.put((seed, *played_by(place, seed, how, as_they_are)))


def played_by(
    place: Stage, seed: int, how: dict[str, Any], as_they_are: bool
) -> tuple[Played, str]:
    """One history, and the actions that its difference needs."""
    history = History.drawn(seed, **how)
    try:
        played = place.play(history)
        if played.differences and not as_they_are:
            history = place.shortened(history, kind_of(played.differences[0]))
    except Exception:
        played = Played(["the model itself raises: " + traceback.format_exc()[-500:]])
    return played, str(history)


if __name__ == "__main__":
    sys.exit(main())
