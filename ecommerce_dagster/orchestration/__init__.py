"""Resolved pipeline files as Dagster assets, checks, jobs and schedules."""
