"""What `dagster-clt check --values` finds in the values of the official Helm chart; begins in `check.py`."""
