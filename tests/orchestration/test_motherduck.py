"""A warehouse in MotherDuck, as far as it can be tried without an account: what is read, what is
sent, and that the token is shown nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from ecommerce_dagster.bruin.config_file import read_connections
from ecommerce_dagster.bruin.model.connections import Connection
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.warehouses.duckdb.motherduck import statements
from orchestration.helpers import Tiny

TOKEN = "eyJ-t0ken'x"
LISTED = "motherduck: [{name: md, token: '${MOTHERDUCK_TOKEN}', database: shop}]"
CONFIG = "environments:\n  default:\n    connections:\n      {}\n"


def connection(folder: Path, entry: str) -> Connection:
    file = folder / ".bruin.yml"
    file.write_text(CONFIG.format(entry))
    log = ProblemLog()
    found = read_connections(file, None, log)
    assert not log.problems, log.problems
    return found.by_name["md"]


class TestConnection:
    @pytest.mark.parametrize(
        ("entry", "path", "token"),
        [
            (LISTED, "md:shop", TOKEN),
            ("motherduck: [{name: md, token: t0p}]", "md:my_db", "t0p"),
            ("motherduck: [{name: md}]", "md:my_db", TOKEN),
            ("duckdb: [{name: md, path: 'md:shop'}]", "md:shop", TOKEN),
            ("duckdb: [{name: md, path: 'motherduck:'}]", "md:my_db", TOKEN),
            (
                "duckdb: [{name: md, path: 'md:shop?motherduck_token=t0p&a=b'}]",
                "md:shop?a=b",
                "t0p",
            ),
            (
                "duckdb: [{name: md, path: 'md:shop?attach_mode=single&motherduck_token=t0p'}]",
                "md:shop?attach_mode=single",
                "t0p",
            ),
        ],
    )
    def test_a_place_without_its_token(
        self, tmp_path: Path, entry: str, path: str, token: str
    ) -> None:
        found = connection(tmp_path, entry).duckdb({"MOTHERDUCK_TOKEN": TOKEN})
        assert (found.path, found.token) == (path, token)
        assert token not in repr(found).replace(path, "")

    @pytest.mark.parametrize(
        "entry",
        [
            LISTED,
            "motherduck: [{name: md, database: shop}]",
            "duckdb: [{name: md, path: 'md:shop?motherduck_token=${MOTHERDUCK_TOKEN}'}]",
        ],
    )
    def test_without_a_token_the_rest_is_known(self, tmp_path: Path, entry: str) -> None:
        found = connection(tmp_path, entry).duckdb({})
        assert (found.motherduck_database, found.token) == ("shop", "")

    def test_what_is_sent(self, tmp_path: Path) -> None:
        found = connection(tmp_path, LISTED).duckdb({"MOTHERDUCK_TOKEN": TOKEN})
        assert statements(found) == [
            "SET motherduck_token = 'eyJ-t0ken''x'",
            "ATTACH 'md:shop'",
            'USE "shop"',
        ]
        assert len(duckdb.extract_statements(";".join(statements(found)))) == 3

    def test_a_misspelt_key_is_an_error(self, tmp_path: Path) -> None:
        file = tmp_path / ".bruin.yml"
        file.write_text(CONFIG.format("motherduck: [{name: md, tokn: x}]"))
        log = ProblemLog()
        read_connections(file, None, log)
        [problem] = log.problems
        assert "did you mean 'token'?" in problem.message


@pytest.fixture
def shop(tiny: Tiny) -> Tiny:
    tiny.write(".bruin.yml", CONFIG.format(LISTED))
    tiny.write("pipeline/pipeline.yml", "name: tiny\ndefault_connections: {motherduck: md}\n")
    tiny.sql("raw.a", "SELECT 1 AS n")
    tiny.write(
        "pipeline/assets/b.sql",
        "/* @bruin\nname: stg.b\ntype: motherduck.sql\nmaterialization: {type: table}\n"
        "depends: [raw.a]\n@bruin */\nSELECT n FROM shop.raw.a",
    )
    return tiny


class TestPipeline:
    def test_it_is_proven_without_network_and_token(self, shop: Tiny) -> None:
        outcome = shop.ecommerce("validate")
        assert outcome.code == 0, outcome.text
        assert "2 assets and 0 checks are valid" in outcome.text
        shop.write(
            "pipeline/assets/c.sql",
            (shop.directory / "assets/b.sql")
            .read_text()
            .replace("stg.b", "stg.c")
            .replace("SELECT n", "SELECT m"),
        )
        assert 'column "m" not found' in shop.ecommerce("validate").text

    def test_it_is_shown_as_what_it_is(self, shop: Tiny) -> None:
        found = json.loads(shop.ecommerce("connections", "list", "--output", "json").stdout)
        assert [(c["name"], c["type"]) for c in found] == [("md", "motherduck")]
        rendered = shop.ecommerce("render", "stg.b", MOTHERDUCK_TOKEN=TOKEN)
        assert 'CREATE OR REPLACE TABLE "stg"."b" AS' in rendered.text
        assert TOKEN not in rendered.text

    def test_a_run_that_cannot_reach_it_says_so_without_the_token(self, shop: Tiny) -> None:
        nobody = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
        outcome = shop.ecommerce("run", MOTHERDUCK_TOKEN=TOKEN, **nobody)
        assert outcome.code == 1
        assert "MotherDuck: md:shop cannot be opened: " in outcome.text
        assert "Traceback" not in outcome.text
        assert TOKEN not in outcome.text
        kept = [file for file in (shop.folder / "state").rglob("*") if file.is_file()]
        assert kept
        assert not [file for file in kept if b"eyJ-t0ken" in file.read_bytes()]

    def test_a_run_without_a_token_says_where_it_belongs(self, shop: Tiny) -> None:
        outcome = shop.ecommerce("run", MOTHERDUCK_TOKEN="", motherduck_token="")
        assert outcome.code == 1
        assert (
            "md:shop cannot be opened without a token; write `token: ${MOTHERDUCK_TOKEN}`"
            in outcome.text
        )

    def test_python_gets_it_as_bruin_gives_it(self, shop: Tiny) -> None:
        code = (
            "import os\nfrom pathlib import Path\n"
            "told = os.environ['BRUIN_CONNECTION_TYPES'], os.environ['md']\n"
            f"Path({str(shop.folder / 'told')!r}).write_text('\\n'.join(told))"
        )
        shop.write(
            "pipeline/assets/p.py",
            f'"""@bruin\nname: p\nsecrets: [{{key: md}}]\n@bruin"""\n{code}\n',
        )
        outcome = shop.ecommerce("run", "p", MOTHERDUCK_TOKEN="t")
        assert outcome.code == 0, outcome.text
        types, settings = map(json.loads, (shop.folder / "told").read_text().splitlines())
        assert types == {"md": "motherduck"}
        assert settings == {"name": "md", "token": "t", "database": "shop"}

    def test_as_a_source_it_is_read_by_ingestr(self, shop: Tiny) -> None:
        config = CONFIG.format(f"duckdb: [{{name: here, path: w.duckdb}}]\n      {LISTED}")
        shop.write(".bruin.yml", config)
        shop.write(
            "pipeline/assets/i.asset.yml",
            "name: raw.i\ntype: ingestr\nconnection: here\n"
            "parameters: {source_connection: md, source_table: a.b, destination: duckdb}\n",
        )
        said = shop.ecommerce("validate").text
        assert "'raw.i' is left out: it reads from motherduck" in said or "are valid" in said
