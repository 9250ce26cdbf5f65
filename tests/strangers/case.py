"""A stranger's pipeline: its files, the commands run on it, and what must come out.

A case is a YAML file:

    about: one sentence
    files: {path: text}     # `.bruin.yml` is written when the case brings none
    postgres: true          # a database of its own, as `pg-default`
    pipeline: folder        # of pipeline.yml; the folder of the case when not said
    runs:
      - given: {files: {path: text}, duckdb: SQL, postgres: SQL}    # done before
        command: run        # or validate, show, query
        pipeline: folder
        args: [--start-date, "2024-01-01"]
        exit: 0
        json: {...}         # part of the document that the command prints
        assets: {name: status}
        checks: {id: status, id: failed ROWS}
        ran: [name]         # exactly these assets succeeded
        errors: {asset: part of its error}
        says: part of what is printed
        rows: {SQL: rows of the DuckDB file}
        pg_rows: {SQL: rows of Postgres}

An asset or a check that a run does not name must not have failed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import yaml

from ecommerce_dagster.shop.embedded_postgres import PostgresServer

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
DOCUMENT = {"problems", "pipeline", "interval", "success", "assets", "checks"}
ASSET = {"status", "rows", "seconds", "error"}
CHECK = {"id", "status", "blocking", "failed_rows", "message"}
_FINE = {"success", "skipped", "not_run", "passed"}


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


Command = Callable[..., Said]


@dataclass
class Place:
    """The folder that a case is played in."""

    folder: Path
    command: Command
    postgres: PostgresServer | None = None

    @property
    def config(self) -> Path:
        return self.folder / ".bruin.yml"

    def connect(self) -> None:
        """Write the connections that a case does not bring itself."""
        connections: dict[str, Any] = {
            "duckdb": [{"name": "duckdb-default", "path": "warehouse.duckdb"}]
        }
        if self.postgres:
            connections["postgres"] = [
                {
                    "name": "pg-default",
                    "host": self.postgres.host,
                    "port": self.postgres.port,
                    "username": self.postgres.user,
                    "password": self.postgres.password,
                    "database": self.postgres.database,
                }
            ]
        environments = {"default": {"connections": connections}}
        self.write({".bruin.yml": yaml.safe_dump({"environments": environments})})

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def prepare(self, given: Mapping[str, Any]) -> None:
        self.write(given.get("files", {}))
        if "duckdb" in given:
            with duckdb.connect(str(self.folder / "warehouse.duckdb")) as connection:
                connection.execute(given["duckdb"])
        if "postgres" in given and self.postgres:
            with psycopg.connect(self.postgres.dsn, autocommit=True) as connection:
                connection.execute(given["postgres"])

    def say(self, command: str, pipeline: Path, *arguments: str) -> Said:
        return self.command(
            command, "--pipeline", str(pipeline), "--config-file", str(self.config), *arguments
        )


def differences(case: Mapping[str, Any], place: Place) -> Iterator[str]:
    """Play a case; everything that came out otherwise than it says."""
    place.connect()
    place.write(case["files"])
    for number, run in enumerate(case["runs"], 1):
        place.prepare(run.get("given", {}))
        pipeline = place.folder / run.get("pipeline", case.get("pipeline", ""))
        for text in _differences(run, place, pipeline):
            yield f"run {number}: {text}"


def _differences(run: Mapping[str, Any], place: Place, pipeline: Path) -> Iterator[str]:
    command = run.get("command", "run")
    said = place.say(command, pipeline, *run.get("args", ()), "--output", "json")
    if said.code != run.get("exit", 0):
        yield f"exit code {said.code}\n{said.stdout}\n{said.stderr}"
    if "says" in run and run["says"] not in said.stdout + said.stderr:
        yield f"nothing said of {run['says']!r}: {said.stdout}\n{said.stderr}"
    if said.code != 2:
        document = json.loads(said.stdout)
        yield from _unlike(run.get("json", {}), document, command)
        if command == "run":
            yield from _outcomes(run, document)
    for connection, rows in (("", "rows"), ("pg-default", "pg_rows")):
        for sql, expected in run.get(rows, {}).items():
            yield from _rows(place, pipeline, connection, sql, expected)


def _outcomes(run: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    assets, checks = document["assets"], {check["id"]: check for check in document["checks"]}
    shapes = [(document, DOCUMENT), *((a, ASSET) for a in assets.values())]
    for found, keys in [*shapes, *((c, CHECK) for c in checks.values())]:
        if set(found) != keys:
            yield f"the document has the keys {set(found)}"
    if len(checks) != len(document["checks"]):
        yield "two checks have one id"
    if document["success"] != (run.get("exit", 0) == 0):
        yield f"success is {document['success']}"
    statuses = {name: asset["status"] for name, asset in assets.items()}
    yield from _statuses(run.get("assets", {}), statuses, assets)
    yield from _statuses(
        run.get("checks", {}), {id: _in_short(check) for id, check in checks.items()}, checks
    )
    if "ran" in run:
        ran = {name for name, status in statuses.items() if status == "success"}
        if ran != set(run["ran"]):
            yield f"ran {sorted(ran)} and not {sorted(run['ran'])}"
    for name, part in run.get("errors", {}).items():
        if part not in (assets[name]["error"] or ""):
            yield f"{name}: {part!r} is not in its error {assets[name]['error']!r}"


def _statuses(
    expected: Mapping[str, str], found: Mapping[str, str], why: Mapping[str, Any]
) -> Iterator[str]:
    for name in expected.keys() - found.keys():
        yield f"there is no {name}"
    for name, status in found.items():
        wanted = expected.get(name)
        bare = status.split()[0]
        if (wanted not in {status, bare}) if wanted else (bare not in _FINE):
            yield f"{name} is {status} and not {wanted or 'fine'}: {why[name]}"


def _in_short(check: Mapping[str, Any]) -> str:
    counted = check["status"] == "failed" and check["failed_rows"] is not None
    return f"failed {check['failed_rows']}" if counted else str(check["status"])


def _rows(place: Place, pipeline: Path, connection: str, sql: str, expected: Any) -> Iterator[str]:
    which = ("--connection", connection) if connection else ()
    said = place.say("query", pipeline, "--sql", sql, *which, "--output", "json")
    if said.code:
        yield f"{sql}: {said.stderr}"
        return
    found = [[_plain(value) for value in record.values()] for record in json.loads(said.stdout)]
    wanted = [[_plain(value) for value in row] for row in expected]
    if found != wanted:
        yield f"{sql}\n  found  {found}\n  wanted {wanted}"


def _plain(value: Any) -> Any:
    """A value of YAML or of JSON, so that the two can be compared."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and value[10:11] == "T" and value[:4].isdigit() and value[4:5] == "-":
        return value.replace("T", " ")
    return value


def _unlike(part: Any, whole: Any, where: str) -> Iterator[str]:
    """Where `part` says something else than `whole`; records in lists go by their `name`."""
    if isinstance(part, dict) and isinstance(whole, dict):
        for key, value in part.items():
            yield from _unlike(value, whole.get(key), f"{where}.{key}")
    elif isinstance(part, list) and part and isinstance(part[0], dict) and isinstance(whole, list):
        named = {record.get("name"): record for record in whole}
        for record in part:
            yield from _unlike(record, named.get(record["name"]), f"{where}.{record['name']}")
    elif part != whole:
        yield f"{where} is {whole!r} and not {part!r}"


def load(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))
