"""Prove every query before a run: bind it over empty tables that have the columns of the
pipeline."""
