"""The embedded PostgreSQL as a Dagster resource: it runs as long as the run that needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import dagster as dg
from pydantic import PrivateAttr

from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer


class EmbeddedPostgresResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # it would be this class
    """Starts the server of `data_dir` for a run, or joins the one that another process started."""

    data_dir: str
    _server: PostgresServer | None = PrivateAttr(default=None)

    @classmethod
    def for_folder(cls, data_dir: Path) -> Self:
        """The resource for the cluster in `data_dir`, which is made when it is missing."""
        return cls(data_dir=str(data_dir))

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        """Hold the server for the length of a run."""
        Path(self.data_dir).parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        with EmbeddedPostgres(Path(self.data_dir)) as server:
            self._server = server
            yield self

    def settings(self) -> PostgresConnection:
        """Where the database is and which user connects."""
        assert self._server is not None, "the server runs inside of a Dagster run only"
        server = self._server
        return PostgresConnection(
            server.host, server.port, server.database, server.user, server.password
        )
