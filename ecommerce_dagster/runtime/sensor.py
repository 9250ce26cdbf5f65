"""Assets that wait: until a query says yes, or until a table is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.durations import seconds_in
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.warehouses.sql_asset import AssetError

Mode = Literal["once", "wait", "skip"]
_POKE_SECONDS = 30.0
_TIMEOUT_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Patience:
    """How often a sensor asks, and for how long; both in seconds."""

    interval: float = _POKE_SECONDS
    timeout: float = _TIMEOUT_SECONDS

    @classmethod
    def of(cls, asset: Asset) -> Patience:
        """What the parameters `poke_interval` and `timeout` say. Raises ValueError."""
        interval, timeout = asset.parameter("poke_interval"), asset.parameter("timeout")
        return cls(
            seconds_in(interval) if interval else _POKE_SECONDS,
            seconds_in(timeout) if timeout else _TIMEOUT_SECONDS,
        )


def lint_sensor(asset: Asset, log: ProblemLog) -> None:
    """Report a sensor that asks nothing, or waits for no time that can be read."""
    wanted = "table" if asset.type.endswith("sensor.table") else "query"
    if not asset.parameter(wanted):
        message = f"a {asset.type} asset needs `parameters: {wanted}`"
        rule = "valid-table-sensor-table" if wanted == "table" else "valid-query-sensor"
        log.error(*asset.at("parameters"), rule, message)
    try:
        Patience.of(asset)
    except ValueError as error:
        log.error(*asset.at("parameters", "timeout"), "valid-sensor-timeout", str(error))


def wait(asset: Asset, ask: Callable[[], bool], mode: Mode, on_wait: Callable[[str], None]) -> None:
    """Return when `ask` says yes. Raises AssetError when it says no once (mode `once`), or when
    the time is over. Mode `skip` asks nothing."""
    if mode == "skip":
        return
    patience = Patience.of(asset)
    deadline = time.monotonic() + patience.timeout
    where = f"{asset.path}:{asset.line}"
    while not ask():
        if mode == "once":
            raise AssetError(
                f"{where}: Sensor didn't return the expected result; "
                "`--sensor-mode wait` asks until it does"
            )
        left = deadline - time.monotonic()
        if left <= 0:
            raise AssetError(
                f"{where}: waited {patience.timeout:g} s in vain; `timeout` says how long"
            )
        on_wait(f"{asset.name}: not yet; asking again in {min(patience.interval, left):g} s")
        time.sleep(min(patience.interval, left))
