"""What the columns of a loaded table are called."""

from __future__ import annotations

from typing import Any

import pytest

from ecommerce_dagster.bruin.model.asset import Column
from ecommerce_dagster.sql.column_names import snake_case
from ingestion.helpers import TWO_PLACES, World, days

WORDS = {
    "VendorID": "vendor_id", "Trip Distance": "trip_distance", "createdAt": "created_at",
    "user_name": "user_name", "HTTPServer": "http_server", "getHTTPResponse": "get_http_response",
    "123column": "_123column", "column123": "column123", "column_": "columnx",
    "column___": "columnxxx", "fields__123count": "fields__123count", "__123fields": "_123fields",
    "a-b": "a_b", "a+b": "axb", "a@b": "aab", "a|b": "alb", "a.b": "a_b", "spend >>>": "spendx",
    "fields__drive link (from main)": "fields__drive_link_from_mainx", "ID": "id", "": "",
    "Straße": "straße", "_dlt_id": "_dlt_id",
}  # fmt: skip
KEYED = {"incremental_strategy": "merge", "incremental_key": "updatedAt", "primary_key": "itemId"}
APPEND = {"incremental_strategy": "append", "incremental_key": "itemId"}
BY_DAY = {"incremental_strategy": "delete+insert", "incremental_key": "updatedAt"}
QUERY = {"source_table": 'query:SELECT "itemId", "updatedAt", "eMail" FROM t'}
SNAKE = ["item_id", "updated_at", "e_mail"]


@pytest.fixture
def camel(p: World) -> World:
    """A source with names that ingestr writes otherwise."""
    p.sql(
        'CREATE TABLE t ("itemId" int, "updatedAt" timestamptz, "eMail" text)',
        "INSERT INTO t VALUES (1, '2024-01-01Z', 'a'), (2, '2024-01-02Z', 'b')",
    )
    return p


def columns(w: World) -> list[str]:
    found = w.rows(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'raw' AND table_name = 't' ORDER BY ordinal_position"
    )
    return [name for (name,) in found]


def ids(w: World, name: str = "item_id") -> list[Any]:
    return [value for (value,) in w.rows(f'SELECT "{name}" FROM raw.t ORDER BY 1')]


@pytest.mark.parametrize(("name", "expected"), WORDS.items())
def test_a_name_is_written_as_ingestr_writes_it(name: str, expected: str) -> None:
    assert snake_case(name) == expected


def test_a_new_table_has_snake_case_names(camel: World) -> None:
    for parameters in ({}, QUERY):
        camel.load(parameters)
        assert columns(camel) == SNAKE
        assert ids(camel) == [1, 2]


@pytest.mark.parametrize("p", ["_world"], indirect=True)
@pytest.mark.parametrize("naming", ["", "auto", "default", "AUTO", "snake_case"])
def test_so_it_has_whatever_the_naming_is_called(camel: World, naming: str) -> None:
    camel.load({"schema_naming": naming})
    assert columns(camel) == SNAKE


def test_direct_keeps_the_names_of_the_source(camel: World) -> None:
    camel.load({"schema_naming": "direct"})
    assert columns(camel) == ["itemId", "updatedAt", "eMail"]


@pytest.mark.parametrize(
    "parameters", [{}, KEYED, APPEND, BY_DAY], ids=["replace", "merge", "append", "day"]
)
def test_a_table_that_has_the_names_of_the_source_keeps_them(
    camel: World, parameters: dict[str, str]
) -> None:
    camel.load({**parameters, "schema_naming": "direct"})
    camel.sql("ALTER TABLE t ADD newOne int", 'ALTER TABLE t ADD "newTwo" int')
    camel.sql("INSERT INTO t VALUES (3, '2024-01-03Z', 'c')")
    camel.load(parameters)
    camel.load(parameters, full_refresh=True)
    assert columns(camel) == ["itemId", "updatedAt", "eMail", "newone", "newTwo"]
    assert ids(camel, "itemId") == [1, 2, 3]


@TWO_PLACES
@pytest.mark.parametrize("spelling", ["of the source", "of the table"])
@pytest.mark.parametrize("strategy", ["merge", "append", "delete+insert"])
def test_keys_may_be_named_as_in_the_source_or_as_in_the_table(
    camel: World, strategy: str, spelling: str
) -> None:
    parameters = {"merge": KEYED, "append": APPEND, "delete+insert": BY_DAY}[strategy]
    if spelling == "of the table":
        keys = {k: snake_case(v) for k, v in parameters.items() if k.endswith("_key")}
        parameters = {**parameters, **keys}
    camel.load(parameters)
    camel.sql(
        "INSERT INTO t VALUES (3, '2024-01-03Z', 'c')",
        'UPDATE t SET "eMail" = \'new\', "updatedAt" = \'2024-01-04Z\' WHERE "itemId" = 2',
    )
    window = days("2024-01-03", 2) if strategy == "delete+insert" else None
    camel.load(parameters, interval=window)
    assert columns(camel) == SNAKE
    rows = camel.rows("SELECT item_id, e_mail FROM raw.t ORDER BY 1, 2")
    changed = {"merge": [(2, "new")], "append": [(2, "b")], "delete+insert": [(2, "b"), (2, "new")]}
    assert rows == [(1, "a"), *changed[strategy], (3, "c")]


