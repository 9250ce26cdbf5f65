"""Tables that are declared and filled by others."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.postgres_warehouse import lint_postgres_materialization
from ecommerce_dagster.warehouse.sql_asset import AssetError
from postgres_warehouse.helpers import VIEW, Warehouse, asset_of

DDL = "materialization: {type: table, strategy: ddl}\n"
ORDERS = DDL + "columns: [{name: id, type: integer, primary_key: true}, {name: v, type: varchar}]"


def columns(*declared: str) -> str:
    """The header of a ddl asset with these columns: columns("name: a, type: int")."""
    return f"{DDL}columns: [{', '.join(f'{{{column}}}' for column in declared)}]"


class TestDdl:
    def test_the_first_run_creates_schema_and_table_without_rows(self, w: Warehouse) -> None:
        built = w.run(ORDERS)
        assert (built.published, built.rows, built.loaded.rows_written) == (True, 0, None)
        assert w.types() == {"id": "integer", "v": "text"}
        w.sql("INSERT INTO mart.t VALUES (1)")
        with pytest.raises(Exception, match="duplicate key value"):
            w.sql("INSERT INTO mart.t VALUES (1)")

    @pytest.mark.parametrize(
        ("column", "kind"),
        [
            ("type: numeric, precision: 12, scale: 2", "numeric(12,2)"),
            ("type: varchar, length: 9", "character varying(9)"),
            ("type: 'decimal(12, 2)'", "numeric(12,2)"),
            ("type: inet", "inet"),
            ("type: text, collation: C", "text"),
        ],
    )
    def test_types_are_those_declared(self, w: Warehouse, column: str, kind: str) -> None:
        assert w.run(columns(f"name: A b, {column}")).columns == {"A b": kind}

    @pytest.mark.parametrize(
        ("kind", "default", "value"),
        [
            ("int", 7, 7),
            ("int", "7", 7),
            ("boolean", True, True),
            ("numeric(6, 2)", 0.5, Decimal("0.50")),
            ("varchar", "it's (not) NULL", "it's (not) NULL"),
            ("varchar", "'pending'", "pending"),
            ("varchar", "0) NOT NULL, x INT --", "0) NOT NULL, x INT --"),
            ("varchar", "upper('x')", "X"),
            ("varchar", "null", None),
            ("date", "2020-01-31", date(2020, 1, 31)),
        ],
    )
    def test_defaults(self, w: Warehouse, kind: str, default: object, value: object) -> None:
        header = f"name: b, type: '{kind}', default: {json.dumps(default)}"
        w.run(columns("name: a, type: int", header))
        w.sql("INSERT INTO mart.t (a) VALUES (1)")
        assert w.rows() == [(1, value)]

    def test_serial_columns_count_by_themselves(self, w: Warehouse) -> None:
        w.run(columns("name: a, type: bigserial", "name: b, type: int"))
        w.sql("INSERT INTO mart.t (b) VALUES (5), (6)")
        assert w.rows() == [(1, 5), (2, 6)]

    @pytest.mark.parametrize(
        ("column", "message"),
        [
            ("type: int, default: many", "the default of the column b: invalid input syntax"),
            ("type: quux", "the column 'b' has the type 'quux', which PostgreSQL does not know"),
        ],
    )
    def test_a_declaration_that_cannot_be(self, w: Warehouse, column: str, message: str) -> None:
        with pytest.raises(AssetError) as error:
            w.run(columns("name: a, type: int", f"name: b, {column}"))
        assert message in str(error.value)
        assert w.kind() is None

    @pytest.mark.parametrize("full_refresh", [True, False])
    def test_the_next_runs_leave_rows_alone_and_add_columns(
        self, w: Warehouse, full_refresh: bool
    ) -> None:
        w.run(ORDERS)
        w.sql("INSERT INTO mart.t VALUES (1, 'a')")
        assert w.run(ORDERS, full_refresh=full_refresh).loaded.statements == ()
        header = ORDERS.replace(
            "varchar}]", "int}, {name: w, type: int, default: 5, nullable: false}]"
        )
        built = w.run(header, full_refresh=full_refresh)
        assert w.rows() == [(1, "a", 5)]
        assert built.loaded.schema_changes == (
            "added column w integer",
            "the column v is text and is declared as integer; a table with `strategy: ddl` is not "
            "rebuilt, change it by hand",
        )

    def test_descriptions_become_comments(self, w: Warehouse) -> None:
        for text in ("first", "first", "it's second"):
            quoted = text.replace("'", "''")
            header = ORDERS.replace("varchar", f"varchar, description: '{quoted} column'")
            built = w.run(f"{header}\ndescription: '{quoted} table'")
            assert w.sql(
                "SELECT obj_description('mart.t'::regclass, 'pg_class'),"
                " col_description('mart.t'::regclass, 2)"
            ) == [(f"{text} table", f"{text} column")]
        assert len(built.loaded.statements) == 2

    def test_replaces_a_view_of_its_name(self, w: Warehouse) -> None:
        w.run(VIEW, "SELECT 1 AS a")
        w.run(ORDERS)
        assert (w.kind(), w.rows()) == ("table", [])

    def test_hooks_may_fill_it_and_checks_run(self, w: Warehouse) -> None:
        header = ORDERS.replace("varchar", "varchar, checks: [{name: not_null}]")
        header += "\nhooks: {post: [{query: 'INSERT INTO mart.t VALUES (1, NULL)'}]}"
        built = w.run(header)
        assert (built.published, built.results[0].failed_rows) == (False, 1)
        assert w.kind() is None

    def test_what_cannot_be_declared_is_reported(self) -> None:
        def complaints(header: str, sql: str = "") -> list[str]:
            log = ProblemLog()
            lint_postgres_materialization(asset_of(header, sql), log)
            return [problem.message for problem in log.errors]

        assert complaints(columns("name: a, type: inet")) == []
        (message,) = complaints(columns("name: a"))
        assert "needs a type for the column 'a'" in message
        (message,) = complaints(ORDERS, "SELECT 1")
        assert "it takes no query" in message
