"""Where runs and steps are executed: the choice of it, Celery's settings, launchers of runs.

Imports Dagster, Celery and `bruin`. `executor_setting` imports no Dagster: `runtime` reads it.
"""
