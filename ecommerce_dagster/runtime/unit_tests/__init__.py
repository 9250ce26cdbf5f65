"""Tests of a query that stand in its asset's file: given inputs, expected rows."""
