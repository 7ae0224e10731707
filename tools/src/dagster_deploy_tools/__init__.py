"""Tools for a deployment of Dagster: the check of its Helm values, and the reload of its webserver."""
