"""Tables that are declared and filled by others."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.warehouse.ddl import comments_of
from ecommerce_dagster.warehouse.sql_asset import AssetError
from ecommerce_dagster.warehouse.strategies import lint_materialization
from warehouse.helpers import VIEW, Warehouse, asset_of, in_both, in_lake

DDL = "materialization: {type: table, strategy: ddl}\n"
ORDERS = DDL + "columns: [{name: id, type: integer, primary_key: true}, {name: v, type: varchar}]"


def columns(*declared: str) -> str:
    """The header of a ddl asset with these columns: columns("name: a, type: int")."""
    return f"{DDL}columns: [{', '.join(f'{{{column}}}' for column in declared)}]"


def described(w: Warehouse) -> list[tuple[Any, ...]]:
    """Name, type, nullable, default of each column."""
    found = w.sql("DESCRIBE mart.t")
    return [(name, kind, null == "YES", default) for name, kind, null, _, default, _ in found]


def complaints(header: str, sql: str = "") -> list[str]:
    log = ProblemLog()
    lint_materialization(asset_of(header, sql), log)
    return [problem.message for problem in log.errors]


class TestTheFirstRun:
    def test_creates_schema_and_table_without_rows(self, w: Warehouse) -> None:
        built = w.run(ORDERS)
        assert (built.published, built.rows, built.loaded.rows_written) == (True, 0, None)
        assert built.loaded.schema_changes == ()
        assert described(w) == [("id", "INTEGER", False, None), ("v", "VARCHAR", True, None)]

    @in_both
    def test_types_are_those_declared(self, w: Warehouse) -> None:
        kinds = {
            "integer": "INTEGER",
            "smallint": "SMALLINT",
            "bigint": "BIGINT",
            "decimal(12, 2)": "DECIMAL(12,2)",
            "numeric": "DECIMAL(38,9)",
            "float": "DOUBLE",
            "string": "VARCHAR",
            "varchar(20)": "VARCHAR",
            "timestamp": "TIMESTAMP",
            "timestamptz": "TIMESTAMP WITH TIME ZONE",
            "date": "DATE",
            "int[]": "INTEGER[]",
            "struct(a int, b varchar)": "STRUCT(a INTEGER, b VARCHAR)",
        }
        w.run(columns(*(f"name: c{n}, type: '{kind}'" for n, kind in enumerate(kinds))))
        assert list(w.types().values()) == list(kinds.values())

    def test_digits_may_stand_in_keys_of_their_own(self, w: Warehouse) -> None:
        w.run(
            columns(
                "name: a, type: numeric, precision: 12, scale: 2",
                "name: b, type: decimal, precision: 9",
                "name: c, type: varchar, length: 20",
            )
        )
        assert list(w.types().values()) == ["DECIMAL(12,2)", "DECIMAL(9,0)", "VARCHAR"]

    def test_scripts_can_say_what_happens_when_a_key_is_there(self, w: Warehouse) -> None:
        w.run(
            columns(
                "name: ID, type: int, primary_key: true",
                "name: day, type: date, primary_key: true",
                "name: v, type: varchar",
            )
        )
        first, again = "(1, DATE '2024-01-01', 'a')", "(1, DATE '2024-01-01', 'b')"
        w.sql(f"INSERT INTO mart.t VALUES {first}")
        w.sql(f"INSERT INTO mart.t VALUES {again} ON CONFLICT DO UPDATE SET v = excluded.v || '!'")
        w.sql(f"INSERT OR IGNORE INTO mart.t VALUES {first}")
        assert w.rows() == [(1, date(2024, 1, 1), "b!")]
        with pytest.raises(duckdb.ConstraintException, match="Duplicate key"):
            w.sql(f"INSERT INTO mart.t VALUES {first}")

    @in_both
    def test_a_foreign_key_is_no_constraint(self, w: Warehouse) -> None:
        w.run(columns("name: o, type: int, foreign_key: {table: mart.none, column: id}"))
        w.sql("INSERT INTO mart.t VALUES (1), (1)")
        assert len(w.rows()) == 2

    @in_lake
    def test_a_lake_has_no_keys(self, w: Warehouse) -> None:
        w.run(ORDERS)
        w.sql("INSERT INTO mart.t VALUES (1, 'a'), (1, 'a')")
        assert len(w.rows()) == 2

    @in_both
    def test_not_nullable(self, w: Warehouse) -> None:
        w.run(columns("name: a, type: int, nullable: false", "name: b, type: int, nullable: true"))
        assert [null for _, _, null, _ in described(w)] == [False, True]

    @pytest.mark.parametrize(
        ("kind", "default", "value"),
        [
            ("int", 7, 7),
            ("int", -7, -7),
            ("int", "7", 7),
            ("boolean", True, True),
            ("boolean", "false", False),
            ("decimal(6, 2)", 0.5, Decimal("0.50")),
            ("varchar", "pending", "pending"),
            ("varchar", "it's (not) NULL", "it's (not) NULL"),
            ("varchar", "'pending'", "pending"),
            ("varchar", 7, "7"),
            ("varchar", "0) NOT NULL, x INT --", "0) NOT NULL, x INT --"),
            ("varchar", "upper('x')", "X"),
            ("varchar", "null", None),
            ("date", "2020-01-31", date(2020, 1, 31)),
            ("date", "DATE '2020-01-31'", date(2020, 1, 31)),
            ("date", "make_date(2020, 1, 31)", date(2020, 1, 31)),
        ],
    )
    def test_defaults(self, w: Warehouse, kind: str, default: object, value: object) -> None:
        header = f"name: b, type: '{kind}', default: {json.dumps(default)}"
        w.run(columns("name: a, type: int", header))
        w.sql("INSERT INTO mart.t (a) VALUES (1)")
        assert w.rows() == [(1, value)]

    def test_a_default_may_be_the_time_of_the_insert(self, w: Warehouse) -> None:
        w.run(
            columns("name: a, type: int", "name: b, type: timestamptz, default: CURRENT_TIMESTAMP")
        )
        w.sql("INSERT INTO mart.t (a) VALUES (1)")
        assert w.sql("SELECT b > now() - INTERVAL 1 HOUR FROM mart.t") == [(True,)]

    @pytest.mark.parametrize("default", ["many", "nosuch()"])
    def test_a_default_that_is_no_value_of_its_type_is_an_error(
        self, w: Warehouse, default: str
    ) -> None:
        with pytest.raises(AssetError, match="the default of the column b: "):
            w.run(columns("name: a, type: int", f"name: b, type: int, default: {default}"))
        assert w.kind() is None

    def test_collation(self, w: Warehouse) -> None:
        w.run(columns("name: a, type: varchar, collation: nocase.noaccent"))
        w.sql("INSERT INTO mart.t VALUES ('É')")
        assert w.sql("SELECT count(*) FROM mart.t WHERE a = 'e'") == [(1,)]

    @in_both
    def test_descriptions_become_comments(self, w: Warehouse) -> None:
        header = columns("name: A, type: int, description: \"the 'a'\"", "name: b, type: int")
        w.run(header + "\ndescription: all of it")
        assert comments_of(w.connection, "mart.t") == {"": "all of it", "a": "the 'a'"}

    def test_names_that_need_quotes(self, w: Warehouse) -> None:
        header = columns("name: 'an \"order\" of', type: int, description: x, nullable: false")
        w.run(header)
        assert list(w.types()) == ['an "order" of']

    def test_replaces_a_view_of_its_name(self, w: Warehouse) -> None:
        w.run(VIEW, "SELECT 7 AS seven")
        w.run(ORDERS)
        assert (w.kind(), list(w.types())) == ("table", ["id", "v"])

    def test_a_body_of_comments_is_no_query(self, w: Warehouse) -> None:
        body = "-- filled by the app\n/* SELECT\n1 */"
        assert complaints(ORDERS, body) == []
        w.run(ORDERS, body)
        assert w.kind() == "table"

    @in_both
    def test_hooks_may_fill_it_and_checks_run(self, w: Warehouse) -> None:
        header = ORDERS.replace("type: varchar}", "type: varchar, checks: [{name: not_null}]}")
        hook = '\nhooks: {post: [{query: "INSERT INTO mart.t VALUES (1, %s)"}]}'
        built = w.run(header + hook % "NULL")
        assert (built.published, built.results[0].failed_rows) == (False, 1)
        assert w.kind() is None
        assert w.run(header + hook % "'a'").published
        assert w.rows() == [(1, "a")]


class TestTheNextRuns:
    @pytest.mark.parametrize("full_refresh", [False, True])
    def test_leave_the_rows_alone(self, w: Warehouse, full_refresh: bool) -> None:
        w.run(ORDERS)
        w.sql("INSERT INTO mart.t VALUES (1, 'a')")
        built = w.run(ORDERS + "\ndescription: d", full_refresh=full_refresh)
        assert (w.rows(), built.rows) == ([(1, "a")], 1)

    def test_do_nothing_when_nothing_was_declared_anew(self, w: Warehouse) -> None:
        header = (
            ORDERS.replace("type: varchar", "type: varchar, description: v") + "\ndescription: d"
        )
        assert len(w.run(header).loaded.statements) == 3
        again = w.run(header).loaded
        assert (again.statements, again.schema_changes) == ((), ())

    def test_add_columns(self, w: Warehouse) -> None:
        w.run(ORDERS)
        w.sql("INSERT INTO mart.t VALUES (1, 'a')")
        more = ORDERS.replace(
            "type: varchar}",
            "type: varchar}, {name: n, type: int}, "
            "{name: s, type: varchar, default: new, nullable: false, collation: nocase, "
            "description: state}",
        )
        assert w.run(more).loaded.schema_changes == (
            "added column n INTEGER",
            "added column s VARCHAR",
        )
        assert w.rows() == [(1, "a", None, "new")]
        assert described(w)[2:] == [("n", "INTEGER", True, None), ("s", "VARCHAR", False, "'new'")]
        assert comments_of(w.connection, "mart.t") == {"s": "state"}
        assert w.run(more).loaded.schema_changes == ()

    def test_cannot_add_a_column_that_is_never_null_without_a_default(self, w: Warehouse) -> None:
        w.run(ORDERS)
        more = ORDERS.replace("varchar}", "varchar}, {name: n, type: int, nullable: false}")
        w.sql("INSERT INTO mart.t VALUES (1, 'a')")
        with pytest.raises(AssetError, match=r"NOT NULL constraint failed: .*\bn$"):
            w.run(more)
        assert w.rows() == [(1, "a")]
        w.sql("DELETE FROM mart.t")
        assert w.run(more).published

    def test_keep_columns_that_are_declared_no_more(self, w: Warehouse) -> None:
        w.run(ORDERS)
        assert w.run(columns("name: ID, type: integer")).loaded.statements == ()
        assert list(w.types()) == ["id", "v"]

    def test_report_a_column_of_another_type_and_keep_it(self, w: Warehouse) -> None:
        w.run(ORDERS)
        (change,) = w.run(ORDERS.replace("integer", "bigint")).loaded.schema_changes
        assert change.startswith("the column id is INTEGER and is declared as BIGINT; ")
        assert w.types()["id"] == "INTEGER"

    def test_change_comments_with_their_descriptions(self, w: Warehouse) -> None:
        for text in ("one", "two", "two"):
            built = w.run(ORDERS + f"\ndescription: {text}")
        assert comments_of(w.connection, "mart.t") == {"": "two"}
        assert built.loaded.statements == ()


class TestLint:
    @pytest.mark.parametrize(
        ("header", "sql", "complaint"),
        [
            (ORDERS, "SELECT 1 AS id", "it takes no query"),
            (DDL, "", "needs `columns` with types"),
            (columns("name: a"), "", "needs a type for the column 'a'"),
            (
                columns("name: a, type: money"),
                "",
                "'a' has the type 'money', which DuckDB does not",
            ),
            (columns("name: a, type: 'decimal(50, 2)'"), "", "'decimal(50, 2)', which DuckDB does"),
            (
                columns("name: a, type: decimal, precision: 50"),
                "",
                "'decimal(50, 0)', which DuckDB",
            ),
        ],
    )
    def test_a_declaration_that_is_none_is_reported(
        self, header: str, sql: str, complaint: str
    ) -> None:
        (message,) = complaints(header, sql)
        assert complaint in message

    def test_each_column_is_reported(self) -> None:
        assert len(complaints(columns("name: a", "name: b", "name: c, type: int"))) == 2

    def test_a_declaration_is_not(self) -> None:
        assert complaints(ORDERS) == []

    def test_a_view_cannot_be_declared(self) -> None:
        (message,) = complaints(ORDERS.replace("type: table", "type: view"))
        assert "needs `type: table`" in message
