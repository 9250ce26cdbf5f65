"""A small pipeline on a PostgreSQL of its own, and the sensor that follows it from tick to tick."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from typing import Any
from unittest import mock

import dagster as dg
import psycopg

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from orchestration.helpers import COUNT_AT_ONCE, QUIET, Tiny, config_with_source, run_all

PIPELINE = "name: tiny\nschedule: daily\nstart_date: '2025-03-01'\n"


@dg.job
def anything() -> None: ...


def later(minutes: float) -> AbstractContextManager[object]:
    """So many minutes from now."""
    then = time.time() + 60 * minutes
    return mock.patch("time.time", return_value=then)


class Watcher:
    """The sensor of a `Tiny` pipeline with the connection `pg`, and its cursor."""

    def __init__(self, tiny: Tiny, server: PostgresServer, instance: dg.DagsterInstance) -> None:
        self.tiny, self.instance, self.cursor = tiny, instance, ""
        # How the runs that it requests end.
        self.outcome = dg.DagsterRunStatus.SUCCESS
        self.pipeline()
        self.connect(server)

    def pipeline(self, text: str = PIPELINE) -> None:
        self.tiny.write("pipeline/pipeline.yml", text)

    def connect(self, server: PostgresServer, **login: str) -> None:
        """Let the connection be to this server."""
        self.server = server
        known = {"user": server.user, "database": server.database, **login}
        password = known.pop("password", server.password)
        text = config_with_source(server.host, server.port, password, **known)
        self.tiny.write(".bruin.yml", text)

    def load(self, name: str, source: str = "", **parameters: str) -> None:
        """An asset raw.NAME, loaded from the table of that name or from `source`."""
        given = {
            "source_connection": "pg",
            "source_table": source or f"public.{name}",
            **parameters,
        }
        lines = "".join(f"  {key}: {value!r}\n" for key, value in given.items())
        self.tiny.write(
            f"pipeline/assets/{name}.asset.yml",
            f"name: raw.{name}\ntype: ingestr\nparameters:\n{lines}",
        )

    def by_day(self, name: str, source: str = "", key: str = "at") -> None:
        """An asset that is loaded by the day of a time."""
        self.load(name, source, incremental_strategy="delete+insert", incremental_key=key)

    def execute(self, *statements: str) -> None:
        """Change the source: in one transaction, that is counted at once."""
        with closing(psycopg.connect(self.server.dsn)) as connection:
            for statement in (*statements, COUNT_AT_ONCE):
                connection.execute(statement.encode())
            connection.commit()

    def alone(self, statement: str) -> None:
        """A statement outside of a transaction."""
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def evaluate(self) -> Any:
        """What the sensor function returns. Raises what it raises."""
        definitions = self.definitions = self.tiny.definitions()
        sensor = definitions.resolve_sensor_def("tiny_pg_changes")
        resources = {"pg": (definitions.resources or {})["pg"]}
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor or None,
            resources=resources,
            definitions=definitions,
        ) as context:
            return sensor.evaluate_tick(context)

    def tick(self) -> Sequence[dg.RunRequest] | str:
        """The run requests of a tick, or why there is none."""
        result = self.evaluate()
        self.cursor = result.cursor or ""
        if result.skip_message:
            return str(result.skip_message)
        requests = list(result.run_requests or [])
        for request in requests:
            tags = {"dagster/run_key": str(request.run_key)}
            self.instance.create_run_for_job(anything, tags=tags, status=self.outcome)
        return requests

    def work(self) -> str:
        """A tick whose runs are executed: why there is none, or how they end."""
        result = self.evaluate()
        self.cursor = result.cursor or ""
        if result.skip_message:
            return str(result.skip_message)
        ends = [
            self.run(request, **{"dagster/run_key": str(request.run_key)}).dagster_run.status.value
            for request in result.run_requests or []
        ]
        return ", ".join(ends)

    def asked(self) -> set[str]:
        """What a tick asks for: days, and the names of the other assets that are loaded."""
        requests = self.tick()
        if isinstance(requests, str):
            return set()
        found = set()
        for request in requests:
            first = request.tags.get("dagster/asset_partition_range_start")
            last = request.tags.get("dagster/asset_partition_range_end")
            if first is not None:
                found.add(first if first == last else f"{first} to {last}")
            names = {key.to_user_string() for key in request.asset_selection or ()}
            found |= names - self.partitioned()
        return found

    def partitioned(self) -> set[str]:
        """The assets with partitions, as the last tick knew them."""
        specs = self.definitions.resolve_all_asset_specs()
        return {spec.key.to_user_string() for spec in specs if spec.partitions_def is not None}

    def run(self, request: dg.RunRequest, **tags: str) -> dg.ExecuteInProcessResult:
        """What Dagster makes of a run request."""
        job = self.tiny.definitions().resolve_implicit_global_asset_job_def()
        subset = job.get_subset(
            asset_selection=set(request.asset_selection or ()),
            asset_check_selection=set(request.asset_check_keys or ()),
        )
        return subset.execute_in_process(
            instance=self.instance,
            tags={**request.tags, **tags},
            run_config=QUIET,
            raise_on_error=False,
        )

    def build(self, **options: Any) -> dg.ExecuteInProcessResult:
        """Load everything."""
        return run_all(self.tiny.definitions(), self.instance, **options)
