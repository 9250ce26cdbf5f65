"""The queue of tasks in PostgreSQL: each task is done, whatever happens to those who do it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from dagster_celery.make_app import make_app
from kombu import Connection
from kombu.simple import SimpleQueue

from ecommerce_dagster.embedded_postgres import PostgresServer
from ecommerce_dagster.orchestration import postgres_queue
from ecommerce_dagster.orchestration.celery_executor import urls

TAKE = """
import sys
from kombu import Connection
from ecommerce_dagster.orchestration import postgres_queue
postgres_queue.register()
with Connection(sys.argv[1]) as connection:
    print(connection.SimpleQueue("steps").get(timeout=20).payload, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def dsn(server: PostgresServer) -> Iterator[str]:
    """A database for a queue."""
    postgres_queue.register()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE queue")
        yield replace(server, database="queue").dsn
        connection.execute("DROP DATABASE queue WITH (FORCE)")


def steps(connection: Connection) -> SimpleQueue:
    return connection.SimpleQueue("steps")


def test_a_task_is_taken_once_and_is_gone_when_it_is_done(dsn: str) -> None:
    with Connection(dsn) as one, Connection(dsn) as other:
        steps(one).put("a")
        task = steps(one).get(timeout=5)
        with pytest.raises(SimpleQueue.Empty):
            steps(other).get_nowait()
        assert steps(other).qsize() == 1
        task.ack()
        assert steps(other).qsize() == 0
        with pytest.raises(SimpleQueue.Empty):
            steps(one).get_nowait()


def test_the_task_of_a_worker_that_is_killed_goes_to_another_one(dsn: str) -> None:
    with Connection(dsn) as connection:
        steps(connection).put("a")
        worker = subprocess.Popen(
            [sys.executable, "-c", TAKE, dsn],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "a\n"
        with pytest.raises(SimpleQueue.Empty):
            steps(connection).get_nowait()
        worker.kill()
        worker.communicate()
        task = steps(connection).get(timeout=20)
        assert task.payload == "a"
        task.ack()


def test_a_task_that_is_given_back_is_taken_again(dsn: str) -> None:
    with Connection(dsn) as connection:
        steps(connection).put("a")
        steps(connection).get(timeout=5).requeue()
        again = steps(connection).get(timeout=5)
        assert again.payload == "a"
        again.reject()
        assert steps(connection).qsize() == 0


def test_what_is_urgent_comes_first_and_then_what_came_first(dsn: str) -> None:
    with Connection(dsn) as connection:
        queue = steps(connection)
        for name, priority in (("a", 5), ("b", 5), ("c", 9)):
            queue.put(name, priority=priority)
        taken = []
        for _ in range(3):
            task = queue.get(timeout=5)
            taken.append(task.payload)
            task.ack()
        assert taken == ["c", "a", "b"]


def test_many_workers_at_once_do_each_task_once(dsn: str) -> None:
    with Connection(dsn) as connection:
        for number in range(60):
            steps(connection).put(number)

    def work(_: int) -> list[int]:
        done = []
        with Connection(dsn) as connection:
            queue = steps(connection)
            while True:
                try:
                    task = queue.get_nowait()
                except SimpleQueue.Empty:
                    return done
                done.append(task.payload)
                task.ack()

    with ThreadPoolExecutor(4) as workers:
        done = [number for share in workers.map(work, range(4)) for number in share]
    assert Counter(done) == Counter(range(60))


def test_a_server_that_starts_anew_is_an_error_that_celery_recovers_from(dsn: str) -> None:
    with Connection(dsn) as connection:
        steps(connection).put("a")
        with psycopg.connect(dsn, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid != pg_backend_pid()"
            )
        with pytest.raises(connection.connection_errors):
            steps(connection).get_nowait()
    with Connection(dsn) as connection:
        assert steps(connection).get(timeout=5).payload == "a"


def test_the_password_is_not_shown(dsn: str, server: PostgresServer) -> None:
    with Connection(dsn) as connection:
        connection.connect()
        assert server.password not in connection.as_uri()


def test_what_celery_tells_all_workers_is_no_error(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECOMMERCE_CELERY_BROKER", dsn)
    monkeypatch.setenv("ECOMMERCE_CELERY_BACKEND", "cache+memory://")
    broker, backend = urls(os.environ)
    with make_app({"broker": broker, "backend": backend}) as app:
        app.AsyncResult("a step of a run that was terminated").revoke()
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT * FROM ecommerce_tasks").fetchall() == []
