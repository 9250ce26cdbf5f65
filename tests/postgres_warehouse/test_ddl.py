"""What is true of declared tables in PostgreSQL alone; the rest is in contract/."""

from __future__ import annotations

import pytest

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sql.strategies.registry import lint_postgres_materialization
from ecommerce_dagster.warehouses.sql_asset import AssetError
from postgres_warehouse.helpers import Warehouse, asset_of

DDL = "materialization: {type: table, strategy: ddl}\n"
ORDERS = DDL + "columns: [{name: id, type: integer, primary_key: true}, {name: v, type: varchar}]"


def columns(*declared: str) -> str:
    """The header of a ddl asset with these columns: columns("name: a, type: int")."""
    return f"{DDL}columns: [{', '.join(f'{{{column}}}' for column in declared)}]"


class TestDdl:
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

    def test_types_of_postgres_are_known(self) -> None:
        log = ProblemLog()
        lint_postgres_materialization(asset_of(columns("name: a, type: inet")), log)
        assert log.errors == ()
