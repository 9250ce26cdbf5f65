"""Mistakes that can be seen in files alone, of one asset and of a whole project."""
