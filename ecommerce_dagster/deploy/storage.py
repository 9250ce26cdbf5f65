"""Dagster's records in PostgreSQL, by connections that stay open."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine

from ecommerce_dagster.errors import MissingExtra

try:
    from dagster_postgres import DagsterPostgresStorage
except ModuleNotFoundError:
    raise MissingExtra("records in PostgreSQL need dagster-postgres", "postgres") from None


class PooledPostgresStorage(DagsterPostgresStorage):
    """dagster-postgres opens a connection for each event, which costs ten times as much as to write
    it: a run of 400 events is 800 connections. Here each process keeps its connections (three,
    more while several threads ask), and tries them first: the server may have started anew."""

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Any:
        storage = super().from_config_value(inst_data, config_value)
        parts: list[Any] = [
            storage.run_storage,
            storage.event_log_storage,
            storage.schedule_storage,
        ]
        for part in parts:
            part._engine = create_engine(
                storage.postgres_url,
                isolation_level="AUTOCOMMIT",
                pool_size=1,
                max_overflow=20,
                pool_pre_ping=True,
            )
            # The webserver would take connections that it does not try: an error for each after
            # the server has started anew.
            part.optimize_for_webserver = lambda **_: None
        return storage
