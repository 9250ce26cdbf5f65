"""A project on one machine: where its state lives, and what its `.env` says.

All state is in one folder, `.ecommerce/` of the project (or where ECOMMERCE_HOME says). What the
user sets (DUCKDB_PATH, DAGSTER_HOME; environment or `.env`) wins.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from dotenv import dotenv_values

from ecommerce_dagster.errors import BruinError


class StateError(BruinError):
    """Dagster's records of runs cannot be kept; the text is for the user."""


ROOT = Path(__file__).resolve().parent.parent
PIPELINE = ROOT / "asset_specs"
CODE_LOCATION = "ecommerce_dagster.definitions"
# An installed package has no pipeline beside it.
IS_CHECKOUT = (PIPELINE / "pipeline.yml").is_file()

_SETTINGS = Path(__file__).with_name("dagster.yaml")
_STATE = ".ecommerce"
# The nearest one marks the root of a project.
_ROOT_MARKS = ("pyproject.toml", ".bruin.yml", ".git")

# For a DAGSTER_HOME of the user's without a dagster.yaml.
NO_SETTINGS = "telemetry:\n  enabled: false\n"
# Where an instance keeps its events, in its folder: Dagster's own place.
EVENTS = Path("history", "runs")
_EVENTS = """
event_log_storage:
  module: ecommerce_dagster.orchestration.event_log
  class: EventLog
  config:
    base_dir: {folder}
"""


def project_of(folder: Path) -> Path:
    """The root of the project that a folder lies in: the nearest folder from there upwards with a
    pyproject.toml, a .bruin.yml or a git repository; without one that of the pipeline, else the
    folder itself."""
    from ecommerce_dagster.bruin.discovery import PIPELINE_FILES
    from ecommerce_dagster.bruin.project import find_upwards

    folder = folder.absolute()
    found = find_upwards(folder, _ROOT_MARKS, Path.exists) or find_upwards(folder, PIPELINE_FILES)
    return found.parent if found else folder


def state_dir() -> Path:
    """The folder of all local state; it may not exist yet."""
    return Path(os.environ.get("ECOMMERCE_HOME") or project_of(_here()) / _STATE).absolute()


def _here() -> Path:
    """The folder that is meant where none is named."""
    return PIPELINE if IS_CHECKOUT else Path.cwd()


def located_pipeline() -> Path:
    """The folder of the code location: ECOMMERCE_PIPELINE, else the shop's pipeline in a checkout
    of this package, else the current folder."""
    return Path(os.environ.get("ECOMMERCE_PIPELINE") or _here()).absolute()


def make_private(*folders: str) -> None:
    """Make the folder of local state and these in it, for this user alone.

    A folder that existed before (ECOMMERCE_HOME) keeps its mode. When root starts PostgreSQL, that
    runs as another user, who has to pass the outer folder: to pass is not to list.
    """
    outer = state_dir()
    ours = outer.name == _STATE
    if ours or not outer.exists():
        _make(outer, 0o711 if os.geteuid() == 0 else 0o700, tighten=True)
    if ours:
        # In a project's repository nothing of it is to be committed.
        with suppress(FileExistsError, PermissionError), (outer / ".gitignore").open("x") as file:
            file.write("*\n")
    for name in folders:
        _make(outer / name, 0o700, tighten=ours)


def _make(folder: Path, mode: int, *, tighten: bool) -> None:
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise StateError(f"{folder} is a file; move it: a folder is needed there") from None
    if is_new or tighten:
        # It may be another user's.
        with suppress(PermissionError):
            folder.chmod(mode)


def report_file(asset: str) -> Path:
    """The page that a report makes: of `report.sales` sales.html."""
    return state_dir() / "reports" / f"{asset.rpartition('.')[2]}.html"


def load_environment(folder: Path | None = None) -> None:
    """Give this process, and those it starts, what is not set in the environment: what `.env` of
    the project says, and the paths of its local state.

    Args:
        folder: Any folder of the project. Default: the shop's pipeline in a checkout of this
            package, else the current folder.
    """
    project = project_of(folder or _here())
    for name, value in dotenv_values(project / ".env").items():
        if value is not None:
            os.environ.setdefault(name, value)
    if not os.environ.get("ECOMMERCE_HOME"):
        os.environ["ECOMMERCE_HOME"] = str(project / _STATE)
    os.environ.setdefault("DUCKDB_PATH", str(state_dir() / "warehouse.duckdb"))


def environment() -> str | None:
    """The environment of `.bruin.yml` that is chosen here; None for its default one."""
    return os.environ.get("ECOMMERCE_ENVIRONMENT") or None


def watches() -> bool:
    """Whether the sensors on source data run without being started, as in `ecommerce dev`."""
    return os.environ.get("ECOMMERCE_WATCH") == "1"


def code_location() -> str:
    """The name by which Dagster's UI knows the code location of the pipeline here."""
    return os.environ.get("ECOMMERCE_CODE_LOCATION") or CODE_LOCATION


def dagster_home() -> Path:
    """The folder of the local Dagster instance, with this package's dagster.yaml in it."""
    if os.environ.get("DAGSTER_HOME"):
        home = Path(os.environ["DAGSTER_HOME"])
        home.mkdir(parents=True, exist_ok=True)
        # Without one Dagster says so in each command, and asks to send usage data.
        with suppress(FileExistsError, PermissionError), (home / "dagster.yaml").open("x") as file:
            file.write(NO_SETTINGS)
        return home
    make_private("dagster")
    # Of reports only those who write one need the folder, and they say what is wrong with it.
    with suppress(StateError):
        make_private("reports")
    home = state_dir() / "dagster"
    # In one step: another process may read it just now.
    new = home / f"dagster.yaml.{os.getpid()}"
    text = _SETTINGS.read_text()
    new.write_text(text + _EVENTS.format(folder=json.dumps(str(home / EVENTS))))
    new.replace(home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    return home
