"""The numbers of the queue for Prometheus: what `dagster-clt metrics` serves."""
