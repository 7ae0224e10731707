"""What `dagster-clt check` looks for: mistakes in an instance, or in Helm values (with `helm/`)."""
