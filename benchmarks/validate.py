"""How long `ecommerce validate` takes on a large pipeline, in a process of its own.

    python benchmarks/validate.py            # 200 files
    python benchmarks/validate.py 1000 5     # so many files, so many times

Writes a pipeline of ingested, staging and mart tables with columns, checks, hooks and templates
into a temporary folder, validates it, and prints the seconds of the fastest and the slowest run of
each kind.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLUMNS = 8
INGESTED = """name: raw.t{n}
type: ingestr
description: Table {n} of the source.
tags: [raw]
parameters:
  source_connection: pg-default
  source_table: public.t{n}
  destination: duckdb
columns:
  - {{name: id, type: integer, primary_key: true, checks: [{{name: unique}}, {{name: not_null}}]}}
{source}
"""
STAGED = """/* @bruin
name: stg.t{n}
type: duckdb.sql
description: Table {n}, one row for each id.
tags: [stg]
materialization: {{type: table}}
depends: [raw.t{n}]
columns:
  - {{name: id, type: integer, primary_key: true, checks: [{{name: unique}}, {{name: not_null}}]}}
{columns}
custom_checks:
  - name: no future
    query: SELECT count(*) FROM stg.t{n} WHERE updated_at > '{{{{ end_timestamp }}}}'
@bruin */

WITH numbered AS (
    SELECT *, row_number() OVER (PARTITION BY id ORDER BY updated_at DESC) AS n
    FROM raw.t{n}
    {{% if not full_refresh %}}WHERE updated_at >= '{{{{ start_timestamp }}}}'{{% endif %}}
)
SELECT id, {names}, updated_at
FROM numbered
WHERE n = 1
"""
MART = """/* @bruin
name: mart.t{n}
type: duckdb.sql
description: Totals of table {n} by day.
owner: a@b.c
tags: [mart]
materialization: {{type: table}}
depends: [stg.t{n}{more}]
hooks: {{post: [{{query: "DELETE FROM mart.t{n} WHERE total < 0"}}]}}
columns:
  - {{name: day, type: date, checks: [{{name: not_null}}, {{name: unique}}]}}
  - {{name: total, type: "decimal(18,2)", checks: [{{name: non_negative}}]}}
@bruin */

SELECT date_trunc('day', a.updated_at)::DATE AS day, sum(a.c1)::DECIMAL(18, 2) AS total
FROM stg.t{n} AS a
LEFT JOIN stg.t{other} AS b USING (id)
GROUP BY ALL
"""
CONFIG = """default_environment: default
environments:
  default:
    connections:
      duckdb: [{name: duckdb-default, path: warehouse.duckdb}]
      postgres: [{name: pg-default, host: "${NOBODY}", username: u, password: p, database: d}]
"""


def write(folder: Path, files: int) -> None:
    """A pipeline with so many assets, a third of each kind."""
    (folder / "assets").mkdir()
    (folder / "pipeline.yml").write_text("name: large\n")
    (folder / ".bruin.yml").write_text(CONFIG)
    columns = "".join(
        f"  - {{name: c{c}, type: double, checks: [{{name: range, min: 0, max: 9}}]}}\n"
        for c in range(1, COLUMNS)
    ).rstrip()
    source = "".join(f"  - {{name: c{c}, type: double}}\n" for c in range(1, COLUMNS))
    source += "  - {name: updated_at, type: timestamp}\n"
    names = ", ".join(f"c{c}" for c in range(1, COLUMNS))
    kinds = {"asset.yml": INGESTED, "stg.sql": STAGED, "mart.sql": MART}
    for number in range(files):
        suffix, text = list(kinds.items())[number % 3]
        n = number // 3
        text = text.format(
            n=n,
            other=max(n - 1, 0),
            more=f", stg.t{n - 1}" if n else "",
            columns=columns,
            names=names,
            source=source,
        )
        (folder / "assets" / f"t{n}.{suffix}").write_text(text)


def seconds(folder: Path, *options: str) -> float:
    """How long one run takes, from the start of its process to its end."""
    command = [str(Path(sys.executable).with_name("ecommerce")), "validate", str(folder), *options]
    start = time.perf_counter()
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        sys.exit(outcome.stdout + outcome.stderr)
    return time.perf_counter() - start


def main(files: int = 200, times: int = 3) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), files)
        for options in ((), ("--fast",)):
            found = sorted(seconds(Path(name), *options) for _ in range(times))
            what = " ".join(["validate", *options])
            print(f"{files} files, {what}: {found[0]:.2f} to {found[-1]:.2f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
