"""What the files ask for, and a run or Dagster could not do. Reads files only."""
