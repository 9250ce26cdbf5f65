"""Resolved pipeline files as Dagster assets, checks, jobs, schedules and sensors.

Imports Dagster, and `runtime` and what that imports.
"""
