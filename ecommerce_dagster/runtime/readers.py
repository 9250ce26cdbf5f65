"""Which module reads the rows of an ingestr asset, by the platform of its source.

To add a source: write a `Request` in sources/ (see docs/extending.md), and an entry of READERS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote

from ecommerce_dagster.bruin.model.connections import Connection
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.sources import ingestr
from ecommerce_dagster.sources.parameters import is_reconcilable
from ecommerce_dagster.warehouses.base import Writer

if TYPE_CHECKING:
    from ecommerce_dagster.runtime.asset_run import AssetRun

# Each imports what reads for it: all of that takes 60 ms, and `ecommerce validate`, which needs to
# know no more than which sources there are, 400 ms.
Reader = Callable[["AssetRun", Connection, ExitStack], Writer]


def reading(run: AssetRun, until: ExitStack) -> Writer:
    """What reads the source of an ingestr asset in this run. What it needs is there `until` the
    stack is closed."""
    source = run.project.connections.get(run.asset.parameter("source_connection"))
    kind = reader_of(source, run.project.connection_name(run.asset))
    return READERS.get(kind, _by_ingestr)(run, source, until)


def reader_of(source: Connection, own: str) -> str:
    """The type of connection by which a source is read: that of MotherDuck is another than that of
    a DuckDB file, unless it is the connection called `own`, which is open."""
    return "motherduck" if source.is_motherduck and source.name != own else source.platform


def readable_platforms() -> frozenset[str]:
    """The types of connections that can be read on this machine."""
    return frozenset(READERS) | (ingestr.PLATFORMS if ingestr.program() else frozenset())


def _settings(source: Connection) -> dict[str, str]:
    return source.texts(variables_for(source.path))


def _from_sqlite(run: AssetRun, source: Connection, until: ExitStack) -> Writer:
    from ecommerce_dagster.sources.attached import SQLiteIngestion

    path = source.place_of(source.texts(variables_for(source.path), "path")["path"])
    return SQLiteIngestion(run.asset, path, *_how(run))


def _from_mysql(run: AssetRun, source: Connection, until: ExitStack) -> Writer:
    from ecommerce_dagster.sources.attached import MySQLIngestion

    settings = source.texts(variables_for(source.path), "host", "username", "database")
    login = {
        "HOST": settings["host"],
        "PORT": settings.get("port") or "3306",
        "DATABASE": settings["database"],
        "USER": settings["username"],
        "PASSWORD": settings.get("password") or "",
    }
    return MySQLIngestion(run.asset, login, *_how(run))


def _from_files(run: AssetRun, source: Connection, until: ExitStack) -> Writer:
    from ecommerce_dagster.sources.files import FileIngestion, place_of

    settings = _settings(source)
    base = settings.get("path") or settings.get("url") or ""
    place = place_of(base, run.asset.parameter("source_table"))
    is_here = "://" not in place
    return FileIngestion(run.asset, source.place_of(place) if is_here else place, *_how(run))


def _from_s3(run: AssetRun, source: Connection, until: ExitStack) -> Writer:
    from ecommerce_dagster.sources.files import FileIngestion

    settings = _settings(source)
    path = run.asset.parameter("source_table").partition("#")[0].removeprefix("s3://")
    path = path or settings.get("path_to_file", "")
    bucket = settings.get("bucket_name", "")
    place = (
        f"s3://{path}" if not bucket or path.startswith(f"{bucket}/") else f"s3://{bucket}/{path}"
    )
    store: dict[str, str | bool] = {
        "KEY_ID": settings.get("access_key_id", ""),
        "SECRET": settings.get("secret_access_key", ""),
        "SESSION_TOKEN": settings.get("session_token", ""),
        "REGION": settings.get("region", "us-east-1"),
        "SCOPE": f"s3://{place.removeprefix('s3://').partition('/')[0]}",
    }
    if address := settings.get("endpoint_url", ""):
        scheme, _, host = address.rpartition("://")
        store |= {"ENDPOINT": host, "URL_STYLE": "path", "USE_SSL": scheme != "http"}
    return FileIngestion(run.asset, place, *_how(run), store)


def _by_ingestr(run: AssetRun, source: Connection, until: ExitStack) -> Writer:
    from ecommerce_dagster.sources.duckdb_file import DuckDBIngestion

    settings = _settings(source)
    if source.is_motherduck:
        place = source.duckdb(variables_for(source.path))
        token = quote(place.token, safe="")
        settings = {"uri": f"motherduck://{place.motherduck_database}?token={token}"}
        settings |= {"token": place.token}
    elif "path" in settings:
        settings["path"] = source.place_of(settings["path"])
    uri = ingestr.uri_of(source.platform, settings, run.asset.parameter("source"))
    rows = ingestr.fetched(run.asset, uri, settings, run.source_window, run.timeout)
    asset, place = until.enter_context(rows)
    return DuckDBIngestion(asset, place, *_how(run))


def _how(run: AssetRun) -> tuple[Interval | None, bool, bool]:
    """Which rows a request takes."""
    return run.source_window, run.full_refresh, is_reconcilable(run.asset) and run.reconcile


def _from_duckdb(run: AssetRun, source: Connection, until: ExitStack) -> Writer:
    from ecommerce_dagster.sources.duckdb_file import DuckDBIngestion

    return DuckDBIngestion(run.asset, run.place_called(source.name), *_how(run))


def _from_postgres(run: AssetRun, source: Connection, until: ExitStack) -> Writer:
    from ecommerce_dagster.sources.postgres.ingest import Ingestion, ViaDuckDB
    from ecommerce_dagster.sources.postgres.into_postgres import CopyIngestion

    settings = run.resource(source.name).settings()
    match run.project.platform(run.asset):
        case "duckdb":
            return Ingestion(run.asset, settings, *_how(run), run.has_one_source)
        case "postgres":
            return CopyIngestion(run.asset, settings, *_how(run), run.has_one_source)
    return ViaDuckDB(run.asset, settings, *_how(run))


# All others are read by ingestr, where it is installed.
READERS: Mapping[str, Reader] = {
    "csv": _from_files,
    "duckdb": _from_duckdb,
    "http": _from_files,
    "json": _from_files,
    "mysql": _from_mysql,
    "parquet": _from_files,
    "postgres": _from_postgres,
    "s3": _from_s3,
    "sqlite": _from_sqlite,
}
