"""`ecommerce new`: files that are valid as they stand, to be filled in."""

from __future__ import annotations

from pathlib import Path

import click

from ecommerce_dagster.bruin.config_file import default_connection_name
from ecommerce_dagster.bruin.formatting import formatted
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog, from_here
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.starter import CONNECTIONS, write_pipeline

# `{columns}` of the templates.
_COLUMNS = """\
columns:
  - name: id
    type: bigint
    description: What the column means.
    checks:
      - name: not_null
"""
_SQL = """\
/* @bruin
name: {name}
type: {kind}
description: What one row is, in words a business user understands.
materialization:
  type: table
depends: []
{columns}@bruin */

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
{columns}@bruin"""


def materialize():
    return [{{"id": 1}}]
'''
_SEED = """\
name: {name}
type: {kind}
description: What one row is, in words a business user understands.
parameters:
  path: {name}.csv
{columns}"""
_SOURCE = """\
name: {name}
type: {kind}
description: What one row is, and who makes this table.
{columns}"""
_SENSOR_QUERY = """\
name: {name}
type: {kind}
description: What is waited for.
parameters:
  query: SELECT true
"""
_SENSOR_TABLE = """\
name: {name}
type: {kind}
description: What is waited for.
parameters:
  table: public.{table}
"""
_EMPTY = """\
name: {name}
type: empty
description: What this name in the graph stands for.
"""
_YAML = ".asset.yml"
# By the type of the asset without its platform.
_TEMPLATES = {
    "sql": (".sql", _SQL),
    "seed": (_YAML, _SEED),
    "source": (_YAML, _SOURCE),
    "sensor.query": (_YAML, _SENSOR_QUERY),
    "sensor.table": (_YAML, _SENSOR_TABLE),
    "ingestr": (_YAML, _INGESTR),
    "python": (".py", _PYTHON),
    "empty": (_YAML, _EMPTY),
}


def create_asset(project: Project, name: str, kind: str) -> None:
    """Write the file of a new asset into the folder of its layer. Never replaces a file."""
    _, _, of_platform = kind.partition(".")
    suffix, template = _TEMPLATES[of_platform or kind]
    layer, _, table = name.rpartition(".")
    path = project.directory / "assets" / Path(*layer.split(".")) / f"{name}{suffix}"
    if name in project.by_name:
        raise click.ClickException(f"{name} exists already: {project.by_name[name].path}")
    files = {path: template}
    if kind.endswith(".seed"):
        files[path.with_name(f"{name}.csv")] = "id\n1\n"
    for file in files:
        if file.exists():
            raise click.ClickException(f"{file} exists already; choose another name")
    words = {"name": name, "table": table, "connection": _postgres(project), "kind": kind}
    words["columns"] = _COLUMNS
    if kind.startswith("pg.") and words["connection"] != project.connection_name(Asset(type=kind)):
        words["kind"] = f"{kind}\nconnection: {words['connection']}"
    path.parent.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        file.write_text(formatted(text.format(**words), file, ProblemLog()))
        click.echo(str(from_here(file)))
    click.echo(f"Fill it in, then: ecommerce validate && ecommerce run {name}")


def create_pipeline(folder: Path) -> None:
    """Write a pipeline into a folder, and say what to run. Raises FolderError."""
    folder = folder.absolute()
    here = Path.cwd()
    written = write_pipeline(folder, here if folder.is_relative_to(here) else folder)
    for path in written:
        click.echo(str(from_here(path)))
    if not any(path.name == ".bruin.yml" for path in written):
        click.echo(f"The .bruin.yml that is there stays; the files need its {CONNECTIONS}.")
    click.echo(f"Try it: ecommerce run --pipeline {from_here(folder)}")


def _postgres(project: Project) -> str:
    """The PostgreSQL connection that a new asset uses: the default one, else the first."""
    default = default_connection_name("postgres", project.pipeline.default_connections)
    names = [c.name for c in project.connections.by_name.values() if c.platform == "postgres"]
    return default if default in names or not names else names[0]
