"""CSV and other files that are assets."""
