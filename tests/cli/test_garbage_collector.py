"""When Python looks for garbage: not where it costs time and there is none, and as ever else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestration.helpers import clean_environment

# What is registered first is called last.
AT_THE_END = """
import atexit, gc
atexit.register(lambda: print("kept:", gc.get_freeze_count() > 0, "left:", len(gc.get_objects())))
"""
COMMAND = """
from ecommerce_dagster.shop.commands import main
main(["completion", "bash"])
"""
# The collector at each file that is read.
LOAD = """
import gc
from ecommerce_dagster.orchestration import build
seen, load = set(), build.load_project
build.load_project = lambda *a, **b: (seen.add(gc.isenabled()), load(*a, **b))[1]
{load}
print("while loading:", *seen, "afterwards:", gc.isenabled())
"""


def said_by(script: str, folder: Path | None = None) -> str:
    variables = {"ECOMMERCE_PIPELINE": str(folder)} if folder else {}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment(**variables),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def pipeline(folder: Path) -> Path:
    (folder / "pipeline.yml").write_text("name: p\n")
    (folder / "assets").mkdir()
    header = "/* @bruin\nname: a.t\ntype: duckdb.sql\n@bruin */\n"
    (folder / "assets" / "t.sql").write_text(f"{header}SELECT 1 AS n\n")
    return folder


def test_a_command_ends_without_looking_through_its_objects() -> None:
    assert said_by(AT_THE_END + COMMAND) == "kept: True left: 0"


def test_the_code_location_is_loaded_without_looking_for_garbage(tmp_path: Path) -> None:
    load = "from ecommerce_dagster.definitions import defs; defs()"

    said = said_by(LOAD.format(load=load), pipeline(tmp_path))

    assert said == "while loading: False afterwards: True"


def test_a_code_location_of_others_keeps_its_collector(tmp_path: Path) -> None:
    load = f"from ecommerce_dagster import build_defs; build_defs({str(pipeline(tmp_path))!r})"

    assert said_by(LOAD.format(load=load)) == "while loading: True afterwards: True"
