"""What happens to the tables that are loaded: random changes in PostgreSQL, one kind each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, LiteralString, cast

import psycopg
from psycopg import errors

from orchestration.helpers import COUNT_AT_ONCE
from orchestration.histories.plan import FAR, PERIODS, Plan, Table
from orchestration.histories.servers import READER, Own, Shared

Session = psycopg.Connection[tuple[Any, ...]]
# id, stamp (microseconds since 1970, or what it says), ref, v
Row = tuple[int, str | None, int | None, int | None]
# What an action waits for at most: it is left out when an open transaction is in its way.
_PATIENCE = "SET lock_timeout = '50ms'; SET TimeZone = 'UTC'; SET client_min_messages = warning"
_BUSY = (errors.LockNotAvailable, errors.ObjectInUse, errors.UndefinedTable)


class Source:
    """The tables of a plan in a database, and the application that writes to them.

    Its clock stands still within an action and goes on, from the start date to now, with each.
    """

    def __init__(self, server: Shared | Own, plan: Plan) -> None:
        self.server, self.plan = server, plan
        self.late: list[Session] = []  # transactions that have yet to commit
        self.idle: list[Session] = []  # sessions that may not have counted what they committed
        self.locks: list[Session] = []  # transactions that lock tables
        self.forbidden: set[str] = set()
        self.added: dict[str, int] = {}
        self.start, self.period = plan.start, plan.period
        self.moment = plan.span()[0]
        self._writer: Session | None = None
        self._reader: Session | None = None

    # What there is.

    def create(self) -> None:
        """Every table with some rows. The same at each call."""
        rng = random.Random(1)
        with self.writing() as session:
            session.execute("CREATE SEQUENCE ids START 100")
            for table in self.plan.tables.values():
                self._create(session, table)
                at = self._now(session, table)
                self._put(session, table, rng, id=1, ref=2, at=at)
                for id in range(2, 6):
                    self._put(session, table, rng, id=id, ref=1 + id % 3)
        self._refresh()

    def rows(self, table: Table) -> list[Row]:
        """The rows of a table as whoever loads it sees them."""
        at = (
            "stamp::text"
            if table.kind == "bigint"
            else "CASE WHEN isfinite(stamp) THEN (extract(epoch FROM stamp) * 1000000)::bigint::text"
            " ELSE stamp::text END"
        )
        if self._reader is None or self._reader.closed:
            self._reader = connect(self.server.reader.dsn, autocommit=True)
        return self._all(self._reader, f"SELECT id, {at}, ref, v FROM {table.source}")

    def has_bad_orders(self) -> bool:
        """Whether checks have to reject what there is: orders of nobody, or negative ones."""
        known = {row[0] for row in self.rows(self.plan.tables["customers"])}
        return any(
            ref not in {None, *known} or (v or 0) < 0
            for _, _, ref, v in self.rows(self.plan.tables["orders"])
        )

    @property
    def is_counted(self) -> bool:
        """Whether PostgreSQL has counted everything that was committed."""
        return not self.idle

    @property
    def is_quiet(self) -> bool:
        return not (self.late or self.idle or self.locks or self.forbidden)

    # How it changes.

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction, which PostgreSQL has counted when it ends."""
        if self._writer is None or self._writer.closed:
            self._writer = connect(self.server.admin.dsn)
            self._writer.execute(sql(_PATIENCE))
            self._writer.commit()
        with self._writer.transaction():
            yield self._writer
            self._writer.execute(COUNT_AT_ONCE)

    def act(self, kind: str, rng: random.Random) -> bool:
        """Let one kind of thing happen. False when it could not just now."""
        latest = self.start + PERIODS * self.period - timedelta(seconds=1)
        self.moment = min(self.moment + rng.random() * self.period, latest)
        action: Callable[[random.Random, Table], bool | None] = getattr(self, f"_{kind}")
        table = rng.choice(self._suited(kind))
        try:
            done = action(rng, table) is not False
        except _BUSY:
            return False
        if done:
            self._refresh()
        self.server.catch_up()
        return done

    def _suited(self, kind: str) -> list[Table]:
        """The tables that it can happen to: a time that is none cannot be appended by."""
        tables = self.plan.tables.values()
        return [table for table in tables if not (table.keeps_old_rows and kind == "odd")]

    def _insert_rows(self, session: Session, rng: random.Random, table: Table, n: int) -> None:
        for _ in range(n):
            self._put(session, table, rng)

    def _insert(self, rng: random.Random, table: Table) -> None:
        with self.writing() as session:
            self._insert_rows(session, rng, table, rng.randint(1, 3))

    def _update(self, rng: random.Random, table: Table) -> bool:
        with self.writing() as session:
            return self._update_in(session, rng, table)

    def _update_in(self, session: Session, rng: random.Random, table: Table) -> bool:
        """A value changes, and with it the time of the change where rows have one."""
        if (id := self._any(session, rng, table)) is None:
            return False
        touch = ""
        if table.strategy == "merge" and table.key:
            touch = f", stamp = {self._now(session, table)}"
        self._do(
            session, f"UPDATE {table.relation} SET v = {rng.randrange(90)}{touch} WHERE id = {id}"
        )
        return True

    def _update_key(self, rng: random.Random, table: Table) -> bool:
        """A row gets another primary key."""
        with self.writing() as session:
            if (id := self._any(session, rng, table)) is None:
                return False
            touch = ""
            if table.strategy == "merge" and table.key and rng.random() < 0.7:
                touch = f", stamp = {self._now(session, table)}"
            new = f"nextval('ids'){touch}"
            self._do(session, f"UPDATE {table.relation} SET id = {new} WHERE id = {id}")
            if table.name == "customers":
                self._do(
                    session,
                    f"UPDATE {self.plan.tables['orders'].relation} SET ref = currval('ids')"
                    f" WHERE ref = {id}",
                )
            return True

    def _move(self, rng: random.Random, table: Table) -> bool:
        """A row gets another time, of any period."""
        with self.writing() as session:
            if (id := self._any(session, rng, table)) is None:
                return False
            at = self._some_time(rng, table)
            # Of a merge a time that was set back is all that is seen of a change.
            self._do(session, f"UPDATE {table.relation} SET stamp = {at} WHERE id = {id}")
            return True

    def _odd(self, rng: random.Random, table: Table) -> bool:
        """A row whose time is none, without an end, far away, or before all periods."""
        times = ["NULL", f"'{FAR}'", "'infinity'", "'-infinity'", "'1999-12-31'"]
        numbers = ["NULL", "9000000000000000000", "-5"]
        at = rng.choice(numbers if table.kind == "bigint" else times)
        with self.writing() as session:
            id = self._any(session, rng, table)
            if id is None or rng.random() < 0.5:
                self._put(session, table, rng, at=at)
            else:
                self._do(session, f"UPDATE {table.relation} SET stamp = {at} WHERE id = {id}")
        return True

    def _delete(self, rng: random.Random, table: Table) -> bool:
        with self.writing() as session:
            return self._delete_in(session, rng, table)

    def _delete_in(self, session: Session, rng: random.Random, table: Table) -> bool:
        if (id := self._any(session, rng, table)) is None:
            return False
        self._do(session, f"DELETE FROM {table.relation} WHERE id = {id}")
        if table.name == "customers" and rng.random() < 0.6:
            orders = self.plan.tables["orders"].relation
            self._do(session, f"DELETE FROM {orders} WHERE ref = {id}")
        return True

    def _uncounted(self, rng: random.Random, table: Table) -> bool:
        """A session changes something and stays open: PostgreSQL may count it seconds later."""
        session = connect(self.server.admin.dsn)
        session.execute(sql(_PATIENCE))
        session.execute(COUNT_AT_ONCE)
        session.commit()
        try:
            with session.transaction():
                change = rng.choice([self._delete_in, self._delete_in, self._update_in])
                if not change(session, rng, table):
                    session.close()
                    return False
        except _BUSY:
            session.close()
            raise
        self.idle.append(session)
        return True

    def _truncate(self, rng: random.Random, table: Table) -> None:
        """The table is emptied and filled with other rows."""
        with self.writing() as session:
            self._do(session, f"TRUNCATE {table.relation}")
            self._insert_rows(session, rng, table, rng.randint(0, 4))

    def _reload(self, rng: random.Random, table: Table) -> None:
        """The table is emptied and filled with the same rows, of which one may be missing."""
        with self.writing() as session:
            self._do(session, f"CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE {table.relation}")
            self._do(session, rng.choice(["TRUNCATE ", "DELETE FROM "]) + table.relation)
            if rng.random() < 0.5:
                self._do(session, "DELETE FROM kept WHERE id = (SELECT max(id) FROM kept)")
            self._do(session, f"INSERT INTO {table.relation} SELECT * FROM kept ORDER BY id")

    def _swap(self, rng: random.Random, table: Table) -> None:
        """A new table with some of the rows takes the name of the old one."""
        relation = table.relation
        with self.writing() as session:
            self._do(session, f"CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE {relation}")
            self._do(session, f"DROP TABLE {relation} CASCADE")
            self._create(session, table)
            if rng.random() < 0.7:
                self._do(session, "DELETE FROM kept WHERE id = (SELECT min(id) FROM kept)")
            self._do(
                session, f"INSERT INTO {relation} SELECT id, stamp, ref, v FROM kept ORDER BY id"
            )
        self.added.pop(table.name, None)

    def _drop(self, rng: random.Random, table: Table) -> None:
        """The table is dropped, and there again, with other rows, at some later time."""
        with self.writing() as session:
            self._do(session, f"DROP TABLE {table.relation} CASCADE")
        self.forbidden.add(table.name)
        self.added.pop(table.name, None)

    def _add_column(self, rng: random.Random, table: Table) -> None:
        if table.is_seen_through:
            return
        number = self.added[table.name] = self.added.get(table.name, 0) + 1
        with self.writing() as session:
            column = f"c{number} int DEFAULT {number}"
            self._do(session, f"ALTER TABLE {table.relation} ADD COLUMN {column}")

    def _late(self, rng: random.Random, table: Table) -> bool:
        """A transaction writes, and commits after others do."""
        session = connect(self.server.admin.dsn)
        session.execute(sql(_PATIENCE))
        session.commit()
        try:
            self._insert_rows(session, rng, table, rng.randint(1, 2))
            if rng.random() < 0.4:
                rng.choice([self._update_in, self._delete_in])(session, rng, table)
        except _BUSY:
            session.close()
            raise
        self.late.append(session)
        return True

    def _late_savepoint(self, rng: random.Random, table: Table) -> bool:
        """The same, with parts that are transactions of their own, some of them undone."""
        session = connect(self.server.admin.dsn)
        session.execute(sql(_PATIENCE))
        session.commit()
        self._insert_rows(session, rng, table, 1)
        for _ in range(2):
            with session.transaction() as part:
                self._insert_rows(session, rng, table, 1)
                if rng.random() < 0.3:
                    raise psycopg.Rollback(part)
        self.late.append(session)
        return True

    def _end_late(self, rng: random.Random, table: Table) -> bool:
        if not self.late:
            return False
        self._end(self.late.pop(rng.randrange(len(self.late))), commits=rng.random() < 0.8)
        return True

    def _negative(self, rng: random.Random, table: Table) -> None:
        """An order that a check rejects."""
        with self.writing() as session:
            self._put(session, self.plan.tables["orders"], rng, v="-1")

    def _orphan(self, rng: random.Random, table: Table) -> None:
        """An order of nobody."""
        with self.writing() as session:
            self._put(session, self.plan.tables["orders"], rng, ref=99)

    def _repair(self, rng: random.Random, table: Table) -> None:
        """What checks reject is put right."""
        customers, orders = self.plan.tables["customers"], self.plan.tables["orders"]
        if {"customers", "orders"} & self.forbidden:
            self.allow()
        with self.writing() as session:
            self._do(session, f"UPDATE {orders.relation} SET v = 0 WHERE v < 0")
            self._do(
                session,
                f"DELETE FROM {orders.relation} WHERE ref NOT IN"
                f" (SELECT id FROM {customers.relation})",
            )

    def _forbid(self, rng: random.Random, table: Table) -> None:
        """Whoever loads may not read a table."""
        with self.writing() as session:
            self._do(session, f"REVOKE SELECT ON {self._read(table)} FROM {READER}")
        self.forbidden.add(table.name)

    def _allow(self, rng: random.Random, table: Table) -> bool:
        if not self.forbidden:
            return False
        self.allow()
        return True

    def allow(self) -> None:
        """Every table is there again, and may be read."""
        with self.writing() as session:
            for name in sorted(self.forbidden):
                table = self.plan.tables[name]
                ((is_there,),) = self._all(
                    session, f"SELECT to_regclass($${table.relation}$$) IS NOT NULL"
                )
                if not is_there:
                    self._create(session, table)
                    self._insert_rows(session, random.Random(name), table, 2)
                self._do(session, f"GRANT SELECT ON {self._read(table)} TO {READER}")
        self.forbidden.clear()

    def _stat_reset(self, rng: random.Random, table: Table) -> None:
        with self.writing() as session:
            self._do(session, "SELECT pg_stat_reset()")

    def _vacuum(self, rng: random.Random, table: Table) -> None:
        with connect(self.server.admin.dsn, autocommit=True) as session:
            session.execute(sql(_PATIENCE))
            how = rng.choice(["VACUUM (FULL) ", "VACUUM (FREEZE) ", "VACUUM (ANALYZE) "])
            self._do(session, how + table.relation)

    # Servers.

    def _restart(self, rng: random.Random, table: Table) -> bool:
        server = self._own()
        self.disconnect()
        server.restart(immediate=rng.random() < 0.5)
        return True

    def _back_up(self, rng: random.Random, table: Table) -> None:
        server = self._own()
        self.disconnect()
        server.back_up()

    def _restore(self, rng: random.Random, table: Table) -> bool:
        """The server goes back in time, and numbers its transactions as it did before."""
        server = self._own()
        self.disconnect()
        if not server.restore():
            return False
        self._after_exchange()
        return True

    def _new_cluster(self, rng: random.Random, table: Table) -> None:
        """A new server at the same address, loaded by the script that loaded the old one."""
        server = self._own()
        self.disconnect()
        server.replace_by_new_cluster()
        self.moment = self.start + self.period
        self.forbidden.clear()
        self.added.clear()
        self.create()

    def _standby(self, rng: random.Random, table: Table) -> None:
        self._own().make_standby()

    def _fail_over(self, rng: random.Random, table: Table) -> bool:
        server = self._own()
        self.disconnect()
        if not server.fail_over(loses=rng.random() < 0.6):
            return False
        self._after_exchange()
        return True

    def _own(self) -> Own:
        assert isinstance(self.server, Own)
        return self.server

    def _after_exchange(self) -> None:
        """What the server has now may be of another time: see what is there."""
        self.added.clear()
        self.forbidden = set(self.plan.tables)
        self.allow()
        self._refresh()

    # The end.

    def calm(self) -> None:
        """End everything that is open, and repair what is broken."""
        for session in self.late:
            self._end(session, commits=True)
        self.late.clear()
        for session in self.idle:
            self._count(session)
        self.idle.clear()
        self.allow()
        self._repair(random.Random(0), self.plan.tables["orders"])
        self._refresh()
        self.server.catch_up()

    def disconnect(self) -> None:
        """Let go of all sessions; transactions that are open are undone."""
        others = filter(None, [self._writer, self._reader])
        for session in (*self.late, *self.idle, *self.locks, *others):
            session.close()
        self._writer = self._reader = None
        self.late, self.idle, self.locks = [], [], []

    # Parts.

    def _create(self, session: Session, table: Table) -> None:
        relation, kind = table.relation, table.kind
        split = " PARTITION BY HASH (id)" if table.shape == "partitioned" else ""
        self._do(
            session,
            f"CREATE TABLE {relation} (id bigint PRIMARY KEY, stamp {kind}, ref bigint, v bigint){split}",
        )
        if split:
            for n in range(2):
                self._do(
                    session,
                    f"CREATE TABLE {relation}_{n} PARTITION OF {relation}"
                    f" FOR VALUES WITH (MODULUS 2, REMAINDER {n})",
                )
        match table.shape:
            case "view":
                self._do(session, f"CREATE VIEW {table.source} AS SELECT * FROM {relation}")
            case "matview":
                self._do(
                    session, f"CREATE MATERIALIZED VIEW {table.source} AS SELECT * FROM {relation}"
                )

    def _refresh(self) -> None:
        for table in self.plan.tables.values():
            if table.shape == "matview" and table.name not in self.forbidden:
                with suppress(*_BUSY), self.writing() as session:
                    self._do(session, f"REFRESH MATERIALIZED VIEW {table.source}")

    def _put(
        self,
        session: Session,
        table: Table,
        rng: random.Random,
        *,
        id: int | None = None,
        at: str = "",
        ref: int | None = None,
        v: str = "",
    ) -> None:
        if not at:
            some = table.is_windowed and rng.random() < 0.5
            at = self._some_time(rng, table) if some else self._now(session, table)
        if ref is None:
            ref = self._any(session, rng, self.plan.tables["customers"]) if table.is_windowed else 1
        own = id or "nextval('ids')"
        values = f"{own}, {at}, {ref or 'NULL'}, {v or rng.randrange(90)}"
        self._do(session, f"INSERT INTO {table.relation} (id, stamp, ref, v) VALUES ({values})")

    def _now(self, session: Session, table: Table) -> str:
        """The time of an action, or the next number, in SQL."""
        if table.kind == "bigint":
            return "nextval('ids')"
        return f"'{self.moment.isoformat()}'"

    def _some_time(self, rng: random.Random, table: Table) -> str:
        """A time of any period since one before the first, but for none that is to come."""
        if table.kind == "bigint":
            return str(rng.randrange(1, 120))
        at = self.start + PERIODS * self.period * rng.uniform(-0.1, 0.999)
        edge = rng.random()
        if edge < 0.2:
            at = self.start + self.period * rng.randrange(5)
        elif edge < 0.3:
            at = self.start + self.period * rng.randrange(1, 5) - timedelta(microseconds=1)
        return f"'{at.isoformat()}'"

    def _any(self, session: Session, rng: random.Random, table: Table) -> int | None:
        ids = [id for (id,) in self._all(session, f"SELECT id FROM {table.relation} ORDER BY id")]
        return rng.choice(ids) if ids else None

    def _read(self, table: Table) -> str:
        return table.relation if table.shape == "query" else table.source

    def _end(self, session: Session, *, commits: bool) -> None:
        if commits:
            session.execute(COUNT_AT_ONCE)
            session.commit()
        session.close()

    def _count(self, session: Session) -> None:
        with session.transaction():
            session.execute(COUNT_AT_ONCE)
        session.close()

    def _do(self, session: Session, statement: str) -> None:
        session.execute(sql(statement))

    def _all(self, session: Session, query: str) -> list[Any]:
        return session.execute(sql(query)).fetchall()


def connect(dsn: str, *, autocommit: bool = False) -> Session:
    return psycopg.connect(dsn, autocommit=autocommit, options="-c timezone=UTC")


def sql(text: str) -> LiteralString:
    """A statement that is made of names and numbers of this package alone."""
    return cast(LiteralString, text)
