"""Which tables a comparison is about, and how their rows are matched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ecommerce_dagster.bruin.config_file import default_connection_name
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.schema_prefix import prefixed_name
from ecommerce_dagster.runtime.asset_types import has_table
from ecommerce_dagster.runtime.diff.compare import How, TableDifference, difference
from ecommerce_dagster.runtime.diff.session import Side, Tell


@dataclass(frozen=True)
class Pair:
    """Two tables to be compared; `asset` makes the second one, if a file of the pipeline does.
    Unless it `shows_rows` there are no examples."""

    name: str
    before: Side
    after: Side
    asset: Asset | None = None
    shows_rows: bool = True

    def find(self, wished: How, tell: Tell) -> TableDifference:
        """Compare them as wished; by the key of the asset where none is. Raises as `difference`."""
        asset = self.asset
        how = replace(wished, usual_key=asset.primary_key or _unique(asset)) if asset else wished
        if not self.shows_rows:
            how = replace(how, examples=0)
        return difference(self.before, self.after, how, tell)

    @property
    def hidden(self) -> set[str]:
        """The columns whose values are not shown, in lower case."""
        return self.asset.masked if self.asset else set()


def pair_of(project: Project, before: str, after: str | None, connection: str | None) -> Pair:
    """The pair that two arguments name, each as `[connection:]table[@moment]`; without `after` the
    same table as it is now. Raises UnusableConnection."""
    old = _side(project, before, connection)
    new = _side(project, after, connection) if after else replace(old, moment=None)
    if after is None:
        new = replace(new, label=before.rpartition("@")[0])
    name = _table(after or before)
    asset = project.by_name.get(name) or project.by_name.get(_table(before))
    return Pair(name, old, new, asset, asset is None or project.shows_rows(asset))


def pairs_of(production: Project, here: Project, names: Sequence[str]) -> Iterator[Pair]:
    """The tables of assets in two environments of a project, all of them without `names`."""
    for asset in here.assets:
        if (names and asset.name not in names) or not has_table(asset):
            continue
        there = production.by_name.get(asset.name, asset)
        before, after = _in_environment(production, there), _in_environment(here, asset)
        yield Pair(asset.name, before, after, asset, here.shows_rows(asset))


def _in_environment(project: Project, asset: Asset) -> Side:
    table = prefixed_name(asset.name, project.connections.schema_prefix)
    connection = project.connections.get(project.connection_name(asset))
    return Side(connection, table, label=f"{project.connections.environment}: {table}")


def _side(project: Project, text: str, connection: str | None) -> Side:
    written, _, moment = text.rpartition("@") if "@" in text else (text, "", "")
    name = _table(text)
    asset = project.by_name.get(name)
    default = default_connection_name("duckdb", project.pipeline.default_connections)
    own = project.connection_name(asset) if asset else default
    named = written.rpartition(":")[0] or connection or own
    table = prefixed_name(name, project.connections.schema_prefix) if asset else name
    return Side(project.connections.get(named), table, moment or None, text)


def _table(text: str) -> str:
    """The table of an argument."""
    written = text.rpartition("@")[0] if "@" in text else text
    return written.rpartition(":")[2]


def _unique(asset: Asset) -> tuple[str, ...]:
    """A column that is checked to be unique and never NULL."""
    for column in asset.columns:
        if {"unique", "not_null"} <= {check.name for check in column.checks}:
            return (column.name,)
    return ()
