"""What `dagster-clt check` finds wrong with an instance."""
