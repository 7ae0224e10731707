"""What `dagster-clt explain` answers: why one run is still queued."""
