"""Whatever ends a run in PostgreSQL, nothing unchecked is published; and what its errors say."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

from ecommerce_dagster.sql.checks import checks_of
from ecommerce_dagster.sql.load_result import LoadResult
from ecommerce_dagster.warehouses.base import BuildResult, Target
from ecommerce_dagster.warehouses.postgres.target import PostgresTarget
from ecommerce_dagster.warehouses.postgres.warehouse import PostgresWarehouse
from ecommerce_dagster.warehouses.sql_asset import AssetError
from ecommerce_dagster.warehouses.time_limit import TimeLimitError
from postgres_warehouse.helpers import TABLE, VIEW, Warehouse, asset_of, values

GOOD, BAD = "SELECT 1 AS x", "SELECT -1 AS x"
CHECKED = f"{TABLE}\ncolumns: [{{name: x, checks: [{{name: positive}}]}}]"
ALWAYS = "\nmeta: {publish: always}"
SLOW = f"""{TABLE}
custom_checks: [{{name: slow, value: 1, query: SELECT count(*) FROM (SELECT pg_sleep(9)) s}}]"""


def in_the_background(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sleeping(w: Warehouse) -> bool:
    return w.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'") != []


class TestNothingUncheckedIsPublished:
    @pytest.mark.parametrize("by", ["pg_terminate_backend", "pg_cancel_backend"])
    @pytest.mark.parametrize("where", ["build", "check"])
    def test_a_run_that_is_killed_leaves_the_old_table(
        self, w: Warehouse, by: str, where: str
    ) -> None:
        w.run(TABLE, GOOD)
        file, query = (SLOW, BAD) if where == "check" else (TABLE, f"{BAD}, pg_sleep(9)::text")
        run, errors = in_the_background(lambda: w.run(file, query))
        until(lambda: sleeping(w))
        w.sql(f"SELECT {by}(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        run.join(20)
        if (where, by) == ("check", "pg_cancel_backend"):
            # The check could not be evaluated, and all others were.
            assert errors == []
        else:
            (error,) = errors
            assert isinstance(error, AssetError)
            assert "due to" in str(error)
        assert w.rows() == [(1,)]

    def test_an_asset_has_its_time(self, w: Warehouse) -> None:
        w.run(TABLE, GOOD)
        for file, query in ((TABLE, f"{BAD}, pg_sleep(9)::text"), (SLOW, BAD)):
            with pytest.raises(TimeLimitError):
                w.run(file, query, timeout=0.3)
        assert w.run(TABLE, GOOD, timeout=60).published
        assert w.rows() == [(1,)]


class TestAConnectionThatIsLost:
    """With `publish: always` the table is public before its checks are asked."""

    CHECKED = f"{SLOW}\ncolumns: [{{name: x, checks: [{{name: positive}}]}}]"
    FILES: ClassVar = {
        "before the build": f"{TABLE}\nhooks: {{pre: [{{query: SELECT pg_sleep(9)}}]}}",
        "in the build": TABLE,
        "after the build": f"{TABLE}\nhooks: {{post: [{{query: SELECT pg_sleep(9)}}]}}",
        "in the commit": f"{TABLE}\nhooks: {{post: [{{query: INSERT INTO log VALUES (1)}}]}}",
        "in a check": CHECKED,
    }
    QUERIES: ClassVar = {"in the build": "SELECT 2 AS x, pg_sleep(9)::text AS s"}

    @pytest.fixture(autouse=True)
    def log(self, w: Warehouse) -> None:
        """A table into which no row gets by a commit in less than seconds."""
        w.sql(
            "CREATE TABLE log (x int)",
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(9); RETURN NULL; END $$",
            "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON log DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION wait()",
        )
        w.run(TABLE, GOOD)

    def losing(
        self, w: Warehouse, when: str, header: str
    ) -> tuple[list[BuildResult], list[BaseException]]:
        """What a run gives or raises whose session ends while it sleeps."""
        built: list[BuildResult] = []
        file, query = self.FILES[when] + header, self.QUERIES.get(when, "SELECT 2 AS x")
        run, errors = in_the_background(lambda: built.append(w.run(file, query)))
        until(lambda: sleeping(w))
        w.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
              " WHERE wait_event = 'PgSleep'")  # fmt: skip
        run.join(20)
        return built, errors

    @pytest.mark.parametrize(
        ("when", "header"),
        [
            *((when, "") for when in FILES),
            *((when, ALWAYS) for when in FILES if when != "in a check"),
        ],
    )
    def test_before_the_commit_leaves_the_old_table_and_is_told(
        self, w: Warehouse, when: str, header: str
    ) -> None:
        built, (error,) = self.losing(w, when, header)
        assert built == []
        assert str(error).startswith(f"assets/mart/t.sql:1: PostgreSQL at {w.server.host}:")
        assert str(error).endswith("terminating connection due to administrator command")
        assert (w.rows(), w.rows("log")) == ([(1,)], [])
        assert w.run(self.CHECKED.replace("sleep(9)", "sleep(0)"), "SELECT 3 AS x").published

    def test_in_a_check_of_a_public_table_leaves_the_new_one_and_every_check_without_answer(
        self, w: Warehouse
    ) -> None:
        (built,), errors = self.losing(w, "in a check", ALWAYS)
        assert (errors, built.published, built.rows, w.rows()) == ([], True, 1, [(2,)])
        lost = "terminating connection due to administrator command"
        assert [(r.check.label, r.passed, r.error) for r in built.results] == [
            ("x: positive", False, lost),
            ("slow", False, lost),
        ]


class TestScriptsThatLeaveTheTransaction:
    @pytest.mark.parametrize(
        ("hook", "said"),
        [
            ("ROLLBACK", "t.sql:10: ROLLBACK would end the transaction"),
            ("-- x\nABORT WORK", "t.sql:11: ABORT would end"),
            ("Rollback /* all */ And Chain", "ROLLBACK would end"),
            ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION would end"),
            ("COMMIT PREPARED 'x'", "COMMIT PREPARED would end"),
            ("ROLLBACK PREPARED 'x'", "ROLLBACK PREPARED would end"),
            ("CALL commits()", "invalid transaction termination"),
            ("DO $$ BEGIN COMMIT; END $$", "invalid transaction termination"),
            ("VACUUM", "cannot run inside a transaction block"),
            ("CREATE DATABASE escaped", "cannot run inside a transaction block"),
            ("CREATE INDEX CONCURRENTLY i ON mart.t (x)", "cannot run inside a transaction block"),
            ("PREPARE p AS COMMIT", "syntax error"),
            ("EXPLAIN ANALYZE COMMIT", "syntax error"),
            ("SELECT 1 \\; COMMIT", "syntax error"),
        ],
    )
    def test_are_refused_and_the_table_keeps_its_rows(
        self, w: Warehouse, hook: str, said: str
    ) -> None:
        w.sql("CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$")
        w.run(CHECKED, GOOD)
        with pytest.raises(AssetError, match=re.escape(said)):
            w.run(f"{TABLE.replace('table', 'none')}\n", f"UPDATE mart.t SET x = -1; {hook}")
        assert w.rows() == [(1,)]

    @pytest.mark.parametrize(
        "end", ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN"]
    )
    def test_are_found_however_they_do_it(self, w: Warehouse, end: str) -> None:
        """What is public by then cannot be taken back, so it is told."""
        w.run(CHECKED, GOOD)
        asset = asset_of(CHECKED)

        def fill(target: Target) -> LoadResult:
            assert isinstance(target, PostgresTarget)
            target.catalog.session.execute("UPDATE mart.t SET x = -1")
            target.catalog.session.execute(end)
            return LoadResult()

        with pytest.raises(AssetError, match="rows of mart.t may be public although no check was"):
            PostgresWarehouse(w.connection).publish(asset, fill, checks_of(asset), str)

    @pytest.mark.parametrize(
        "hook",
        [
            "BEGIN; INSERT INTO log VALUES ('x'); COMMIT AND CHAIN",
            "-- ROLLBACK\nINSERT INTO log VALUES ('x')",
            "/* a /* ROLLBACK; */ ABORT; */ INSERT INTO log VALUES ('x')",
            "INSERT INTO log VALUES ($a$; ROLLBACK; $a$), (E'\\'; ABORT; --')",
            "SAVEPOINT s; INSERT INTO log VALUES ('x'); ROLLBACK TO s; RELEASE s",
            'CREATE TABLE "ROLLBACK" AS SELECT 1 AS "COMMIT"',
        ],
    )
    def test_words_in_comments_texts_and_names_are_no_such_script(
        self, w: Warehouse, hook: str
    ) -> None:
        w.sql("CREATE TABLE log (what text)")
        hooked = f"{CHECKED}\nhooks: {{post: [{{query: {json.dumps(hook)}}}]}}"
        assert not w.run(hooked, BAD).published
        assert w.rows("log") == []
        assert w.run(hooked, GOOD).published


class TestOtherSessions:
    @pytest.mark.parametrize(
        "strategy",
        [
            "create+replace",
            "truncate+insert",
            "append",
            "delete+insert, incremental_key: x",
            "merge",
        ],
    )
    def test_a_reader_sees_the_old_table_until_it_is_replaced(
        self, w: Warehouse, strategy: str
    ) -> None:
        file = SLOW.replace("table", f"table, strategy: {strategy}", 1).replace(
            "sleep(9)", "sleep(1)"
        )
        file += "\ncolumns: [{name: x, primary_key: true}]"
        w.run(file.replace("sleep(1)", "sleep(0)"), GOOD, full_refresh=True)
        run, _ = in_the_background(lambda: w.run(file, "SELECT 2 AS x"))
        until(lambda: sleeping(w))
        assert w.rows() == [(1,)]
        assert run.is_alive()
        run.join(20)
        assert (2,) in w.rows()

    def test_who_reads_does_not_stop_it(self, w: Warehouse) -> None:
        w.run(TABLE, GOOD)
        with w.another_session() as other, other.transaction():
            assert other.execute("SELECT * FROM mart.t").fetchall() == [(1,)]
            assert w.run(TABLE, "SELECT 2 AS x").published

    def test_runs_of_one_asset_take_turns(self, w: Warehouse) -> None:
        for query in ("SELECT 1 AS x, pg_sleep(0.2)::text AS s", "SELECT 2 AS x, '' AS s"):
            w.run(TABLE, query)
        slow = "SELECT 3 AS x, pg_sleep(0.2)::text AS s"
        runs = [in_the_background(lambda: w.run(TABLE, slow)) for _ in range(4)]
        for run, errors in runs:
            run.join(20)
            assert errors == []
        assert len(w.rows()) == 1

    def test_a_table_that_somebody_locks_is_not_waited_for_without_end(
        self, w: Warehouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ecommerce_dagster.warehouses.postgres.session._LOCK_TIMEOUT", "100ms")
        w.run(TABLE, GOOD)
        with w.another_session() as other, other.transaction():
            other.execute("LOCK TABLE mart.t")
            with pytest.raises(AssetError, match="canceling statement due to lock timeout"):
                w.run(TABLE, "SELECT 2 AS x")


class TestSession:
    def test_it_is_in_utc(self, w: Warehouse) -> None:
        w.sql(f"ALTER DATABASE {w.server.database} SET TimeZone TO 'Asia/Tokyo'")
        w.run(
            TABLE,
            "SELECT TIMESTAMP '2024-01-01 00:00' AT TIME ZONE current_setting('TimeZone') AS t",
        )
        assert w.sql("SELECT t = '2024-01-01 00:00+00' FROM mart.t") == [(True,)]

    def test_names_without_a_schema_are_of_the_connections(self, w: Warehouse) -> None:
        w.schema = "Sales"
        file = f"name: t\n{CHECKED}"
        assert w.run(file, GOOD).published
        assert w.rows("sales.t") == [(1,)]
        assert w.run(f"name: u\n{CHECKED}", "SELECT x FROM t").published
        assert (w.kind("sales.u"), w.kind("public.u")) == ("table", None)

    def test_names_are_written_as_sql_without_quotes_finds_them(self, w: Warehouse) -> None:
        w.run(f"name: Mart.Orders\n{CHECKED}", GOOD)
        w.run(f"name: Mart.Orders\n{CHECKED}", "SELECT x + 1 AS x FROM Mart.Orders")
        assert w.rows("mart.orders") == [(2,)]

    def test_a_table_of_such_a_name_is_found(self, w: Warehouse) -> None:
        w.sql('CREATE SCHEMA "Mart"', 'CREATE TABLE "Mart"."T" (x int)')
        w.run(CHECKED, GOOD)
        assert w.rows('"Mart"."T"') == [(1,)]

    def test_one_who_may_not_create_schemas_can_use_one(self, w: Warehouse) -> None:
        role = f"builder_{w.server.database}"
        w.sql("CREATE SCHEMA mart", f"CREATE ROLE {role} LOGIN PASSWORD 'secret'",
              f"GRANT ALL ON SCHEMA mart TO {role}")  # fmt: skip
        builder = w.away(user=role, password="secret")
        assert w.run(CHECKED, GOOD, connection=builder).published
        with pytest.raises(AssetError, match="permission denied for database"):
            w.run(f"name: other.t\n{CHECKED}", GOOD, connection=builder)


class TestSources:
    FILE = CHECKED.replace(TABLE, "type: pg.source")

    def test_somebody_elses_table_is_checked(self, w: Warehouse) -> None:
        w.sql("CREATE SCHEMA mart", "CREATE TABLE mart.t AS SELECT -1 AS x")
        built = w.run(self.FILE)
        assert (built.published, built.rows, built.columns) == (False, 1, {"x": "integer"})
        assert [r.failed_rows for r in built.results] == [1]
        assert w.rows() == [(-1,)]


class TestChecksAlone:
    def test_they_change_nothing(self, w: Warehouse) -> None:
        w.run(TABLE, GOOD)
        w.sql("CREATE FUNCTION gone() RETURNS int LANGUAGE sql"
              " AS 'WITH d AS (DELETE FROM mart.t RETURNING 1) SELECT 0'")  # fmt: skip
        (result,) = w.check_only(f"{TABLE}\ncustom_checks: [{{name: c, query: SELECT gone()}}]")
        assert "cannot execute SELECT in a read-only transaction" in result.message
        assert w.rows() == [(1,)]


class TestErrors:
    @pytest.mark.parametrize(
        ("file", "query", "place"),
        [
            (TABLE, "SELECT 1,\n  nope", '11: column "nope" does not exist'),
            (VIEW, "\n\nSELEKT 1", "12: a query is needed here, not SELEKT"),
            (VIEW, "-- é\nSELECT 'é',\nnope", '12: column "nope" does not exist'),
            ("{}", "SELECT 1;\nSELECT\n  nope;", '12: column "nope" does not exist'),
            (TABLE, "SELECT 1 +\n;", "10: syntax error at end of input"),
            (TABLE, "SELECT 1 / 0\nAS x", "10: division by zero"),
            (TABLE, "{{ nope }}", "10: missing variable 'nope'"),
            (TABLE, "SELECT 1\n\n{{ nope }}", "12: missing variable 'nope'"),
            (TABLE, "SELECT '{{ start_date }}',\n nope", '11: column "nope" does not exist'),
            (TABLE, "{{ '\\n\\n' }}SELECT nope", '10: column "nope" does not exist'),
            (TABLE, "SELECT 1; SELECT 2", "10: one query is needed here, not 2 statements"),
            (TABLE, "DROP TABLE x", "10: a query is needed here, not DROP"),
            (TABLE, "", "10: the file has no query below its header"),
            (TABLE, "-- nothing", "10: there is no query"),
            (TABLE, "SELECT lenght('x')", "10: function lenght(unknown) does not exist; "),
            (f"name: a.b.c\n{TABLE}", GOOD, "10: 'a.b.c' is not a table of PostgreSQL"),
        ],
    )
    def test_they_name_file_and_line(self, w: Warehouse, file: str, query: str, place: str) -> None:
        with pytest.raises(AssetError) as error:
            w.run(file, query)
        assert str(error.value).startswith(f"assets/mart/t.sql:{place}")
        assert "\n" not in str(error.value)

    def test_a_database_out_of_reach_is_named_without_the_password(self, w: Warehouse) -> None:
        for connection, reason in (
            (w.away(password="guess-me"), "password authentication failed"),
            (w.away(port=1, password="guess-me"), "Connection refused"),
            (w.away(database="nowhere"), 'database "nowhere" does not exist'),
        ):
            with pytest.raises(AssetError, match=reason) as error:
                w.run(CHECKED, GOOD, connection=connection)
            start = f"assets/mart/t.sql:1: PostgreSQL at {connection.address} cannot be reached: "
            assert str(error.value).startswith(start)
            assert "guess-me" not in str(error.value)
            assert "\n" not in str(error.value)

    def test_a_materialized_view_is_not_replaced(self, w: Warehouse) -> None:
        w.sql("CREATE SCHEMA mart", "CREATE MATERIALIZED VIEW mart.t AS SELECT 1 AS x")
        with pytest.raises(AssetError, match="mart.t is a materialized view already, not a table"):
            w.run(TABLE, GOOD)


class TestSeeds:
    FILE = """
