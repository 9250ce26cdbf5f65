"""One asset file at a time, run for real in a database of a running server."""

from __future__ import annotations

from functools import partial

from contract import helpers
from contract.helpers import BODY_LINE, FILE, TABLE, VIEW, values
from contract.helpers import Postgres as Warehouse

__all__ = ["BODY_LINE", "FILE", "TABLE", "VIEW", "Warehouse", "asset_of", "values"]

asset_of = partial(helpers.asset_of, kind="pg.sql")
