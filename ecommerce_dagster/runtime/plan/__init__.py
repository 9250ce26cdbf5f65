"""What a change of the files does to the tables: what changed, whom it touches."""
