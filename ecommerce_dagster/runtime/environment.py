"""The variables that `.bruin.yml` refers to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from ecommerce_dagster.bruin.on_off import switched


def variables_for(config_file: Path | None) -> dict[str, str]:
    """What `${VAR}` can refer to: the environment, else `.env` beside `.bruin.yml`."""
    values: dict[str, str] = {}
    if config_file is not None:
        found = dotenv_values(config_file.parent / ".env")
        values.update({key: value for key, value in found.items() if value is not None})
    return {**values, **os.environ}


def publishes_copy(variables: Mapping[str, str]) -> bool:
    """Whether readers get a copy of the warehouse; ECOMMERCE_PUBLISHED_COPY=off says no."""
    return switched(variables.get("ECOMMERCE_PUBLISHED_COPY", "on")) is not False
