"""A small pipeline of every kind of table, drawn at random: what its files say.

raw.customers   merge (by time, by number, of everything) or replace; the parents
raw.orders      delete+insert by a time; the children
raw.events      append, by number or by time
raw.things      merge or replace
stg.customers   create+replace or merge
stg.orders      time_interval, with checks: its customers exist, its values are not negative
mart.by_customer, mart.totals
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

SCHEDULES = {
    "daily": timedelta(days=1),
    "hourly": timedelta(hours=1),
    "weekly": timedelta(days=7),
    "30 */6 * * *": timedelta(hours=6),
}
_SUNDAY = datetime(2023, 1, 1, tzinfo=UTC)  # a tick of each schedule, but for those at half past
_SHAPES = ("partitioned", "quoted", "upper", "view", "matview", "query", "template")
PERIODS = 6  # since the start date
FAR = "2999-01-01"


@dataclass
class Table:
    """A raw table, and the relation of PostgreSQL that it is loaded from.

    The relation has the columns id, stamp, ref and v. `kind` is the type of `stamp`; `shape` is what the
    relation is: a table, a partitioned one, a view, ...
    """

    name: str
    shape: str
    strategy: str
    key: str = ""
    kind: str = "timestamptz"
    primary_key: str = "id"
    overlap: str = ""
    shouts: bool = False  # whether the file names the key in capitals

    @property
    def relation(self) -> str:
        """The table that is written to, in SQL."""
        return {
            "quoted": f'"Our {self.name}"',
            "upper": f'"{self.name.upper()}"',
        }.get(self.shape, self.name)

    @property
    def is_seen_through(self) -> bool:
        return self.shape in {"view", "matview", "query"}

    @property
    def is_counted(self) -> bool:
        """Whether PostgreSQL counts the rows that are written to what is loaded."""
        return self.shape not in {"view", "query"}

    @property
    def source(self) -> str:
        """What is loaded, in SQL: a relation."""
        match self.shape:
            case "view" | "matview":
                return f"{self.name}_seen"
            case "query":
                return f"(SELECT * FROM {self.relation}) AS query"
        return self.relation

    @property
    def source_table(self) -> str:
        """The same as the asset's file says it."""
        if self.shape == "query":
            return f"query:SELECT * FROM {self.relation}"
        if self.shape == "template":
            return "public.{{ var.prefix }}" + self.name
        return f"public.{self.source}"

    @property
    def is_windowed(self) -> bool:
        return self.strategy == "delete+insert"

    @property
    def keeps_old_rows(self) -> bool:
        return self.strategy == "append"

    def file(self) -> str:
        """The asset's file."""
        parameters = {
            "source_connection": "pg",
            "source_table": self.source_table,
            "destination": "duckdb",
            "incremental_strategy": self.strategy,
            "incremental_key": self.key.upper() if self.shouts else self.key,
            "primary_key": self.primary_key,
        }
        lines = [f"name: raw.{self.name}", "type: ingestr", "parameters:"]
        lines += [f"  {key}: '{value}'" for key, value in parameters.items() if value]
        if self.overlap:
            lines += ["meta:", f"  overlap: {self.overlap}"]
        return "\n".join(lines) + "\n"


