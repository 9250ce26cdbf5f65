"""What a DuckLake adds to DuckDB: its catalog, locks, stored types, snapshots, maintenance."""