type: pg.seed
parameters: {path: t.csv}
columns:
  - {name: id, type: integer, checks: [{name: unique}]}
  - {name: code, type: string}
  - {name: day, type: date}
  - {name: price, type: 'numeric(5,2)'}
"""

    @pytest.fixture(autouse=True)
    def folder(self, w: Warehouse, tmp_path: Path) -> None:
        w.root = tmp_path

    def run(self, w: Warehouse, header: str, text: str | bytes, name: str = "t.csv") -> object:
        content = text.encode() if isinstance(text, str) else text
        (w.root / name).write_bytes(content)
        asset = asset_of(header).model_copy(update={"path": w.root / "t.asset.yml"})
        return w.run(asset)

    def test_a_csv_file_becomes_a_table(self, w: Warehouse) -> None:
        self.run(w, self.FILE, 'id,code,day,price\n1,007,2024-01-01,1.5\n2,"a,\\N\t""b""\né",,\n')
        assert w.types() == {
            "id": "integer", "code": "text", "day": "date", "price": "numeric(5,2)"
        }  # fmt: skip
        assert w.sql("SELECT id, code, day::text, price::text FROM mart.t ORDER BY id") == [
            (1, "007", "2024-01-01", "1.50"),
            (2, 'a,\\N\t"b"\né', None, None),
        ]

    def test_it_is_replaced_whole_when_its_checks_pass(self, w: Warehouse) -> None:
        head = "id,code,day,price\n"
        self.run(w, self.FILE, head + "1,a,,\n2,b,,\n")
        self.run(w, self.FILE, head + "3,c,,\n")
        self.run(w, self.FILE, head + "4,d,,\n4,e,,\n")
        assert w.rows() == [(3, "c", None, None)]

    def test_types_are_guessed_where_none_are_declared(self, w: Warehouse) -> None:
        header = "type: pg.seed\nparameters: {path: t.csv}"
        self.run(w, header, "n,x,t,d,b,s\n1,1.5,2024-01-01 10:00:00,2024-01-01,true,a\n")
        assert list(w.types().values()) == [
            "bigint", "double precision", "timestamp without time zone", "date", "boolean", "text"
        ]  # fmt: skip

    def test_other_formats_come_along(self, w: Warehouse) -> None:
        header = "type: pg.seed\nparameters: {path: t.jsonl}"
        self.run(w, header, '{"a": 1, "l": [1, 2], "o": {"k": "v"}}\n{"a": null}\n', "t.jsonl")
        assert w.types() == {"a": "bigint", "l": "jsonb", "o": "jsonb"}
        assert w.rows()[1] == (1, [1, 2], {"k": "v"})

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("x,a,,", "t.csv:2: the column id holds x, which does not fit its type INTEGER"),
            ("1,a", "t.csv:2: expected 4 values, as in the header, and found 2"),
        ],
    )
    def test_what_does_not_fit_is_named_with_its_line(
        self, w: Warehouse, row: str, message: str
    ) -> None:
        with pytest.raises(AssetError) as error:
            self.run(w, self.FILE, f"id,code,day,price\n{row}\n")
        assert message in str(error.value)

    def test_postgres_has_types_of_its_own(self, w: Warehouse) -> None:
        header = self.FILE.replace("type: string", "type: inet")
        self.run(w, header, "id,code,day,price\n1,10.0.0.1,,\n")
        assert w.types()["code"] == "inet"
        with pytest.raises(AssetError, match="code holds here, which does not fit its type inet"):
            self.run(w, header, "id,code,day,price\n1,here,,\n")


def test_the_server_is_left_as_it_was(w: Warehouse) -> None:
    """No session, lock or temporary table outlives a run."""
    w.run(CHECKED, values("x", "1"))
    w.run(CHECKED, BAD)
    with pytest.raises(AssetError):
        w.run(CHECKED, "SELECT nope")
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    until(lambda: w.sql(others) == [(1,)])
    assert w.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_psycopg_errors_do_not_leak(w: Warehouse) -> None:
    w.sql("CREATE SCHEMA mart", "CREATE TABLE mart.t (x int CHECK (x > 0))")
    with pytest.raises(AssetError) as error:
        w.run(CHECKED, BAD)
    assert isinstance(error.value.__cause__, psycopg.Error)
    assert 'violates check constraint "t_x_check"; Failing row contains (-1)' in str(error.value)
