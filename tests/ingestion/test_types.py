"""Every type of Postgres: which type it has in DuckDB, and that its values are the same."""

from __future__ import annotations

import pytest
from ingestion.helpers import QUERY, TABLE, World

WAYS = pytest.mark.parametrize("way", [TABLE, QUERY], ids=["table", "query"])


def arrives(w: World, way: str, kind: str, values: list[str], expected: str) -> list[str | None]:
    """Load values of a Postgres type, and NULL; they must have the expected type in DuckDB."""
    w.sql(f"CREATE TABLE t (id int, v {kind})")
    for number, value in enumerate([*values, "NULL"]):
        w.sql(f"INSERT INTO t VALUES ({number}, {value})")
    w.load({"source_table": way})
    assert w.types()["v"] == expected
    *texts, last = w.texts()
    assert last is None
    return texts


def same(kind: str, duckdb: str, *values: str) -> object:
    """Values that DuckDB writes as Postgres does."""
    quoted = [f"'{value}'" for value in values]
    return pytest.param(kind, duckdb, quoted, list(values), id=f"{kind} is {duckdb}")


def becomes(kind: str, duckdb: str, **values: str) -> object: ...


@WAYS
@pytest.mark.parametrize(
    ("kind", "duckdb", "values", "texts"),
    [
        same("smallint", "SMALLINT", "-32768", "32767"),
        same("integer", "INTEGER", "-2147483648", "2147483647"),
        same("bigint", "BIGINT", "-9223372036854775808", "9223372036854775807"),
        same("oid", "BIGINT", "4294967295"),
        same("numeric(10,2)", "DECIMAL(10,2)", "-99999999.99", "0.00", "0.01"),
        same("numeric(4)", "DECIMAL(4,0)", "-9999", "9999"),
        same("numeric(38,10)", "DECIMAL(38,10)", "1234567890123456789012345678.0123456789"),
    ],
)
def test_a_value_arrives_exact(w, way, kind, duckdb, values, texts) -> None:
    assert arrives(w, way, kind, values, duckdb) == texts
