"""What each type of asset does in a run. Knows nothing of Dagster."""
