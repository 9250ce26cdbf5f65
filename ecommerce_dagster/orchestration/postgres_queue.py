"""A Celery broker in PostgreSQL, whose URL is a DSN: postgresql://user:password@host/database.

A worker holds an advisory lock on each task that it has taken, until it has done it and the task
is deleted. When the worker dies, however that happens, PostgreSQL frees the lock with its
connection, and another worker takes the task. (The SQL transport of kombu marks a task as taken:
it is lost with its worker, and stays in the table for ever.)
"""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps, loads
from queue import Empty
from threading import RLock
from typing import Any

import psycopg
from kombu.transport import TRANSPORT_ALIASES, virtual

# The first half of our advisory locks; the other half is the number of the task.
LOCKS = 0x0CE1E41
# A machine that lost its power is noticed within a minute.
_ALIVE: dict[str, Any] = {
    "connect_timeout": 10,
    "options": "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3",
}
_TABLE = f"""
    BEGIN;
    SELECT pg_advisory_xact_lock({LOCKS}, 0);
    CREATE TABLE IF NOT EXISTS ecommerce_tasks (
        id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY (CYCLE),
        queue text NOT NULL,
        priority smallint NOT NULL,
        message text NOT NULL,
        at timestamptz NOT NULL DEFAULT now()
    );
    COMMIT;
"""
_PUT = "INSERT INTO ecommerce_tasks (queue, priority, message) VALUES (%s, %s, %s)"
# The subquery is in order first, and one lock is tried after the other until one is free.
_TAKE = f"""
    SELECT id FROM (
        SELECT id FROM ecommerce_tasks WHERE queue = %s ORDER BY priority DESC, id OFFSET 0
    ) AS tasks
    WHERE id != ALL(%s) AND pg_try_advisory_lock({LOCKS}, id)
    LIMIT 1
"""
_READ = "SELECT message FROM ecommerce_tasks WHERE id = %s"
_DELETE = "DELETE FROM ecommerce_tasks WHERE id = %s"
_FREE = f"SELECT pg_advisory_unlock({LOCKS}, %s)"


class QoS(virtual.QoS):  # type: ignore[misc]  # kombu has types in part
    """Tells the channel which tasks are done; only that deletes them."""

    def ack(self, delivery_tag: str) -> None:
        self.channel.done(delivery_tag)
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self.channel.free(delivery_tag) if requeue else self.channel.done(delivery_tag)
        super().ack(delivery_tag)


class Channel(virtual.Channel):  # type: ignore[misc]  # kombu has types in part
    """One session of PostgreSQL, which holds the locks of the tasks that were taken by it."""

    QoS = QoS
    do_restore = False  # a task stays where it is until it is done

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._taken: dict[str, int] = {}
        # The thread that acknowledges is not the one that takes.
        self._one_at_a_time = RLock()
        self._session = psycopg.connect(self.connection.client.hostname, autocommit=True, **_ALIVE)
        self._session.execute(_TABLE)

    def close(self) -> None:
        super().close()
        self._session.close()

    def done(self, tag: str) -> None:
        """Delete a task, then let go of it."""
        with self._one_at_a_time:
            if tag in self._taken:
                self._session.execute(_DELETE, [self._taken[tag]])
                self.free(tag)

    def free(self, tag: str) -> None:
        """Leave a task to others."""
        with self._one_at_a_time:
            number = self._taken.pop(tag, None)
            if number is not None:
                self._session.execute(_FREE, [number])

    def _put(self, queue: str, message: Mapping[str, Any], **_: Any) -> None:
        values = [queue, self._get_message_priority(message), dumps(message)]
        self._session.execute(_PUT, values)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        with self._one_at_a_time:
            # A session could take its own locks again.
            mine = list(self._taken.values())
            while row := self._session.execute(_TAKE, [queue, mine]).fetchone():
                found = self._session.execute(_READ, row).fetchone()
                if found is not None:
                    message: dict[str, Any] = loads(found[0])
                    self._taken[message["properties"]["delivery_tag"]] = row[0]
                    return message
                # Somebody did it between our look at the table and our lock.
                self._session.execute(_FREE, row)
        raise Empty

    def _size(self, queue: str) -> int:
        sql = "SELECT count(*) FROM ecommerce_tasks WHERE queue = %s"
        row = self._session.execute(sql, [queue]).fetchone()
        return int(row[0]) if row else 0

    def _purge(self, queue: str) -> int:
        return self._session.execute(
            "DELETE FROM ecommerce_tasks WHERE queue = %s", [queue]
        ).rowcount

    def _new_queue(self, queue: str, **_: Any) -> None:
        """A queue is the tasks in it."""


class Transport(virtual.Transport):  # type: ignore[misc]  # kombu has types in part
    """What kombu calls for URLs that begin with postgresql://."""

    Channel = Channel
    can_parse_url = True
    driver_type = "sql"
    driver_name = "psycopg"
    polling_interval = 0.5
    connection_errors = (*virtual.Transport.connection_errors, psycopg.OperationalError)

    def driver_version(self) -> str:
        return psycopg.__version__


def register() -> None:
    """Make kombu know the URLs of this broker."""
    TRANSPORT_ALIASES["postgresql"] = f"{__name__}:Transport"
