"""What PostgreSQL sends as fast as it can, thrown away: `python bare_copy.py TABLE ...`."""

import os
import sys

import psycopg

with psycopg.connect(os.environ["DSN"]) as connection, connection.cursor() as cursor:
    for table in sys.argv[1:]:
        query = f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT binary)"
        with cursor.copy(query.encode()) as copy:
            for _ in copy:
                pass
