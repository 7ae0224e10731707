"""What people look at: status, metrics, and what `dagster-clt check` finds."""
