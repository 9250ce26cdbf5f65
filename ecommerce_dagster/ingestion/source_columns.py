"""The columns of what assets are loaded from, asked before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Self

import psycopg

from ecommerce_dagster.bruin.connections import PostgresConnection, UnusableConnection
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates import RenderError, RunContext, render_nested
from ecommerce_dagster.ingestion.masks import by_column
from ecommerce_dagster.ingestion.parameters import excluded_of, source_table_of
from ecommerce_dagster.ingestion.postgres import SourceError, session
from ecommerce_dagster.ingestion.seed import Seed
from ecommerce_dagster.ingestion.seed_files import SeedError
from ecommerce_dagster.ingestion.source import described_in

# Longer than a server needs, and short enough to wait for at each save of a file.
_SECONDS = 2


class SourceColumns:
    """Asks the sources of a project's assets, as a context: each database in one session.

    `log` gets a table that does not exist, `note` once for each database why nobody answers.
    """

    def __init__(
        self,
        project: Project,
        variables: Mapping[str, str],
        log: ProblemLog,
        note: Callable[[str], None],
    ) -> None:
        self._project, self._variables, self._log, self._note = project, variables, log, note
        self._sessions: dict[str, _Session | None] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(SourceError, psycopg.Error):
            self._open.close()

    def __call__(self, asset: Asset) -> Mapping[str, str] | None:
        """The DuckDB type of each column, empty when only the values tell it. None: not known."""
        if asset.type == "ingestr":
            return self._of_postgres(asset)
        if asset.type.endswith(".seed"):
            try:
                return Seed(asset, self._project.root).schema()
            except SeedError:
                return None
        return None

    def _of_postgres(self, asset: Asset) -> Mapping[str, str] | None:
        try:
            asset = self._rendered(asset)
        except RenderError:
            return None
        found = self._session(asset.parameter("source_connection"))
        table = source_table_of(asset, None)
        if found is None or not table.strip():
            return None
        postgres, connection = found
        masks = {name: mask for name, mask in by_column(asset).items() if mask.is_known}
        try:
            source = described_in(postgres, connection, table, excluded_of(asset), masks)
        except SourceError as error:
            self._log.warning(
                *asset.at("parameters", "source_table"), "source-table-exists", str(error)
            )
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

    def _session(self, name: str) -> _Session | None:
        if name not in self._sessions:
            self._sessions[name] = self._opened(name)
        return self._sessions[name]

    def _opened(self, name: str) -> _Session | None:
        known = self._project.connections.by_name.get(name)
        if known is None or known.platform != "postgres":
            return None
        try:
            connection = known.postgres(self._variables)
            return self._open.enter_context(session(connection, _SECONDS)), connection
        except (UnusableConnection, SourceError) as error:
            self._note(f"{error}; the columns of its tables are taken from the files")
        return None


_Session = tuple[psycopg.Connection[tuple[object, ...]], PostgresConnection]
