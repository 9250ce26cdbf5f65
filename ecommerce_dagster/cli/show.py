"""`ecommerce show` and `ecommerce lineage`: what the files say, after everything is resolved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from ecommerce_dagster.bruin.graph import reached
from ecommerce_dagster.bruin.model.asset import Asset, Column, ColumnCheck
from ecommerce_dagster.bruin.paths import from_root
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates.render import (
    RunContext,
    render_nested,
    render_settled,
)
from ecommerce_dagster.cli.selection import asset_called

# What is printed in another form, or is not a definition.
_OWN_WORDS = {"body", "body_line", "columns", "depends", "enabled", "parameters"}


def show(project: Project, name: str | None, output: str) -> None:
    """Print one asset, or the whole pipeline."""
    assets = [asset_called(project, name)] if name else list(project.assets)
    if output == "json":
        print(json.dumps(resolved(project, assets), indent=2, default=str))
        return
    for asset in assets:
        _print_asset(project, asset)


def resolved(project: Project, assets: Sequence[Asset]) -> dict[str, Any]:
    """The definitions for programs, by the keys of the files."""
    pipeline = project.pipeline
    return {
        "pipeline": {
            "name": pipeline.name,
            "schedule": pipeline.schedule,
            "start_date": pipeline.start_date,
            "default_connections": pipeline.default_connections,
            "variables": dict(project.variables),
            "variants": list(pipeline.variants),
            "retries": pipeline.retries,
            "tags": list(pipeline.tags),
            "domains": list(pipeline.domains),
            "meta": pipeline.meta,
            "owner": pipeline.owner,
        },
        "assets": [_asset(project, asset) for asset in assets],
    }


def _asset(project: Project, asset: Asset) -> dict[str, Any]:
    context = RunContext(
        pipeline=project.pipeline.name,
        variables=project.variables,
        schema_prefix=project.connections.schema_prefix,
    )

    def render(text: str) -> str:
        return render_settled(text, context, asset.name, project.macros)

    return {
        "name": asset.name,
        "type": asset.type,
        "path": from_root(asset.path, project.root),
        **asset.model_dump(mode="json", exclude=_OWN_WORDS),
        "connection": project.connection_name(asset),
        "depends": [dependency.asset or dependency.uri for dependency in asset.depends],
        "parameters": render_nested(asset.parameters, render),
        "columns": [_column(column) for column in asset.columns],
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        **column.model_dump(mode="json", exclude={"checks"}),
        "primary_key": bool(column.primary_key),
        "nullable": column.nullable is not False,
        "checks": [_column_check(check) for check in column.checks],
    }


def _column_check(check: ColumnCheck) -> dict[str, Any]:
    values = check.model_dump(mode="json", include={"value", "min", "max", "pattern"})
    given = {key: value for key, value in values.items() if value is not None}
    return {
        "name": check.name,
        "blocking": check.blocking,
        "description": check.description,
        **given,
    }


def _print_asset(project: Project, asset: Asset) -> None:
    how = asset.materialization
    stored = " ".join(filter(None, (how.type if how.type != "none" else "", how.strategy)))
    click.secho(asset.name, bold=True)
    click.echo(
        f"  {asset.type}{f', {stored}' if stored else ''}  ({from_root(asset.path, project.root)})"
    )
    if asset.description:
        click.echo(f"  {' '.join(asset.description.split())}")
    if asset.depends:
        click.echo(f"  reads {', '.join(d.asset or d.uri for d in asset.depends)}")
    for column in asset.columns:
        checks = ", ".join(check.name for check in column.checks)
        key = " key" if column.primary_key else ""
        click.echo(f"    {column.name} {column.type}{key}{f'  [{checks}]' if checks else ''}")
    for check in asset.custom_checks:
        click.echo(f"    check: {check.name}")


def lineage(project: Project, name: str, output: str, *, full: bool) -> None:
    """Print what an asset is made of and what is made of it."""
    asset = asset_called(project, name)
    steps, near = None if full else 1, project.neighbours
    _, *upstream = reached([asset.name], near.upstream, steps)
    _, *downstream = reached([asset.name], near.downstream, steps)
    if output == "json":
        found = {"asset": asset.name, "upstream": upstream, "downstream": downstream}
        print(json.dumps(found, indent=2))
        return
    for title, names in (("upstream", upstream), ("downstream", downstream)):
        click.secho(f"{title} of {asset.name}:", bold=True)
        for other in names or ["(nothing)"]:
            click.echo(f"  {other}")
