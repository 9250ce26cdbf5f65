"""Sources that ingestr reads: it copies their rows into a DuckDB file of its own, and from there
they are loaded like those of any other.

Needs the program `ingestr`, which is no dependency: `pip install ingestr`. Login data reach it by
its environment, never by arguments, which other users of a machine can read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlencode

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.connections import DuckDBConnection
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sources.parameters import incremental_key_of
from ecommerce_dagster.warehouses.sql_asset import AssetError

_ROWS = "main.rows"
_LINES = 5  # of what ingestr printed that an error repeats
_OWN = ("_dlt_load_id", "_dlt_id")  # columns of its books
_EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2999, 12, 31, tzinfo=UTC))

# The types of connections of .bruin.yml that ingestr reads, with its scheme where that is another.
_SCHEMES = {
    "google_sheets": "gsheets", "mongo": "mongodb", "mongo_atlas": "mongodb+srv",
    "reddit_ads": "redditads", "gcp": "bigquery", "google_cloud_platform": "bigquery",
    "emr_serverless": "", "dataproc_serverless": "", "aws": "", "generic": "",
}  # fmt: skip
PLATFORMS = frozenset({
    "adjust", "adls", "airtable", "allium", "anthropic", "apifootball", "appleads", "applovin",
    "applovinmax", "appsflyer", "appstore", "asana", "athena", "attio", "balldontlie",
    "bigquery", "braze", "bruin", "cassandra", "chargebee", "chess", "clickhouse", "clickup",
    "couchbase", "couchdb", "cratedb", "cursor", "customerio", "databricks", "db2", "docebo",
    "dune", "dynamodb", "elasticsearch", "espn", "facebookads", "fabric", "fastspring",
    "fireflies", "fluxx", "footballdata", "frankfurter", "freshdesk", "fundraiseup", "g2",
    "gcp", "gcs", "github", "gitlab", "google_cloud_platform", "google_sheets", "googleads",
    "googleanalytics", "gorgias", "granola", "gsc", "hana", "hostaway", "hubspot", "indeed",
    "influxdb", "intercom", "isoc_pulse", "jira", "jobtread", "kafka", "kalshi", "kinesis",
    "klaviyo", "linear", "linkedinads", "mailchimp", "manifold", "mixpanel", "monday", "mongo",
    "mongo_atlas", "motherduck", "mssql", "mysql", "notion", "oracle", "paddle", "personio",
    "phantombuster", "pinterest", "pipedrive", "plusvibeai", "polymarket", "posthog", "primer",
    "quickbooks", "rabbitmq", "recurly", "reddit_ads", "redshift", "revenuecat", "salesforce",
    "sendgrid", "sftp", "sharepoint", "shopify", "slack", "smartsheet", "snapchatads",
    "snowflake", "socrata", "solidgate", "spanner", "square", "sqlite", "stripe",
    "surveymonkey", "synapse", "tiktokads", "trino", "trustpilot", "twilio", "vertica", "wise",
    "wistia", "zendesk", "zoom",
})  # fmt: skip


def program() -> str | None:
    """Where ingestr is installed: beside this Python, or on PATH; None when it is not."""
    beside = Path(sys.executable).with_name("ingestr")
    return str(beside) if os.access(beside, os.X_OK) else _found_on(os.environ.get("PATH"))


@cache
def _found_on(path: str | None) -> str | None:
    """Looked for once: making definitions asks 19 times for each asset that loads rows."""
    return shutil.which("ingestr", path=path)


def uri_of(platform: str, settings: Mapping[str, str], source: str = "") -> str:
    """The source as ingestr names it. Holds the login data.

    `uri` of the connection says it whole. Else a connection with a host is a database, one with a
    path a file, and any other an API that takes the settings by their names.
    """
    given = {key: value for key, value in settings.items() if key != "name" and value != ""}
    if "uri" in given:
        return given["uri"]
    scheme = source or _SCHEMES.get(platform, platform)
    if "host" in given:
        login = ":".join(
            quote(given.pop(k), safe="") for k in ("username", "password") if k in given
        )
        place = given.pop("host") + (f":{given.pop('port')}" if "port" in given else "")
        database = quote(given.pop("database", ""))
        rest = f"?{urlencode(given)}" if given else ""
        return f"{scheme}://{f'{login}@' if login else ''}{place}/{database}{rest}"
    if "path" in given:
        return f"{scheme}:///{given['path'].lstrip('/')}"
    host = given.pop("url", given.pop("domain", ""))
    return f"{scheme}://{host}?{urlencode(given)}"


@contextmanager
def fetched(
    asset: Asset,
    uri: str,
    secrets: Mapping[str, str],
    interval: Interval | None,
    timeout: float | None,
) -> Iterator[tuple[Asset, DuckDBConnection]]:
    """The asset as one of a DuckDB file that has the rows, and the file, for as long as the context
    lasts. Raises AssetError with what ingestr says; the values of `secrets` are left out of it."""
    path, line = asset.at("parameters", "source_table")
    command = program()
    if command is None:
        raise AssetError(f"{path}:{line}: the source needs ingestr; pip install ingestr")
    with TemporaryDirectory(prefix="ingestr-") as folder:
        file = Path(folder, "rows.duckdb")
        environment = {**os.environ, **_environment(asset, uri, file, interval)}
        try:
            done = subprocess.run(
                [command, "ingest", "--yes", "--progress", "log"],
                env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=timeout, check=False, text=True, errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            message = f'asset "{asset.name}" timed out after {asset.timeout}'
            raise AssetError(f"{path}:{line}: {message}") from None
        if done.returncode or not file.is_file():
            said = _without(done.stdout, [uri, *secrets.values()])
            raise AssetError(f"{path}:{line}: ingestr could not read the source:\n{said}")
        with duckdb.connect(str(file)) as connection:
            for column in _OWN:
                connection.execute(f"ALTER TABLE {_ROWS} DROP COLUMN IF EXISTS {column}")
        parameters = {**asset.parameters, "source_table": _ROWS}
        yield asset.model_copy(update={"parameters": parameters}), DuckDBConnection(str(file))


def _environment(asset: Asset, uri: str, file: Path, interval: Interval | None) -> dict[str, str]:
    table = asset.parameter("source_table")
    kind = asset.parameter("file_type")
    first, last = (interval.start, interval.end) if interval else _EVER
    found = {
        "SOURCE_URI": uri,
        "SOURCE_TABLE": f"{table}#{kind}" if kind and "#" not in table else table,
        "DESTINATION_URI": f"duckdb:///{file}",
        "DESTINATION_TABLE": _ROWS,
        "SCHEMA_NAMING": "direct",
        # Without a network it would wait minutes to tell its makers of the run.
        "DISABLE_TELEMETRY": "true",
    }
    if interval or ":interval_" in table:
        found |= {"INTERVAL_START": first.isoformat(), "INTERVAL_END": last.isoformat()}
    if interval and incremental_key_of(asset):
        found["INCREMENTAL_KEY"] = incremental_key_of(asset) or ""
    prefixed = {f"INGESTR_{key}": value for key, value in found.items()}
    return {**found, **prefixed, "RUNTIME__DLTHUB_TELEMETRY": "false"}


def _without(text: str, secrets: list[Any]) -> str:
    """The last lines of what ingestr printed, secrets hidden."""
    for secret in sorted({str(secret) for secret in secrets}, key=len, reverse=True):
        if len(secret) > 3:
            for spelling in (secret, quote(secret, safe="")):
                text = text.replace(spelling, "***")
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-_LINES:])
