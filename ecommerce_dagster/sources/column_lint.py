"""The columns of what assets are loaded from, asked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates.render import RenderError, RunContext, render_nested
from ecommerce_dagster.sources.masks import by_column
from ecommerce_dagster.sources.parameters import excluded_of, source_table_of
from ecommerce_dagster.sources.seeds.files import SeedError
from ecommerce_dagster.sources.seeds.seed import Seed
from ecommerce_dagster.sql.used_tables import key_of
from ecommerce_dagster.warehouses.postgres.databases import Ask


class SourceColumns:
    """Asks the sources of a project's assets. `log` gets a table that does not exist."""

    def __init__(self, project: Project, ask: Ask, log: ProblemLog) -> None:
        self._project, self._ask, self._log = project, ask, log
        made = [asset for asset in project.assets if project.platform(asset) == "postgres"]
        self._made = {key_of(asset.name) for asset in made if asset.type != "pg.source"}

    def __call__(self, asset: Asset) -> Mapping[str, str] | None:
        """The DuckDB type of each column, empty when only the values tell it. None: not known."""
        if asset.type == "ingestr":
            return self._of_postgres(asset)
        if asset.type.endswith(".seed"):
            try:
                seed = Seed(asset, self._project.checkout)
                return None if seed.is_remote else seed.schema()
            except SeedError:
                return None
        return None

    def _of_postgres(self, asset: Asset) -> Mapping[str, str] | None:
        try:
            asset = self._rendered(asset)
        except RenderError:
            return None
        found = self._ask(asset.parameter("source_connection"))
        table = source_table_of(asset, None)
        if found is None or not table.strip():
            return None
        # Only where there is a server: the driver takes 60 ms of the 400 of a validation.
        import psycopg

        from ecommerce_dagster.sources.postgres.describe import described_in, path_of
        from ecommerce_dagster.warehouses.postgres.connect import SourceError

        postgres, connection = found
        masks = {name: mask for name, mask in by_column(asset).items() if mask.is_known}
        try:
            source = described_in(postgres, connection, table, excluded_of(asset), masks)
        except SourceError as error:
            # The pipeline may make it before.
            if key_of(".".join(path_of(table, connection.schema))) not in self._made:
                at = asset.at("parameters", "source_table")
                self._log.warning(*at, "source-table-exists", str(error))
            return None
        except psycopg.Error:
            return None
        finally:
            with suppress(psycopg.Error):
                postgres.rollback()
        return {column.name: column.fixed_type or "" for column in source.columns}

    def _rendered(self, asset: Asset) -> Asset:
        context = RunContext(
            pipeline=self._project.pipeline.name, variables=self._project.variables
        )
        parameters = render_nested(
            asset.parameters, lambda text: self._project.render(text, context, asset)
        )
        return asset.model_copy(update={"parameters": parameters})
