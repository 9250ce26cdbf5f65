"""What fails says where and why in one line, changes nothing, and gives no secret away."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from ecommerce_dagster.sources.postgres.ingest import Ingestion
from ecommerce_dagster.warehouses.duckdb import extensions, target
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.duckdb.transaction import DuckDBTransaction
from ecommerce_dagster.warehouses.postgres import connect
from ecommerce_dagster.warehouses.publish import publish
from ingestion.helpers import QUERY, TABLE, World, asset_of

# Everything that a connection string, a shell or SQL could stumble over.
PASSWORD = "p@ss'w\"o rd\\ %2F$€:/?#&="


@pytest.fixture(autouse=True)
def table(w: World) -> None:
    w.sql("CREATE TABLE t (id int, v numeric)", "INSERT INTO t VALUES (1, 2)")


def test_a_server_that_is_not_there(w: World) -> None:
    nowhere = replace(w.connection, port=1)
    message = w.failure(connection=nowhere)
    assert message.startswith(f"PostgreSQL at {nowhere.address} cannot be reached: ")
    assert message.endswith("Connection refused")


def test_a_host_that_is_not_known(w: World) -> None:
    message = w.failure(connection=replace(w.connection, host="nowhere.invalid"))
    assert "cannot be reached: could not translate host name" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"password": "wrong'\\"}, 'password authentication failed for user "postgres"'),
        ({"database": "no such"}, 'database "no such" does not exist'),
        ({"user": "no'body"}, 'password authentication failed for user "no\'body"'),
        ({"ssl_mode": "require"}, "server does not support SSL"),
        ({"ssl_mode": "never"}, 'invalid sslmode value: "never"'),
    ],
)
def test_a_connection_that_is_refused(w: World, change: dict[str, str], reason: str) -> None:
    message = w.failure(connection=replace(w.connection, **change))
    assert message.startswith("PostgreSQL at ")
    assert reason in message


@pytest.mark.parametrize("table", ["public.nope", "nope.t", 'public."T"', "a.b.c.d"])
def test_a_table_that_is_not_there(w: World, table: str) -> None:
    message = w.failure({"source_table": table})
    assert message.startswith(f"{w.connection.address}: {table}: relation ")
    assert message.endswith(" does not exist")


@pytest.mark.parametrize("way", [TABLE, QUERY, "query:SELECT id FROM t"])
def test_a_table_that_may_not_be_read(w: World, way: str) -> None:
    role = w.new_role("REVOKE ALL ON t FROM PUBLIC")
    assert w.failure({"source_table": way}, connection=role).endswith(
        ": permission denied for table t"
    )


def test_a_column_that_may_not_be_read_can_be_excluded(w: World) -> None:
    role = w.new_role("REVOKE ALL ON t FROM PUBLIC", "GRANT SELECT (id) ON t TO PUBLIC")
    assert "permission denied" in w.failure(connection=role)
    w.load({"source_table": "query:SELECT id FROM t"}, connection=role)
    assert w.rows() == [(1,)]


@pytest.mark.parametrize("way", [TABLE, QUERY], ids=["table", "query"])
def test_a_connection_that_breaks_in_the_middle(w: World, way: str) -> None:
    w.load({"source_table": way})
    w.sql(
        "CREATE FUNCTION slow(int) RETURNS int AS 'SELECT pg_sleep(0.002); SELECT $1' LANGUAGE sql"
    )
    w.sql("CREATE TABLE base AS SELECT generate_series(1, 5000) AS id", "DROP TABLE t")
    w.sql("CREATE VIEW t AS SELECT slow(id) AS id, NULL::int AS v FROM base")

    def kill() -> None:
        with w.session() as other:
            for _ in range(200):
                time.sleep(0.02)
                killed = other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE query LIKE 'COPY%' AND now() - query_start > '0.1 s'"
                    " AND state = 'active' AND datname = current_database()"
                ).fetchall()
                if killed:
                    return

    killer = threading.Thread(target=kill)
    killer.start()
    message = w.failure({"source_table": way})
    killer.join()
    assert "terminat" in message or "closed the connection" in message
    assert len(w.rows()) == 1
    w.sql("DROP VIEW t", "CREATE TABLE t AS SELECT 1 AS id, NULL::int AS v")
    w.load({"source_table": way})


def test_an_error_of_the_warehouse_is_told_in_one_line_too(w: World) -> None:
    w.sql("CREATE TABLE texts (x text)", "INSERT INTO texts VALUES (E'ERROR: not\\nthe reason')")
    message = w.failure("source_table: texts", "columns: [{name: x, type: int}]")
    assert message.startswith("the column x holds ERROR: not the reason, which does not fit ")


@pytest.fixture
def odd(w: World) -> str:
    """The settings of a role whose password is hard to pass on."""
    return w.new_role(password=PASSWORD).user


@pytest.mark.parametrize("way", [TABLE, QUERY], ids=["table", "query"])
def test_any_password_gets_in(w: World, odd: str, way: str) -> None:
    w.load({"source_table": way}, connection=replace(w.connection, user=odd, password=PASSWORD))
    assert len(w.rows()) == 1


def test_any_user_and_any_database_get_in(w: World, server: PostgresServer) -> None:
    user, database = "we ird'u\"s\\er=", "od d'd\"b\\x="
    for statement in (
        "CREATE ROLE {user} LOGIN SUPERUSER PASSWORD 'x'",
        "CREATE DATABASE {database} STRATEGY file_copy",
    ):
        names = {"user": user, "database": database}
        w.sql(statement.format(**{k: '"' + v.replace('"', '""') + '"' for k, v in names.items()}))
    other = replace(w.connection, user=user, password="x", database=database)
    w.load(
        {"source_table": "query:SELECT current_user::text, current_database()::text"},
        connection=other,
    )
    assert w.rows() == [(user, database)]


def test_the_password_is_in_no_message(w: World, odd: str) -> None:
    w.sql("CREATE TABLE closed (id int)", "REVOKE ALL ON closed FROM PUBLIC")
    good = replace(w.connection, user=odd, password=PASSWORD)
    messages = [
        w.failure(connection=replace(good, password=PASSWORD + "x")),
        w.failure(connection=replace(good, port=1)),
        w.failure(connection=replace(good, host="nowhere.invalid")),
        w.failure(connection=replace(good, host="not a host:")),
        w.failure(connection=replace(good, database="nope")),
        w.failure(connection=replace(good, ssl_mode="no")),
        w.failure(connection=replace(good, ssl_mode="require")),
        w.failure({"source_table": "nope"}, connection=good),
        w.failure({"source_table": "closed"}, connection=good),
        w.failure({"source_table": "query:SELECT 1/0 AS x"}, connection=good),
        w.failure("incremental_key: nope", connection=good),
    ]
    w.sql(f"ALTER ROLE {odd} CONNECTION LIMIT 1")
    messages.append(w.failure(connection=good))
    for part in ("p@ss", 'w"o rd', "p%40ss", "2F$€"):
        assert not [message for message in messages if part in message]


def test_the_password_is_in_nothing_that_a_query_can_see(
    w: World, odd: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither while the source is attached, nor afterwards, nor in the file."""
    seen: list[str] = []
    load_table = target.load_table

    def look(duck: duckdb.DuckDBPyConnection) -> None:
        for relation in ("databases()", "secrets()", "settings()", "logs()"):
            seen.extend(map(str, duck.execute(f"FROM duckdb_{relation}").fetchall()))

    def looking(duck: duckdb.DuckDBPyConnection, *args: Any, **kwargs: Any) -> object:
        look(duck)
        return load_table(duck, *args, **kwargs)

    monkeypatch.setattr(target, "load_table", looking)
    file = tmp_path / "shop.duckdb"
    with open_warehouse(str(file)) as duck:
        good = replace(w.connection, user=odd, password=PASSWORD)
        seen.extend(replace(w, duck=duck).load(connection=good).loaded.statements)
        look(duck)
    assert "public" in str(seen)
    assert "p@ss" not in str(seen)
    assert b"p@ss" not in file.read_bytes()


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_the_source_stays(w: World, fails: bool) -> None:
    merge = {"incremental_strategy": "merge", "primary_key": "id"}
    w.load(merge)
    if fails:
        w.failure({**merge, "incremental_key": "nope"})
        w.failure(merge, connection=replace(w.connection, port=1))
    else:
        w.load(merge)
    assert w.rows("FROM duckdb_secrets()") == []
    assert w.rows("SELECT table_name FROM duckdb_tables() WHERE temporary") == []
    names = w.rows("SELECT database_name FROM duckdb_databases() WHERE NOT internal")
    assert names == [("memory",)]
    assert w.is_alone()


def test_a_source_may_be_read_again_and_attached_again(w: World) -> None:
    fill = Ingestion(asset_of(), w.connection)
    for _ in range(2):
        fill.prepare(w.duck)
        for _ in range(2):
            w.sql("INSERT INTO t VALUES (0, 0)")
            publish(DuckDBTransaction(w.duck, asset_of()), asset_of(), fill, [], str)
            assert w.rows("SELECT count(*) FROM raw.t") == w.sql("SELECT count(*) FROM t")
    connect.detach(w.duck)


def test_a_missing_extension_is_explained(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "find_spec", lambda name: None)
    with duckdb.connect(config={"extension_directory": "/nowhere"}) as connection:
        connection.execute("SET custom_extension_repository = '/nowhere'")
        with pytest.raises(connect.SourceError) as failed:
            connect.attach(connection, w.connection, "public")
    assert 'pip install "ecommerce-dagster[postgres]"' in str(failed.value)
