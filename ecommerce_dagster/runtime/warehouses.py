"""The databases that hold tables of assets, by their platform.

To add one: write a `Warehouse` (see docs/extending.md), and an entry of WAREHOUSES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.connections import Connection
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.environment import publishes_copy, variables_for
from ecommerce_dagster.runtime.run_info import RunInfo
from ecommerce_dagster.sql.identifiers import quoted, relation, schema_of
from ecommerce_dagster.sql.strategies.registry import (
    lint_materialization,
    lint_postgres_materialization,
)
from ecommerce_dagster.warehouses.base import Warehouse
from ecommerce_dagster.warehouses.duckdb.database import is_file
from ecommerce_dagster.warehouses.postgres.databases import Ask
from ecommerce_dagster.warehouses.query import SCHEMAS, Answer, answer_of, lock, write_parquet

if TYPE_CHECKING:
    # A run does without the proof.
    from ecommerce_dagster.validation.project import Validation
    from ecommerce_dagster.warehouses.duckdb.locking import Locking

Log = Callable[[str], None]


class Opener(Protocol):
    """What a run gives to those who open its databases.

    `resource` gives the database of a connection, `locking_of` who else may write to it; `views`
    are the names of the pipeline's views.
    """

    @property
    def info(self) -> RunInfo: ...
    @property
    def views(self) -> list[str]: ...
    def resource(self, connection: str) -> Any: ...
    def locking_of(self, name: str) -> Locking: ...


@dataclass(frozen=True)
class WarehouseType:
    """A kind of database that holds tables of assets.

    `open` gives that of a connection, by its name, in a run. `lint` reports a materialization that
    cannot work there. `ask` gives what a query returns, at most so many rows (None for all), and
    lets it change nothing; it tells what it waits for. Raises QueryError for what the query does
    wrong, UnusableConnection, WarehouseError, SourceError for a database that cannot be asked.
    `proof` binds the queries of a project before a run; without one they are not bound.
    `to_parquet` writes what a query returns to a file, as `ask` reads it. `create_views` makes
    views of queries, by their names, and their schemas; `drop_schemas` drops the schemas whose
    names begin so, with all that is in them. `rows_hash` asks for what is another when a row of
    a table is another.
    """

    open: Callable[[Opener, str], Warehouse]
    lint: Callable[[Asset, ProblemLog], None]
    ask: Callable[[Connection, str, int | None, Log], Answer]
    create_views: Callable[[Connection, Mapping[str, str], Log], None]
    drop_schemas: Callable[[Connection, str, Log], None]
    rows_hash: str
    proof: Callable[[Project, Ask, Mapping[str, str], ProblemLog], Validation] | None = None
    to_parquet: Callable[[Connection, str, int | None, Log, Path], None] | None = None


def _duckdb(run: Opener, name: str) -> Warehouse:
    from ecommerce_dagster.warehouses.duckdb.warehouse import DuckDBWarehouse

    return DuckDBWarehouse(run.resource(name).get_connection, run.locking_of(name))


@contextmanager
def _duckdb_to_ask(
    connection: Connection, tell: Log, *folders: str
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A session for queries, which reach no files but the tables' and those in `folders`."""
    from ecommerce_dagster.warehouses.place import open_to_read

    variables = variables_for(connection.path)
    place, copies = connection.duckdb(variables), publishes_copy(variables)
    with open_to_read(place, copies=copies, on_wait=tell) as duck:
        if place.lakehouse or is_file(place.path):
            lock(duck, [*folders, *([place.lakehouse.data_path] if place.lakehouse else [])])
        yield duck


def _ask_duckdb(connection: Connection, sql: str, limit: int | None, tell: Log) -> Answer:
    with _duckdb_to_ask(connection, tell) as duck:
        return answer_of(duck, sql, limit)


def _duckdb_to_parquet(
    connection: Connection, sql: str, limit: int | None, tell: Log, path: Path
) -> None:
    with _duckdb_to_ask(connection, tell, str(path.parent)) as duck:
        write_parquet(duck, sql, limit, path)


def _views(queries: Mapping[str, str]) -> Iterator[str]:
    for schema in dict.fromkeys(map(schema_of, queries)):
        yield f"CREATE SCHEMA IF NOT EXISTS {schema}"
    for name, sql in queries.items():
        yield f"CREATE VIEW {relation(name)} AS {sql}"


def _create_in_duckdb(connection: Connection, queries: Mapping[str, str], tell: Log) -> None:
    from ecommerce_dagster.warehouses.place import open_place

    place = connection.duckdb(variables_for(connection.path))
    with open_place(place, on_wait=tell) as duck:
        duck.execute("BEGIN")
        for statement in _views(queries):
            duck.execute(statement)
        duck.execute("COMMIT")


def _drop_in_duckdb(connection: Connection, prefix: str, tell: Log) -> None:
    from ecommerce_dagster.warehouses.place import open_place

    place = connection.duckdb(variables_for(connection.path))
    with open_place(place, on_wait=tell) as duck:
        for (name,) in duck.execute(SCHEMAS, [prefix]).fetchall():
            duck.execute(f"DROP SCHEMA {quoted(name)} CASCADE")


def _postgres(run: Opener, name: str) -> Warehouse:
    from ecommerce_dagster.warehouses.postgres.warehouse import PostgresWarehouse

    return PostgresWarehouse(run.resource(name).settings(), run.info.on_wait, run.views)


def _ask_postgres(connection: Connection, sql: str, limit: int | None, tell: Log) -> Answer:
    from ecommerce_dagster.warehouses.postgres import query
    from ecommerce_dagster.warehouses.postgres.session import opened

    with opened(connection.postgres(variables_for(connection.path)), read_only=True) as session:
        return query.answer_of(session, sql, limit)


def _create_in_postgres(connection: Connection, queries: Mapping[str, str], tell: Log) -> None:
    from ecommerce_dagster.warehouses.postgres.session import opened

    with opened(connection.postgres(variables_for(connection.path))) as session:
        for statement in _views(queries):
            session.execute(statement.encode())
        session.commit()


def _drop_in_postgres(connection: Connection, prefix: str, tell: Log) -> None:
    from ecommerce_dagster.warehouses.postgres.session import opened

    with opened(connection.postgres(variables_for(connection.path))) as session:
        found = session.execute(SCHEMAS.replace("?", "%s").encode(), [prefix]).fetchall()
        for (name,) in found:
            session.execute(f"DROP SCHEMA {quoted(str(name))} CASCADE".encode())
        session.commit()


def _prove_postgres(
    project: Project, ask: Ask, variables: Mapping[str, str], log: ProblemLog
) -> Validation:
    from ecommerce_dagster.validation.postgres.project import PostgresBinding

    return PostgresBinding(project, ask, variables, log)


# Each function imports the database that it opens: with the driver of PostgreSQL that takes 90 ms,
# and `ecommerce validate` of a pipeline that lives in DuckDB 400 ms.
WAREHOUSES: Mapping[str, WarehouseType] = {
    # Its proof, in which all others take part, is validation/project.py.
    "duckdb": WarehouseType(
        _duckdb,
        lint_materialization,
        _ask_duckdb,
        _create_in_duckdb,
        _drop_in_duckdb,
        "SELECT count(*), sum(hash(t)) FROM {} AS t",
        to_parquet=_duckdb_to_parquet,
    ),
    "postgres": WarehouseType(
        _postgres,
        lint_postgres_materialization,
        _ask_postgres,
        _create_in_postgres,
        _drop_in_postgres,
        "SELECT count(*), sum(hashtextextended(CAST(t AS text), 0)) FROM {} AS t",
        _prove_postgres,
    ),
}
