"""Where a PostgreSQL database is, and which user connects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class PostgresConnection:
    """Where a PostgreSQL database is and which user connects. Never shows its password."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False, default="")
    schema: str = "public"
    ssl_mode: str = "prefer"

    @property
    def dsn(self) -> str:
        """For drivers only: holds the password."""
        user, password, host, database = (
            quote(part, safe="") for part in (self.user, self.password, self.host, self.database)
        )
        if ":" in self.host:
            host = f"[{self.host}]"
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@{host}:{self.port}/{database}?sslmode={self.ssl_mode}"

    @property
    def parameters(self) -> dict[str, Any]:
        """For psycopg only: holds the password."""
        return {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "password": self.password,
            "sslmode": self.ssl_mode,
        }

    @property
    def address(self) -> str:
        """For people: host, port and database."""
        return f"{self.host}:{self.port}/{self.database}"
