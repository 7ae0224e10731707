"""Limits and shares for the runs of each code location on one Dagster deployment."""
