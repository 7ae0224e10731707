"""The queue as it is now: what `dagster-clt status`, the metrics and the UI start from."""
