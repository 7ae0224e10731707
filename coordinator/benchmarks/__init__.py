"""What the coordinator costs beside Dagster's own and beside the published one: `make bench`."""
