"""Why one run is still queued: what `dagster-clt explain` answers."""
