"""Connect to Postgres without ever showing a password."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from data_generator.options import GeneratorError

_SECONDS_TO_CONNECT = 10


class InvalidDsnError(GeneratorError, ValueError):
    """A connection string that cannot be read; the message does not repeat it."""


class UnavailableError(GeneratorError):
    """Postgres cannot be reached or refuses the login."""


def dsn_from_environment(environment: Mapping[str, str]) -> str | None:
    """Return POSTGRES_DSN, else one made of POSTGRES_HOST and its companions, else None."""
    if dsn := environment.get("POSTGRES_DSN"):
        return dsn
    if not environment.get("POSTGRES_HOST"):
        return None
    return make_conninfo(
        host=environment["POSTGRES_HOST"],
        port=environment.get("POSTGRES_PORT") or None,
        user=environment.get("POSTGRES_USER") or None,
        password=environment.get("POSTGRES_PASSWORD") or None,
        dbname=environment.get("POSTGRES_DB") or None,
    )


def connect(dsn: str) -> psycopg.Connection[Any]:
    """Connect, waiting ten seconds at most unless the DSN says otherwise.

    Raises InvalidDsnError and UnavailableError.
    """
    parts = _parse(dsn)
    parts.setdefault("connect_timeout", _SECONDS_TO_CONNECT)
    try:
        return psycopg.connect(**parts)
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise UnavailableError(f"cannot connect to Postgres: {reason}") from None


def _parse(dsn: str) -> dict[str, Any]:
    unreadable = InvalidDsnError(
        "the connection string cannot be read (it is not shown: it may hold a password)."
        " Write it as postgresql://user:password@host:port/database"
        " with special characters percent-encoded"
    )
    try:
        parts: dict[str, Any] = conninfo_to_dict(dsn)
    except psycopg.Error:
        raise unreadable from None
    # A password with a bare "@" or "/" spills over into these, and so into messages.
    if any("@" in str(parts.get(name, "")) for name in ("host", "port", "dbname")):
        raise unreadable
    return parts
