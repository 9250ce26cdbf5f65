"""`ecommerce new asset`: a file that is valid as it stands, to be filled in."""

from __future__ import annotations

from pathlib import Path

import click

from ecommerce_dagster.bruin.project import Project

_SQL = """\
/* @bruin
name: {name}
type: duckdb.sql
description: What one row is, in words a business user understands.
materialization:
  type: table
depends: []
columns:
  - name: id
    type: bigint
    description: What the column means.
    checks:
      - name: not_null
@bruin */

SELECT 1 AS id
"""
_INGESTR = """\
name: {name}
type: ingestr
description: What one row is, in words a business user understands.
parameters:
  source_connection: {connection}
  source_table: public.{table}
  destination: duckdb
"""
_PYTHON = '''\
"""@bruin
name: {name}
type: python
description: What one row is, in words a business user understands.
materialization:
  type: table
columns:
  - name: id
    type: bigint
    description: What the column means.
    checks:
      - name: not_null
@bruin"""


def materialize():
    return [{{"id": 1}}]
'''
TEMPLATES = {
    "duckdb.sql": (".sql", _SQL),
    "ingestr": (".asset.yml", _INGESTR),
    "python": (".py", _PYTHON),
}


def create_asset(project: Project, name: str, kind: str) -> None:
    """Write the file of a new asset into the folder of its layer. Never replaces a file."""
    suffix, template = TEMPLATES[kind]
    layer, _, table = name.rpartition(".")
    path = project.directory / "assets" / Path(*layer.split(".")) / f"{name}{suffix}"
    if name in project.by_name:
        raise click.ClickException(f"{name} exists already: {project.by_name[name].path}")
    if path.exists():
        raise click.ClickException(f"{path} exists already")
    sources = [c.name for c in project.connections.by_name.values() if c.platform == "postgres"]
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sources[0] if sources else "pg-default"
    path.write_text(template.format(name=name, table=table, connection=connection))
    click.echo(f"{path}\nFill it in, then: ecommerce validate && ecommerce run {name}")
