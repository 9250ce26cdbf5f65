"""The kinds of databases that hold tables of assets, as far as files speak of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_NAME = 63  # bytes that PostgreSQL keeps of one


@dataclass(frozen=True)
class Platform:
    """A kind of database.

    `types` are those of its assets, after the `prefix` (pg.sql). `keys` are what an entry of its
    list in `.bruin.yml` may say, `required` what it must, `aliases` other names of that list.
    """

    prefix: str
    types: tuple[str, ...]
    keys: frozenset[str]
    required: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


# By names that are also those of their dialects for sqlglot.
PLATFORMS: Mapping[str, Platform] = {
    "duckdb": Platform(
        "duckdb",
        ("sql", "seed", "source", "sensor.query"),
        frozenset({"name", "path", "read_only", "lakehouse", "max_concurrent_assets"}),
        required=("path",),
        aliases=("motherduck",),
    ),
    "postgres": Platform(
        "pg",
        ("sql", "seed", "source", "sensor.query", "sensor.table"),
        frozenset({
            "name", "host", "port", "database", "schema", "username", "password", "ssl_mode",
            "pool_max_conns", "max_concurrent_assets",
        }),
        required=("host", "database", "username"),
        aliases=("pg", "postgresql"),
    ),
}  # fmt: skip
PLATFORM_ALIASES = {alias: name for name, p in PLATFORMS.items() for alias in p.aliases}
# What an entry below `motherduck` may say: the same databases, elsewhere.
MOTHERDUCK_KEYS = frozenset({"name", "token", "database"})
# The types of assets that are for one platform: pg.sql is for postgres.
TYPES = {f"{p.prefix}.{kind}": name for name, p in PLATFORMS.items() for kind in p.types}


def has_prefix(kind: str) -> bool:
    """Whether a type of asset, which need not exist, is that of a platform."""
    return kind.partition(".")[0] in {platform.prefix for platform in PLATFORMS.values()}


def dialect_of(kind: str) -> str | None:
    """The dialect of the query that assets of a type consist of; None when they have none."""
    return TYPES.get(kind) if kind.endswith(".sql") else None


def keys_of(connections: str) -> frozenset[str]:
    """What an entry of a list in `.bruin.yml` may say; empty for the lists of other platforms."""
    if connections == "motherduck":
        return MOTHERDUCK_KEYS
    return PLATFORMS[connections].keys if connections in PLATFORMS else frozenset()
