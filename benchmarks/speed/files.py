"""A pipeline of many small files: five columns and three checks each."""

from __future__ import annotations

from pathlib import Path

_PIPELINE = "name: many\nschedule: daily\nstart_date: '2025-01-01'\n"
_CONFIG = """default_environment: default
environments:
  default:
    connections:
      duckdb: [{name: duckdb-default, path: warehouse.duckdb}]
"""
_ASSET = """/* @bruin
name: s{schema}.t{number}
type: duckdb.sql
description: Table {number}.
materialization: {{type: table}}
{depends}columns:
{columns}@bruin */

SELECT {select}
"""


def write_pipeline(folder: Path, files: int, chain: int = 10) -> Path:
    """So many SQL assets, in chains of so many. The folder."""
    (folder / "assets").mkdir(parents=True)
    (folder / "pipeline.yml").write_text(_PIPELINE)
    (folder / ".bruin.yml").write_text(_CONFIG)
    columns = "".join(
        f"  - {{name: c{n}, type: integer, description: Column {n}.{check}}}\n"
        for n, check in enumerate([", checks: [{name: not_null}]"] * 3 + [""] * 2)
    )
    for number in range(files):
        above = f"s{(number - 1) % 10}.t{number - 1}" if number % chain else ""
        names = ", ".join(f"c{n}" if above else f"{n} AS c{n}" for n in range(5))
        text = _ASSET.format(
            schema=number % 10,
            number=number,
            depends=f"depends: [{above}]\n" if above else "",
            columns=columns,
            select=f"{names} FROM {above}" if above else names,
        )
        (folder / "assets" / f"t{number}.sql").write_text(text)
    return folder