@dataclass
class Plan:
    """What the files of the pipeline say now."""

    schedule: str
    start: datetime
    tables: dict[str, Table]
    customers_are_merged: bool
    # What assets are called that were renamed, by their roles.
    names: dict[str, str] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)

    @property
    def period(self) -> timedelta:
        return SCHEDULES[self.schedule]

    def span(self) -> tuple[datetime, datetime]:
        """From the first period to the end of the current one."""
        anchor = _SUNDAY + timedelta(minutes=30 if self.schedule.startswith("30") else 0)
        first = anchor - (anchor - self.start) // self.period * self.period
        last = anchor + ((datetime.now(UTC) - anchor) // self.period + 1) * self.period
        return first, last

    def window(self, first: str, last: str) -> tuple[int, int]:
        """From the start of one partition to the end of another, in microseconds since 1970."""
        start, end = (
            datetime.strptime(key, "%Y-%m-%d-%H:%M" if ":" in key else "%Y-%m-%d")
            for key in (first, last)
        )
        moments = start.replace(tzinfo=UTC), end.replace(tzinfo=UTC) + self.period
        first_at, last_at = (int(moment.timestamp()) * 1_000_000 for moment in moments)
        return first_at, last_at

    def name(self, role: str) -> str:
        return self.names.get(role, role)

    @property
    def roles(self) -> list[str]:
        """The assets, upstream ones first."""
        raw = [f"raw.{name}" for name in self.tables]
        rest = ["stg.customers", "stg.orders", "mart.by_customer", "mart.totals"]
        return [role for role in raw + rest if role not in self.without]

    def files(self) -> dict[str, str]:
        """Every file of the pipeline by its path."""
        start = self.start.replace(tzinfo=None).isoformat()
        found = {
            "pipeline.yml": f"name: story\nschedule: '{self.schedule}'\nstart_date: '{start}'\n"
            "variables:\n  prefix: {type: string, default: ''}\n"
        }
        for role in self.roles:
            layer, _, short = role.partition(".")
            if layer == "raw":
                text = (
                    self.tables[short].file().replace(f"name: {role}", f"name: {self.name(role)}")
                )
                found[f"assets/{role}.asset.yml"] = text
            else:
                found[f"assets/{role}.sql"] = self._sql(role)
        return found

    def _sql(self, role: str) -> str:
        header, reads, query = {
            "stg.customers": self._customers,
            "stg.orders": self._orders,
            "mart.by_customer": self._by_customer,
            "mart.totals": self._totals,
        }[role]()
        for read in reads:
            query = query.replace(f"<{read}>", self.name(read))
            header = header.replace(f"<{read}>", self.name(read))
        depends = ", ".join(self.name(read) for read in reads)
        return (
            f"/* @bruin\nname: {self.name(role)}\ntype: duckdb.sql\ndepends: [{depends}]\n"
            f"materialization:\n  type: table\n{header}@bruin */\n\n{query}\n"
        )

    def _customers(self) -> tuple[str, list[str], str]:
        merged = "  strategy: merge\n" if self.customers_are_merged else ""
        columns = (
            "columns:\n  - {name: id, type: bigint, primary_key: true}\n"
            "  - {name: v, type: bigint, update_on_merge: true}\n"
        )
        return merged + columns, ["raw.customers"], "SELECT id, v FROM <raw.customers>"

    def _orders(self) -> tuple[str, list[str], str]:
        day = self.tables["orders"].kind == "date"
        header = (
            "  strategy: time_interval\n  incremental_key: stamp\n"
            f"  time_granularity: {'date' if day else 'timestamp'}\n"
            "columns:\n  - {name: id, type: bigint, primary_key: true}\n"
            f"  - {{name: stamp, type: {self.tables['orders'].kind}}}\n"
            "  - name: ref\n    type: bigint\n"
            "    foreign_key: {table: <stg.customers>, column: id}\n"
            "    checks: [{name: relationships}]\n"
            "  - name: v\n    type: bigint\n    checks: [{name: non_negative}]\n"
        )
        first, last = ("start_date", "end_date") if day else ("start_timestamp", "end_timestamp")
        kind = {"timestamptz": "TIMESTAMPTZ", "timestamp": "TIMESTAMP", "date": "DATE"}
        kind_name = kind[self.tables["orders"].kind]
        query = (
            "SELECT id, stamp, ref, v FROM <raw.orders>\n{% if not full_refresh %}\n"
            f"WHERE stamp BETWEEN {kind_name} '{{{{ {first} }}}}' AND {kind_name} '{{{{ {last} }}}}'\n"
            "{% endif %}"
        )
        return header, ["raw.orders", "stg.customers"], query

    def _by_customer(self) -> tuple[str, list[str], str]:
        query = (
            "SELECT c.id, count(o.id) AS orders, coalesce(sum(o.v), 0)::BIGINT AS amount\n"
            "FROM <stg.customers> AS c LEFT JOIN <stg.orders> AS o ON o.ref = c.id GROUP BY c.id"
        )
        return "", ["stg.customers", "stg.orders"], query

    def _totals(self) -> tuple[str, list[str], str]:
        reads = [role for role in ("raw.events", "raw.things") if role in self.roles]
        reads.append("stg.orders")
        query = " UNION ALL ".join(
            f"SELECT '{role}' AS name, count(*) AS rows, coalesce(sum(v), 0)::BIGINT AS amount"
            f" FROM <{role}>"
            for role in reads
        )
        return "", reads, query


def floor(moment: datetime, period: timedelta) -> datetime:
    """The latest tick of a schedule that ticks on the hour, so that a seed gives the same rows the
    same periods whenever it is played."""
    return _SUNDAY + (moment - _SUNDAY) // period * period


def drawn(rng: random.Random, *, tables_only: bool = False) -> Plan:
    """A random pipeline, whose start date is a few periods ago."""
    schedule = rng.choice(list(SCHEDULES))

    def shape() -> str:
        """Most are plain tables, as most are in life."""
        drawn = rng.choice(["table"] * 8 + list(_SHAPES))
        return "table" if tables_only else drawn

    tables = [_merged(rng, "customers", shape())]
    kind = rng.choice(["timestamptz", "timestamptz", "timestamp", "date"])
    if SCHEDULES[schedule] < timedelta(days=1):
        kind = "timestamptz"
    key = rng.choice(["id", "id", "id", ""])
    tables.append(Table("orders", shape(), "delete+insert", "stamp", kind, key))
    if rng.random() < 0.6:
        key, own = rng.choice([("id", ""), ("stamp", ""), ("stamp", "id")])
        tables.append(Table("events", "table", "append", key, primary_key=own))
    if rng.random() < 0.4:
        tables.append(_merged(rng, "things", shape()))
    for table in tables:
        table.shouts = rng.random() < 0.1 and not tables_only
    start = datetime.now(UTC) - PERIODS * SCHEDULES[schedule]
    return Plan(
        schedule,
        floor(start, SCHEDULES[schedule]),
        {table.name: table for table in tables},
        customers_are_merged=rng.random() < 0.3,
        without={role for role in ("mart.by_customer", "mart.totals") if rng.random() < 0.4},
    )


def _merged(rng: random.Random, name: str, shape: str) -> Table:
    """A table that is loaded by merge or whole."""
    match rng.choice(["time", "time", "time", "number", "whole", "replace"]):
        case "time":
            return Table(name, shape, "merge", "stamp", overlap=rng.choice(["", "0", "2h"]))
        case "number":
            return Table(name, shape, "merge", "stamp", "bigint")
        case "whole":
            return Table(name, shape, "merge")
    return Table(name, shape, "replace")
