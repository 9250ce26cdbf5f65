"""Rows of other places into a warehouse: which to take, under which names, with which masks."""
