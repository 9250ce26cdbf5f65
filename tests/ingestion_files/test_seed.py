"""A seed: a file of the project as a table."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sources.seeds.seed import Seed, lint_seed
from ecommerce_dagster.warehouses.sql_asset import AssetError
from ingestion_files.helpers import Connection, asset_at, build, problems, rows, types, web_server

COUNTRIES = """
    name: raw.countries
    type: duckdb.seed
    parameters:
      path: countries.csv
    columns:
      - name: code
        type: varchar
        primary_key: true
        checks: [{name: not_null}]
      - name: people
        type: bigint
      - name: area
        type: numeric(10,2)
      - name: since
        type: date
"""
MakeSeed = Callable[..., Seed]


@pytest.fixture
def warehouse() -> Iterator[Connection]:
    with duckdb.connect(":memory:") as connection:
        yield connection


@pytest.fixture
def seed(tmp_path: Path) -> MakeSeed:
    """Make a seed from its definition and the content of its file."""

    def make(
        content: str | bytes | None = None, definition: str = COUNTRIES, file: str = "countries.csv"
    ) -> Seed:
        asset = asset_at(tmp_path / "assets/raw/countries.asset.yml", definition)
        if content is not None:
            data = content.encode() if isinstance(content, str) else content
            (tmp_path / "assets/raw" / file).write_bytes(data)
        return Seed(asset, tmp_path)

    return make


def definition(path: str, columns: str = "", more: str = "") -> str:
    """A seed of that file; `columns` as `name type, name type`."""
    text = f"name: raw.countries\ntype: duckdb.seed\nparameters:\n  path: '{path}'\n{more}"
    listed = [column.split(None, 1) for column in columns.split(",") if column.strip()]
    text += "columns:\n" if listed else ""
    return text + "".join(f"  - {{name: {name}, type: '{kind}'}}\n" for name, kind in listed)


def fails(connection: Connection, seed: Seed) -> str:
    """The error of a load, with file names instead of paths."""
    with pytest.raises(AssetError) as caught:
        build(connection, seed.asset, seed)
    return re.sub(r"/\S*/", "", str(caught.value))


def test_declared_types_hold_and_codes_keep_their_zeros(
    warehouse: Connection, seed: MakeSeed
) -> None:
    made = seed("code,people,area,since\n007,83000000,357588.1,1990-10-03\n1e3,5,0.25,1814-05-17\n")
    built = build(warehouse, made.asset, made)
    assert types(warehouse, "raw.countries") == {
        "code": "VARCHAR", "people": "BIGINT", "area": "DECIMAL(10,2)", "since": "DATE",
    }  # fmt: skip
    assert rows(warehouse, "raw.countries") == [
        ("007", 83000000, Decimal("357588.10"), date(1990, 10, 3)),
        ("1e3", 5, Decimal("0.25"), date(1814, 5, 17)),
    ]
    assert built.published
    assert built.loaded.rows_written == 2


def test_an_empty_cell_is_null_quoted_or_not(warehouse: Connection, seed: MakeSeed) -> None:
    made = seed('code,people,area,since\nA,,"",\nB,1,1,2020-01-01\n')
    build(warehouse, made.asset, made)
    assert rows(warehouse, "raw.countries")[0] == ("A", None, None, None)


def test_its_checks_run_and_keep_bad_rows_out(warehouse: Connection, seed: MakeSeed) -> None:
    good = seed("code,people,area,since\nA,1,1,2020-01-01\n")
    assert build(warehouse, good.asset, good).published
    bad = seed("code,people,area,since\n,1,1,2020-01-01\n")
    assert not build(warehouse, bad.asset, bad).published
    assert rows(warehouse, "raw.countries") == [("A", 1, Decimal(1), date(2020, 1, 1))]


def test_each_load_replaces_the_table_whole(warehouse: Connection, seed: MakeSeed) -> None:
    for content, expected in (("a,b\n1,x\n", {"a", "b"}), ("a,c\n2,y\n", {"a", "c"})):
        made = seed(content, definition("countries.csv", "a bigint"))
        build(warehouse, made.asset, made)
        assert set(types(warehouse, "raw.countries")) == expected
    assert rows(warehouse, "raw.countries") == [(2, "y")]


def test_undeclared_columns_are_typed_by_all_of_their_values(
    warehouse: Connection, seed: MakeSeed
) -> None:
    early = "7,2,2020-01-01\n" * 30_000
    made = seed(
        f"code,n,d\n{early}8,late,2020-01-02\n", definition("countries.csv", "code varchar")
    )
    build(warehouse, made.asset, made)
    assert types(warehouse, "raw.countries") == {"code": "VARCHAR", "n": "VARCHAR", "d": "DATE"}
    assert warehouse.execute("SELECT count(*) FROM raw.countries").fetchall() == [(30_001,)]
    assert rows(warehouse, "raw.countries", "code DESC")[0] == ("8", "late", date(2020, 1, 2))


def test_a_value_that_does_not_fit_is_named_with_its_line(
    warehouse: Connection, seed: MakeSeed
) -> None:
    made = seed('code,people,area,since\nA,1,1,2020-01-01\n"B\nb",2,2,\nC,many,3,\n')
    assert fails(warehouse, made) == (
        "countries.csv:5: the column people holds many, which does not fit its type BIGINT; "
        "the type is declared in countries.asset.yml:10"
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", "1.5"), ("integer", "3000000000"), ("date", "31.12.2020"), ("boolean", "maybe"),
        ("numeric(5,2)", "1.234"), ("timestamp", "noon"), ("double", "1,5"),
    ],
)  # fmt: skip
def test_no_value_is_bent_to_fit(
    warehouse: Connection, seed: MakeSeed, kind: str, value: str
) -> None:
    made = seed(f'a;b\n1;"{value}"\n', definition("countries.csv", f"b {kind.replace(',', '.')}"))
    column = made.asset.columns[0].model_copy(update={"type": kind})
    made = Seed(made.asset.model_copy(update={"columns": (column,)}), made.root)
    assert f"countries.csv:2: the column b holds {value}, which does not fit" in fails(
        warehouse, made
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(warehouse: Connection, seed: MakeSeed, delimiter: str) -> None:
    header, row = delimiter.join(["code", '"a,;|b"', "n"]), delimiter.join(["x", '"1,;|2"', "3"])
    made = seed(f"{header}\n{row}\n", definition("countries.csv", "code varchar, n integer"))
    build(warehouse, made.asset, made)
    assert types(warehouse, "raw.countries") == {
        "code": "VARCHAR", "a_lb": "VARCHAR", "n": "INTEGER",
    }  # fmt: skip
    assert rows(warehouse, "raw.countries") == [("x", "1,;|2", 3)]


def test_one_column_is_enough(warehouse: Connection, seed: MakeSeed) -> None:
    made = seed("code\n01\n02\n", definition("countries.csv", "code varchar"))
    build(warehouse, made.asset, made)
    assert rows(warehouse, "raw.countries") == [("01",), ("02",)]


def test_a_header_without_rows_makes_an_empty_table(warehouse: Connection, seed: MakeSeed) -> None:
    made = seed("code,people,area,since,note\n")
    build(warehouse, made.asset, made)
    assert types(warehouse, "raw.countries")["people"] == "BIGINT"
    assert rows(warehouse, "raw.countries") == []


def test_names_match_without_case_and_a_bom_is_no_part_of_them(
    warehouse: Connection, seed: MakeSeed
) -> None:
    made = seed(
        "\ufeffCode, People \n007,1\n", definition("countries.csv", "code text, people int")
    )
    build(warehouse, made.asset, made)
    assert types(warehouse, "raw.countries") == {"code": "VARCHAR", "people": "INTEGER"}
    assert rows(warehouse, "raw.countries") == [("007", 1)]


@pytest.mark.parametrize("extra", ["", "note"])
def test_a_row_that_is_too_short_is_named_by_its_line(
    warehouse: Connection, seed: MakeSeed, extra: str
) -> None:
    columns = "a int, b int" if not extra else "a int"
    made = seed("a,b\n1,2\n3\n4,5,6\n", definition("countries.csv", columns))
    message = "countries.csv:3: expected 2 values, as in the header, and found 1"
    assert fails(warehouse, made) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,caf\xe9\n", "countries.csv:2: this is not UTF-8; save the file as UTF-8"),
        (b'a,b\n1,"x\n2,3\n', 'countries.csv:2: a quoted value (") that starts here does not end'),
        (
            b"",
            "countries.asset.yml:4: countries.csv is empty; its first line must name the columns",
        ),
        (b"a,b,A\n1,2,3\n", "countries.csv:1: the header names the column a twice; rename one"),
    ],
)
def test_a_broken_file_is_explained(
    warehouse: Connection, seed: MakeSeed, content: bytes, message: str
) -> None:
    assert fails(warehouse, seed(content, definition("countries.csv"))) == message


def test_a_declared_column_that_the_file_lacks_is_named(
    warehouse: Connection, seed: MakeSeed
) -> None:
    made = seed("code,population\nA,1\n")
    assert fails(warehouse, made) == (
        "countries.asset.yml:10: countries.csv has no column people, area, since; it has code, "
        "population (with `enforce_schema: false` the file alone decides)"
    )


def test_without_enforce_schema_the_file_alone_decides(
    warehouse: Connection, seed: MakeSeed
) -> None:
    text = definition("countries.csv", "code varchar, gone int", "  enforce_schema: false\n")
    made = seed("code,n\n7,1.5\n", text)
    build(warehouse, made.asset, made)
    assert types(warehouse, "raw.countries") == {"code": "BIGINT", "n": "DOUBLE"}
    assert rows(warehouse, "raw.countries") == [(7, 1.5)]


def test_json_keeps_what_stands_in_it(warehouse: Connection, seed: MakeSeed) -> None:
    content = (
        '[{"code": "007", "day": "2020-01-01", "n": 5, "tags": ["x"]},\n {"code": null, "n": "6"}]'
    )
    text = definition("c.json", "code varchar, day varchar, n integer, tags varchar[]")
    made = seed(content, text, "c.json")
    build(warehouse, made.asset, made)
    assert types(warehouse, "raw.countries") == {
        "code": "VARCHAR", "day": "VARCHAR", "n": "INTEGER", "tags": "VARCHAR[]",
    }  # fmt: skip
    assert rows(warehouse, "raw.countries", "n") == [
        ("007", "2020-01-01", 5, ["x"]), (None, None, 6, None),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["c.jsonl", "c.ndjson", "c.json", "c.txt"])
def test_lines_of_json_are_rows(warehouse: Connection, seed: MakeSeed, name: str) -> None:
    more = "  file_type: JSONL\n" if name == "c.txt" else ""
    made = seed('{"a": 1}\n{"a": 2}\n', definition(name, "a integer", more), name)
    build(warehouse, made.asset, made)
    assert rows(warehouse, "raw.countries") == [(1,), (2,)]
    assert types(warehouse, "raw.countries") == {"a": "INTEGER"}


def test_an_empty_list_of_json_is_an_empty_table(warehouse: Connection, seed: MakeSeed) -> None:
    made = seed("[]", definition("c.json", "a integer, b date"), "c.json")
    build(warehouse, made.asset, made)
    assert types(warehouse, "raw.countries") == {"a": "INTEGER", "b": "DATE"}
    assert rows(warehouse, "raw.countries") == []


def test_a_value_of_json_that_does_not_fit_is_named(warehouse: Connection, seed: MakeSeed) -> None:
    made = seed('[{"a": 1}, {"a": "x"}]', definition("c.json", "a integer"), "c.json")
    assert fails(warehouse, made) == (
        "countries.asset.yml:6: the column a holds x, which does not fit its type INTEGER (c.json)"
    )


def test_parquet_comes_with_its_types_and_takes_declared_ones(
    warehouse: Connection, seed: MakeSeed, tmp_path: Path
) -> None:
    made = seed(None, definition("c.parquet", "n bigint"))
    file = tmp_path / "assets/raw/c.parquet"
    warehouse.execute(f"COPY (SELECT 1::INT AS n, DATE '2020-01-01' AS d) TO '{file}'")
    build(warehouse, made.asset, made)
    assert types(warehouse, "raw.countries") == {"n": "INTEGER", "d": "DATE"} or types(
        warehouse, "raw.countries"
    ) == {"n": "BIGINT", "d": "DATE"}
    assert rows(warehouse, "raw.countries") == [(1, date(2020, 1, 1))]
    file.write_text("this is no such file")
    assert "countries.asset.yml:4: c.parquet cannot be read: " in fails(warehouse, made)


def test_a_compressed_csv_is_read_as_it_is(warehouse: Connection, seed: MakeSeed) -> None:
    text = definition("c.csv.gz", "code varchar, n integer")
    made = seed(gzip.compress(b"code,n\n01,1\n"), text, "c.csv.gz")
    build(warehouse, made.asset, made)
    assert rows(warehouse, "raw.countries") == [("01", 1)]
    made = seed(gzip.compress(b"code,n\n01,1\n02,x\n"), text, "c.csv.gz")
    assert fails(warehouse, made).startswith("c.csv.gz:3: the column n holds x, ")


def test_a_file_name_is_never_a_pattern(warehouse: Connection, seed: MakeSeed) -> None:
    seed("a\n9\n", definition("x1.csv"), "x1.csv")
    for name in ("x[1].csv", "x*.csv", "it's.csv"):
        made = seed("a\n1\n", definition(name.replace("'", "''")), name)
        build(warehouse, made.asset, made)
        assert rows(warehouse, "raw.countries") == [(1,)]


class TestUrls:
    def test_the_file_behind_one_is_read_as_strictly(
        self, warehouse: Connection, seed: MakeSeed, tmp_path: Path
    ) -> None:
        (tmp_path / "zones.csv").write_text("code,n\n007,1\n008,x\n")
        (tmp_path / "right.csv").write_text("code,n\n007,1\n")
        with web_server(tmp_path) as address:
            made = seed(
                definition=definition(f"{address}/right.csv?key=s3cr3t", "code varchar, n int")
            )
            build(warehouse, made.asset, made)
            assert rows(warehouse, "raw.countries") == [("007", 1)]
            wrong = seed(definition=definition(f"{address}/zones.csv", "code varchar, n int"))
            assert "asset.yml:4: zones.csv:3: the column n holds x, which" in fails(
                warehouse, wrong
            )
            gone = seed(definition=definition(f"{address}/gone.csv?key=s3cr3t"))
            said = fails(warehouse, gone)
        assert ":4: http:gone.csv cannot be read: 404 File not found" in said
        assert "s3cr3t" not in said

    def test_nobody_is_asked_before_a_run(self, seed: MakeSeed, tmp_path: Path) -> None:
        made = seed(definition=definition("http://127.0.0.1:9/a.csv"))
        log = ProblemLog()
        lint_seed(made.asset, tmp_path, log)
        assert problems(log) == []

    def test_a_server_that_does_not_answer_is_said(
        self, warehouse: Connection, seed: MakeSeed
    ) -> None:
        made = seed(definition=definition("http://127.0.0.1:9/a.csv"))
        assert ":4: http:a.csv cannot be read: [Errno 111] Connection refused" in fails(
            warehouse, made
        )


def test_frozen_columns_stay(warehouse: Connection, seed: MakeSeed) -> None:
    frozen = definition("countries.csv", more="  schema_contract: freeze\n")
    made = seed("a\n1\n", frozen)
    build(warehouse, made.asset, made)
    assert "the columns b of what is loaded are not those of raw.countries" in fails(
        warehouse, seed("a,b\n1,2\n", frozen)
    )
    assert rows(warehouse, "raw.countries") == [(1,)]


def test_a_path_may_be_written_as_on_windows(warehouse: Connection, seed: MakeSeed) -> None:
    made = seed("a\n1\n", definition(r".\countries.csv"))
    build(warehouse, made.asset, made)
    assert rows(warehouse, "raw.countries") == [(1,)]


COUNTRY = definition("countries.csv")
WRONG = {
    definition("../../../x.csv"): (
        "4: '../../../x.csv' is outside of the project (ROOT); move the file into it"
    ),
    definition("s3://bucket/a.csv"): (
        "4: a seed cannot be read from s3://; use https://, or an ingestr asset"
    ),
    definition("countris.csv"): (
        "4: the file 'countris.csv' does not exist; did you mean 'countries.csv'?"
    ),
    COUNTRY + "  file_type: avro\n": "5: a seed cannot be Avro here; save the file as Parquet",
    COUNTRY + "  file_type: cvs\n": "5: unknown file_type 'cvs'; did you mean 'csv'?",
    definition("countries.csv", "gone int"): (
        "6: countries.csv has no column gone; it has code "
        "(with `enforce_schema: false` the file alone decides)"
    ),
    COUNTRY + "materialization: {type: table}\n": (
        "5: a seed is always replaced whole; remove `materialization`"
    ),
    COUNTRY.replace("path:", "table:"): (
        "3: a seed needs `parameters: path`, the file beside this one to load"
    ),
    definition("."): "4: '.' is a folder; name one file in it",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_what_is_wrong_is_reported_before_anything_runs(
    seed: MakeSeed, tmp_path: Path, text: str, message: str
) -> None:
    made = seed("code\nA\n", text)
    log = ProblemLog()
    lint_seed(made.asset, tmp_path, log)
    assert problems(log) == [f"countries.asset.yml:{message.replace('ROOT', str(tmp_path))}"]


def test_a_link_that_leads_out_of_the_project_is_not_followed(
    seed: MakeSeed, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.csv"
    outside.write_text("a\n1\n")
    made = seed(None, definition("link.csv"))
    (tmp_path / "assets/raw/link.csv").symlink_to(outside)
    log = ProblemLog()
    lint_seed(made.asset, tmp_path, log)
    assert "outside of the project" in problems(log)[0]


def test_a_good_seed_has_no_problems_and_a_known_schema(seed: MakeSeed, tmp_path: Path) -> None:
    made = seed("code,people,area,since,note\nA,1,1,2020-01-01,5\n")
    log = ProblemLog()
    lint_seed(made.asset, tmp_path, log)
    assert problems(log) == []
    assert made.schema() == {
        "code": "VARCHAR", "people": "BIGINT", "area": "DECIMAL(10,2)", "since": "DATE",
        "note": "BIGINT",
    }  # fmt: skip


class TestNames:
    DEFINITION = """
        name: raw.trips
        type: duckdb.seed
        parameters: {path: trips.csv}
        columns:
          - {name: VendorID, type: integer, checks: [{name: unique}]}
          - {name: trip_distance, type: double, checks: [{name: positive}]}
    """
    TEXT = "VendorID,Trip Distance,createdAt\n1,2.5,x\n1,-1,y\n"

    def test_a_new_table_has_snake_case_names_and_its_checks_find_them(
        self, seed: MakeSeed, warehouse: Connection
    ) -> None:
        definition = self.DEFINITION.replace("trip_distance", "Trip Distance")
        made = seed(self.TEXT, definition, "trips.csv")
        built = build(warehouse, made.asset, made)
        assert [(r.check.label, r.failed_rows) for r in built.results] == [
            ("VendorID: unique", 1), ("Trip Distance: positive", 1),
        ]  # fmt: skip
        made = seed("VendorID,Trip Distance,createdAt\n1,2.5,x\n", definition, "trips.csv")
        assert build(warehouse, made.asset, made).published
        assert types(warehouse, "raw.trips") == {
            "vendor_id": "INTEGER", "trip_distance": "DOUBLE", "created_at": "VARCHAR",
        }  # fmt: skip

    def test_a_table_that_has_the_names_of_the_file_keeps_them(
        self, seed: MakeSeed, warehouse: Connection
    ) -> None:
        made = seed(
            "VendorID\n1\n",
            "name: raw.t\ntype: duckdb.seed\nparameters: {path: t.csv, schema_naming: direct}",
            "t.csv",
        )
        build(warehouse, made.asset, made)
        made = seed(
            "VendorID,newOne\n1,2\n",
            "name: raw.t\ntype: duckdb.seed\nparameters: {path: t.csv}",
            "t.csv",
        )
        build(warehouse, made.asset, made)
        assert list(types(warehouse, "raw.t")) == ["VendorID", "newOne"]

    def test_a_value_that_does_not_fit_is_shown_in_its_line(
        self, seed: MakeSeed, warehouse: Connection
    ) -> None:
        definition = self.DEFINITION.replace("trip_distance", "Trip Distance")
        made = seed("VendorID,Trip Distance\n1,2\n2,far\n", definition, "trips.csv")
        with pytest.raises(AssetError, match=r"trips\.csv:3: the column trip_distance holds far"):
            build(warehouse, made.asset, made)

    def test_an_unknown_naming_is_reported(self, seed: MakeSeed) -> None:
        made = seed(
            "a\n1\n",
            "name: raw.t\ntype: duckdb.seed\nparameters: {path: t.csv, schema_naming: snake}",
            "t.csv",
        )
        log = ProblemLog()
        lint_seed(made.asset, made.root, log)
        assert problems(log) == [
            "countries.asset.yml:3: unknown schema_naming 'snake'; did you mean 'snake_case'?"
        ]


class TestLineEnds:
    @pytest.mark.parametrize(
        "text",
        ["id,t\r\n1,x\n2,y\r\n", "id,t\n1,x\r\n2,y\n", "id,t\r\n1,x\r\n2,y", "id,t\n1,x\n2,y\r\n"],
    )
    @pytest.mark.parametrize("file", ["s.csv", "s.csv.gz"])
    @pytest.mark.parametrize("declared", ["id int, t text", "t text", ""])
    def test_lines_may_end_in_two_ways(
        self, seed: MakeSeed, warehouse: Connection, text: str, file: str, declared: str
    ) -> None:
        data = gzip.compress(text.encode()) if file.endswith(".gz") else text.encode()
        made = seed(data, definition(file, declared), file)
        build(warehouse, made.asset, made)
        assert rows(warehouse, "raw.countries") == [(1, "x"), (2, "y")]

    def test_what_is_quoted_stays_and_errors_name_the_line(
        self, seed: MakeSeed, warehouse: Connection
    ) -> None:
        made = seed('id,t\r\n1,"a\r\nb\nc"\n', definition("s.csv", "id int, t text"), "s.csv")
        build(warehouse, made.asset, made)
        assert rows(warehouse, "raw.countries") == [(1, "a\r\nb\nc")]
        made = seed("id,t\r\n1,x\n2,y\r\n3,z,q\n", definition("s.csv", "id int, t text"), "s.csv")
        with pytest.raises(AssetError, match=r"s\.csv:4: expected 2 values"):
            build(warehouse, made.asset, made)
