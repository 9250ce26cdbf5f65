"""The variables that `.bruin.yml` refers to. Does not import Dagster."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values


def variables_for(config_file: Path | None) -> dict[str, str]:
    """What `${VAR}` can refer to: the environment, else `.env` beside `.bruin.yml`."""
    values: dict[str, str] = {}
    if config_file is not None:
        found = dotenv_values(config_file.parent / ".env")
        values.update({key: value for key, value in found.items() if value is not None})
    return {**values, **os.environ}