def test_a_merge_finds_rows_that_are_gone_and_rows_that_came_late(camel: World) -> None:
    camel.load(KEYED)
    camel.sql('DELETE FROM t WHERE "itemId" = 1', "INSERT INTO t VALUES (0, '2023-01-01Z', 'late')")
    loaded = camel.load(KEYED).loaded
    assert ids(camel) == [0, 2]
    assert (loaded.rows_missed, loaded.rows_deleted) == (1, 1)


def test_what_the_file_says_of_a_column_is_said_of_that_of_the_table(camel: World) -> None:
    rest = """
        columns:
          - {name: itemId, type: bigint, primary_key: true}
          - {name: e_mail, type: varchar, mask: stars}
    """
    camel.load({"incremental_strategy": "merge"}, rest)
    camel.load({"incremental_strategy": "merge"}, rest)
    assert columns(camel) == SNAKE
    assert camel.rows("SELECT item_id, e_mail FROM raw.t ORDER BY 1") == [(1, "*"), (2, "*")]
    kinds = camel.rows(
        "SELECT lower(data_type) FROM information_schema.columns"
        " WHERE table_schema = 'raw' AND column_name = 'item_id'"
    )
    assert kinds == [("bigint",)]


def test_a_mask_is_found_by_the_name_of_the_source_and_of_the_table(camel: World) -> None:
    for written in ("eMail:redact", "e_mail:redact", "EMAIL:redact"):
        camel.clear()
        camel.sql('CREATE TABLE t (id int, "eMail" text)', "INSERT INTO t VALUES (1, 'secret')")
        camel.load({"mask": written})
        assert camel.rows("SELECT * FROM raw.t") == [(1, "REDACTED")]


def test_source_column_gives_a_column_another_name(camel: World) -> None:
    rest = """
        columns:
          - {name: id, source_column: itemId, type: bigint, primary_key: true}
          - {name: Mail, source_column: EMAIL, mask: md5}
    """
    for _ in range(2):
        camel.load({"incremental_strategy": "merge"}, rest)
        camel.sql('DELETE FROM t WHERE "itemId" = 1')
    assert columns(camel) == ["id", "updated_at", "Mail"]
    assert camel.rows('SELECT id, length("Mail") FROM raw.t') == [(2, 32)]


def test_two_columns_of_one_name_are_refused(p: World) -> None:
    p.sql('CREATE TABLE t ("userId" int, user_id int)')
    message = p.failure({})
    assert "the columns 'userId' and 'user_id' would both be called 'user_id'" in message
    assert "schema_naming: direct" in message
    p.load({"schema_naming": "direct"})
    assert columns(p) == ["userId", "user_id"]
    rest = "columns: [{name: other_id, source_column: userId}]"
    p.load({"schema_naming": "snake_case"}, rest)
    assert columns(p) == ["other_id", "user_id"]


def test_a_large_table_is_read_in_parallel_under_other_names_too(w: World) -> None:
    w.sql(
        'CREATE TABLE t ("itemId" int, "at" date)',
        "INSERT INTO t SELECT n, '2024-01-01' FROM generate_series(1, 9) AS n",
    )
    statements = " ".join(w.load({}).loaded.statements)
    assert "postgres_query" not in statements
    assert ids(w) == list(range(1, 10))


def test_texts_come_without_blanks_at_their_ends(p: World) -> None:
    p.sql(
        "CREATE TABLE t (id int, a text, b varchar(9), c char(4))",
        r"INSERT INTO t VALUES (1, E' x y\t\n', ' b ', 'c'), (2, NULL, '', '')",
    )
    p.load({"trim_whitespace": True}, "columns: [{name: b, mask: stars}]")
    assert p.rows("SELECT id, a, b FROM raw.t ORDER BY 1") == [(1, "x y", "***"), (2, None, "")]
    p.load({"trim_whitespace": "false"})
    assert p.rows("SELECT a FROM raw.t WHERE id = 1") == [(" x y\t\n",)]


@pytest.mark.parametrize(
    "parameters",
    [{}, {"incremental_strategy": "merge", "primary_key": "id"}],
    ids=["replace", "merge"],
)
def test_frozen_columns_do_not_change(p: World, parameters: dict[str, str]) -> None:
    frozen = {**parameters, "schema_contract": "freeze"}
    p.sql("CREATE TABLE t (id int, v int)", "INSERT INTO t VALUES (1, 1)")
    p.load(frozen)
    p.sql("INSERT INTO t VALUES (2, 2)")
    p.load(frozen)
    p.sql("ALTER TABLE t ADD w int")
    assert p.failure(frozen).startswith("the columns w of what is loaded are not those of raw.t")
    p.load({**frozen, "sql_exclude_columns": "w"})
    p.sql("ALTER TABLE t DROP w, ALTER v TYPE bigint")
    assert "the columns v of what is loaded" in p.failure(frozen)
    assert p.rows("SELECT id, v FROM raw.t ORDER BY 1") == [(1, 1), (2, 2)]
    p.load({**parameters, "schema_contract": "evolve"})


def test_digits_beside_a_type_are_part_of_it() -> None:
    cases = [
        ({"type": "numeric", "precision": 10, "scale": 2}, "numeric(10, 2)"),
        ({"type": "decimal", "precision": 5}, "decimal(5, 0)"),
        ({"type": "string", "length": 9}, "varchar(9)"),
        ({"type": "varchar(3)", "length": 9}, "varchar(3)"),
        ({"type": "integer", "precision": 9, "length": 3}, "integer"),
    ]
    assert [(Column.model_validate(c).sized_type) for c, _ in cases] == [t for _, t in cases]
