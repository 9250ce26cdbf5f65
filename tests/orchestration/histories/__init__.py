"""Random histories of a source and of what follows it, beside an independent model of the tables.

`play.py` plays them: `plan.py` draws a pipeline, `source.py` and `servers.py` change what it is
loaded from, `follower.py` calls the sensor and executes what it requests, and `model.py` says in
plain Python what each table has to hold.
"""
