"""`lakehouse`: what makes a DuckDB connection a DuckLake."""

from __future__ import annotations

from typing import Any

import pytest

from bruin.helpers import Files
from bruin.test_connections import SECRET, config, connection, refusal
from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse, ObjectStore
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection

POSTGRES = "{type: postgres, host: db, port: '${PORT}', database: lake, auth: {username: me, password: '$P'}}"


def lake(catalog: str = POSTGRES, storage: str = "{path: data}", format: str = "ducklake") -> str:
    """A connection `x`; its lakehouse stands in line 7."""
    parts = {"format": format, "catalog": catalog, "storage": storage}
    lines = "".join(f"      {key}: {value}\n" for key, value in parts.items() if value)
    return f"duckdb:\n  - name: x\n    lakehouse:\n{lines}"


def opened(files: Files, text: str, **variables: str) -> Lakehouse:
    found = connection(files, text).duckdb({"PORT": "6543", "P": SECRET, **variables}).lakehouse
    assert found is not None
    return found


def test_a_catalogue_in_postgres_and_rows_in_a_folder(files: Files) -> None:
    assert opened(files, lake()) == Lakehouse(
        PostgresConnection("db", 6543, "lake", "me", SECRET), str(files.root / "data")
    )
    own_schema = POSTGRES.replace("lake,", "lake, metadata_schema: prod,")
    assert opened(files, lake(own_schema)).schema == "prod"


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_a_catalogue_in_a_file(files: Files, kind: str) -> None:
    found = opened(
        files, lake(f"{{type: {kind}, path: lake.{kind}}}", "{path: '${DATA}'}"), DATA="/d"
    )
    assert found == Lakehouse(CatalogFile(kind, str(files.root / f"lake.{kind}")), "/d")


def test_rows_in_a_store_of_objects(files: Files) -> None:
    auth = "auth: {access_key: a, secret_key: '${S}', session_token: t}"
    storage = f"{{type: s3, path: 's3://bucket/wh', region: eu-1, {auth}}}"
    found = opened(files, lake(storage=storage), S=SECRET)
    assert found.data_path == "s3://bucket/wh"
    assert found.store == ObjectStore("s3", "eu-1", "", "", "a", SECRET, "t")
    minio = opened(files, lake(storage="{path: 's3://b', endpoint: 'http://minio:9000'}")).store
    assert minio == ObjectStore("s3", endpoint="http://minio:9000", url_style="path")
    assert opened(files, lake(storage="{path: 'gs://b/wh'}")).store == ObjectStore("gcs")


def test_no_path_of_a_database_is_needed_and_secrets_do_not_show(files: Files) -> None:
    storage = "{path: 's3://b', auth: {access_key: a, secret_key: '$P', session_token: '$P'}}"
    found = connection(files, lake(storage=storage))
    place = found.duckdb({"PORT": "1", "P": SECRET})
    assert place.path == ":memory:"
    assert SECRET not in f"{place!r} {place.lakehouse} {found!r} {place.lakehouse!r}"
    assert place.lakehouse is not None
    assert place.lakehouse.address == "db:1/lake, with its rows in s3://b"


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"format": "iceberg"},
     "8: the connection 'x' has the format 'iceberg' in its lakehouse; known: ducklake"),
    ({"format": ""}, "7: the connection 'x' has no format in its lakehouse; known: ducklake"),
    ({"catalog": "{type: glue}"},
     "9: the connection 'x' has the catalog.type 'glue' in its lakehouse; "
     "known: duckdb, postgres, sqlite"),
    ({"catalog": "{type: postgres, host: h}"},
     "9: the connection 'x' needs catalog.database, catalog.auth.username in its lakehouse"),
    ({"catalog": "{type: duckdb}"}, "9: the connection 'x' needs catalog.path in its lakehouse"),
    ({"catalog": "x"},
     "9: the connection 'x' has a catalog that must be a mapping (`key: value` lines)"),
    ({"catalog": "{type: duckdb, path: [a]}"},
     "9: the connection 'x' has a catalog.path in its lakehouse that must be a plain value"),
    ({"storage": ""}, "7: the connection 'x' needs storage.path in its lakehouse"),
    ({"storage": "{type: s3, path: data}"},
     "10: the connection 'x' has a lakehouse in s3 whose path must begin with s3://"),
    ({"storage": "{type: azure, path: 'az://x'}"},
     "10: the connection 'x' has the storage.type 'azure' in its lakehouse; "
     "known: gcs, local, s3"),
    ({"storage": "{path: 's3://b', url_style: virtual}"},
     "10: the connection 'x' has the storage.url_style 'virtual' in its lakehouse; "
     "known: path, vhost"),
    ({"storage": "{path: 's3://b', auth: {access_key: a}}"},
     "10: the connection 'x' needs both storage.auth.access_key and storage.auth.secret_key in "
     "its lakehouse"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "error"), MISTAKES)
def test_what_is_wrong_is_reported_with_its_line(
    files: Files, parts: dict[str, Any], error: str
) -> None:
    assert f".bruin.yml:{error}" in config(files, lake(**parts)).errors()


def test_misspelt_keys_are_errors_and_others_are_ignored(files: Files) -> None:
    text = lake(storage="{path: data, regoin: x, colour: red}")
    assert config(files, text).errors() == [
        ".bruin.yml:10: unknown key 'regoin' in the lakehouse of the connection 'x'; "
        "did you mean 'region'?"
    ]
    text = text.replace("regoin", "region")
    assert config(files, text).warnings() == [
        ".bruin.yml:10: unknown key 'colour' in the lakehouse of the connection 'x' is ignored; "
        "known: auth, endpoint, path, region, type, url_style"
    ]


def test_variables_are_taken_to_be_right_until_it_is_used(files: Files) -> None:
    text = lake("{type: '${T}', path: p}", "{path: '${D}'}", "${F}")
    assert config(files, text).errors() == []
    assert opened(files, text, T="duckdb", D="d", F="ducklake").data_path.endswith("/d")
    assert "has the catalog.type 'x' in its lakehouse" in refusal(
        files, text, T="x", D="d", F="ducklake"
    )
    assert "needs F, T, D" in refusal(files, text)
