"""Where runs and steps are executed: the choice of it, Celery's settings, launchers of runs.

Imports Dagster, Celery and `bruin`. `choice` imports no Dagster: `runtime` reads it.
"""
