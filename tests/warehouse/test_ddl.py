"""What is true of declared tables in DuckDB alone; what is true of all warehouses is in contract/."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import pytest

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sql.strategies.registry import lint_materialization
from ecommerce_dagster.warehouses.duckdb.database import comments_of
from warehouse.helpers import Warehouse, asset_of, in_both, in_lake

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


class TestDdl:
    @in_both
    def test_types_are_those_declared(self, w: Warehouse) -> None:
        kinds = {
            "integer": "INTEGER",
            "smallint": "SMALLINT",
            "bigint": "BIGINT",
            "decimal(12, 2)": "DECIMAL(12,2)",
            "numeric": "DECIMAL(38,9)",
            "float": "FLOAT",
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

    def test_the_length_of_a_text_is_no_part_of_its_type(self, w: Warehouse) -> None:
        w.run(columns("name: c, type: varchar, length: 20"))
        assert w.types() == {"c": "VARCHAR"}

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

    @in_lake
    def test_a_lake_has_no_keys(self, w: Warehouse) -> None:
        w.run(ORDERS)
        w.sql("INSERT INTO mart.t VALUES (1, 'a'), (1, 'a')")
        assert len(w.rows()) == 2

    def test_collation(self, w: Warehouse) -> None:
        w.run(columns("name: a, type: varchar, collation: nocase.noaccent"))
        w.sql("INSERT INTO mart.t VALUES ('É')")
        assert w.sql("SELECT count(*) FROM mart.t WHERE a = 'e'") == [(1,)]

    def test_columns_that_are_added_later_are_as_declared(self, w: Warehouse) -> None:
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

    @pytest.mark.parametrize(
        ("kind", "complaint"),
        [
            ("type: money", "'a' has the type 'money', which DuckDB does not"),
            ("type: 'decimal(50, 2)'", "'decimal(50, 2)', which DuckDB does"),
            ("type: decimal, precision: 50", "'decimal(50, 0)', which DuckDB"),
        ],
    )
    def test_a_type_that_there_is_not_is_reported(self, kind: str, complaint: str) -> None:
        (message,) = complaints(columns(f"name: a, {kind}"))
        assert complaint in message
