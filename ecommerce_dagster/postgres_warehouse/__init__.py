"""Bruin's assets whose tables live in PostgreSQL: built and checked in one transaction of its."""
