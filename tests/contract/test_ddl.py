"""Tables that are declared and filled by others, in every warehouse."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import duckdb
import psycopg
import pytest

from contract.helpers import VIEW, Complaints, Warehouse, every_lint, only
from ecommerce_dagster.warehouses.sql_asset import AssetError

DDL = "materialization: {type: table, strategy: ddl}\n"
ORDERS = DDL + "columns: [{name: id, type: integer, primary_key: true}, {name: v, type: varchar}]"
Refused = (duckdb.Error, psycopg.Error)


def columns(*declared: str) -> str:
    """The header of a ddl asset with these columns: columns("name: a, type: int")."""
    return f"{DDL}columns: [{', '.join(f'{{{column}}}' for column in declared)}]"


class TestTheFirstRun:
    def test_creates_schema_and_table_without_rows(self, w: Warehouse) -> None:
        built = w.run(ORDERS)
        assert (built.published, built.rows, built.loaded.rows_written) == (True, 0, None)
        assert built.loaded.schema_changes == ()
        assert w.columns() == {"id": "integer", "v": "text"}

    def test_types_are_those_declared(self, w: Warehouse) -> None:
        kinds = {
            "integer": "integer",
            "smallint": "smallint",
            "bigint": "bigint",
            "decimal(12, 2)": "numeric(12,2)",
            "double": "double",
            "string": "text",
            "timestamp": "timestamp",
            "timestamptz": "timestamptz",
            "date": "date",
        }
        declared = [f"name: c{n}, type: '{kind}'" for n, kind in enumerate(kinds)]
        digits = "type: numeric, precision: 12, scale: 2", "type: decimal, precision: 9"
        w.run(columns(*declared, *(f"name: d{n}, {kind}" for n, kind in enumerate(digits))))
        assert list(w.columns().values()) == [*kinds.values(), "numeric(12,2)", "numeric(9,0)"]

    @only("duckdb", "postgres")  # A DuckLake has no keys.
    def test_a_key_is_there_once(self, w: Warehouse) -> None:
        w.run(ORDERS)
        w.sql("INSERT INTO mart.t VALUES (1, 'a')")
        with pytest.raises(Refused, match=r"(?i)duplicate key"):
            w.sql("INSERT INTO mart.t VALUES (1, 'b')")
        with pytest.raises(Refused, match=r"(?i)not.null"):
            w.sql("INSERT INTO mart.t VALUES (NULL, 'b')")

    def test_a_foreign_key_is_no_constraint(self, w: Warehouse) -> None:
        w.run(columns("name: o, type: int, foreign_key: {table: mart.none, column: id}"))
        w.sql("INSERT INTO mart.t VALUES (1), (1)")
        assert len(w.rows()) == 2

    def test_not_nullable(self, w: Warehouse) -> None:
        w.run(columns("name: a, type: int, nullable: false", "name: b, type: int, nullable: true"))
        w.sql("INSERT INTO mart.t VALUES (1, NULL)")
        with pytest.raises(Refused, match=r"(?i)not.null"):
            w.sql("INSERT INTO mart.t VALUES (NULL, 1)")

    @only("duckdb", "postgres")
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

    @only("duckdb", "postgres")
    def test_a_default_may_be_the_time_of_the_insert(self, w: Warehouse) -> None:
        default = "name: b, type: timestamptz, default: CURRENT_TIMESTAMP"
        w.run(columns("name: a, type: int", default))
        w.sql("INSERT INTO mart.t (a) VALUES (1)")
        assert w.sql("SELECT b > now() - INTERVAL '1 hour' FROM mart.t") == [(True,)]

    @pytest.mark.parametrize("default", ["many", "nosuch()"])
    def test_a_default_that_is_no_value_of_its_type_is_an_error(
        self, w: Warehouse, default: str
    ) -> None:
        with pytest.raises(AssetError, match="the default of the column b: "):
            w.run(columns("name: a, type: int", f"name: b, type: int, default: {default}"))
        assert w.kind() is None

    def test_names_that_need_quotes(self, w: Warehouse) -> None:
        w.run(columns("name: 'an \"order\" of', type: int, description: x, nullable: false"))
        assert list(w.types()) == ['an "order" of']

    def test_replaces_a_view_of_its_name(self, w: Warehouse) -> None:
        w.run(VIEW, "SELECT 7 AS seven")
        w.run(ORDERS)
        assert (w.kind(), list(w.types())) == ("table", ["id", "v"])

    def test_a_body_of_comments_is_no_query(self, w: Warehouse) -> None:
        w.run(ORDERS, "-- filled by the app\n/* SELECT\n1 */")
        assert w.kind() == "table"

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
        header = ORDERS.replace("type: varchar", "type: varchar, description: v")
        header += "\ndescription: d"
        assert w.run(header).loaded.statements
        again = w.run(header).loaded
        assert (again.statements, again.schema_changes) == ((), ())

    @only("duckdb", "postgres")
    @pytest.mark.parametrize("full_refresh", [False, True])
    def test_add_columns(self, w: Warehouse, full_refresh: bool) -> None:
        w.run(ORDERS)
        w.sql("INSERT INTO mart.t VALUES (1, 'a')")
        more = ORDERS.replace(
            "type: varchar}",
            "type: varchar}, {name: n, type: int},"
            " {name: s, type: varchar, default: new, nullable: false}",
        )
        kinds = [w.type_names.get(kind, kind).upper() for kind in ("integer", "text")]
        told = w.run(more, full_refresh=full_refresh).loaded.schema_changes
        assert [text.upper() for text in told] == [
            f"ADDED COLUMN N {kinds[0]}",
            f"ADDED COLUMN S {kinds[1]}",
        ]
        assert w.rows() == [(1, "a", None, "new")]
        with pytest.raises(Refused, match=r"(?i)not.null"):
            w.sql("INSERT INTO mart.t VALUES (2, 'b', 1, NULL)")
        assert w.run(more).loaded.schema_changes == ()

    @only("duckdb", "postgres")
    def test_cannot_add_a_column_that_is_never_null_without_a_default(self, w: Warehouse) -> None:
        w.run(ORDERS)
        more = ORDERS.replace("varchar}", "varchar}, {name: n, type: int, nullable: false}")
        w.sql("INSERT INTO mart.t VALUES (1, 'a')")
        with pytest.raises(AssetError, match=r"(?i)not.null constraint|contains null values"):
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
        assert change.lower() == (
            "the column id is integer and is declared as bigint; a table with `strategy: ddl` is"
            " not rebuilt, change it by hand"
        )
        assert w.columns()["id"] == "integer"


@every_lint
class TestLint:
    @pytest.mark.parametrize(
        ("header", "sql", "complaint"),
        [
            (ORDERS, "SELECT 1 AS id", "it takes no query"),
            (DDL, "", "needs `columns` with types"),
            (columns("name: a"), "", "needs a type for the column 'a'"),
            (ORDERS.replace("type: table", "type: view"), "", "needs `type: table`"),
        ],
    )
    def test_a_declaration_that_is_none_is_reported(
        self, complaints: Complaints, header: str, sql: str, complaint: str
    ) -> None:
        (message,) = complaints(header, sql)
        assert complaint in message

    def test_each_column_is_reported(self, complaints: Complaints) -> None:
        assert len(complaints(columns("name: a", "name: b", "name: c, type: int"))) == 2

    def test_a_declaration_is_not(self, complaints: Complaints) -> None:
        assert complaints(ORDERS) == []
        assert complaints(ORDERS, "-- filled by the app\n/* SELECT\n1 */") == []
