"""What each type of asset does in a run, and what can be said of a project before one.

RunInfo describes the run. Imports the packages from `deploy` (its `executor_setting`) down
to `bruin`, and never Dagster.
"""
