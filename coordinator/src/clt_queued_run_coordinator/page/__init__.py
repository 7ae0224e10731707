"""The queue in a browser, beside Dagster's UI: what `dagster-clt page` serves."""
